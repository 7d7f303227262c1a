"""Files written whole, and never through somebody's link."""

from pathlib import Path

import pytest

from jssl.files import replace_file


@pytest.mark.parametrize('link', ['x', 'x.part'])
def test_a_link_is_replaced_and_its_target_stays(link: str, tmp_path: Path) -> None:
    (tmp_path / 'precious').write_bytes(b'precious')
    (tmp_path / link).symlink_to(tmp_path / 'precious')
    replace_file(tmp_path / 'x', b'new')
    assert (tmp_path / 'precious').read_bytes() == b'precious'
    assert (tmp_path / 'x').read_bytes() == b'new'
    assert not (tmp_path / 'x').is_symlink()
    assert not (tmp_path / 'x.part').exists()


def test_what_a_killed_process_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / 'x.part').write_bytes(b'half of it and more')
    replace_file(tmp_path / 'x', b'new')
    assert [path.name for path in tmp_path.iterdir()] == ['x']
    assert (tmp_path / 'x').read_bytes() == b'new'


def test_a_folder_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'x.part').mkdir()
    with pytest.raises(OSError, match=r'x\.part'):
        replace_file(tmp_path / 'x', b'new')
