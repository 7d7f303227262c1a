"""Checkpoints damaged by hand, on the file system: the newest good one is used."""

import json
import os
import re
import shutil
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from jssl.errors import JsslError
from jssl.runs.checkpoints import ITEM, Checkpoints, read_parts
from jssl.runs.contents import read_contents, write_contents
from tests.runs.states import (
    assert_same,
    contents,
    files_of,
    make_state,
    steps_in,
    target_of,
)


def largest(folder: Path) -> Path:
    return max(files_of(folder / 'train_state' / 'ocdbt.process_0'), key=lambda p: p.stat().st_size)


def empty_all(folder: Path) -> None:
    for path in files_of(folder):
        path.write_bytes(b'')


def cut_in_half(choose: Callable[[Path], Path], folder: Path) -> None:
    path = choose(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(choose: Callable[[Path], Path], folder: Path) -> None:
    choose(folder).unlink()


def flip_a_bit(folder: Path) -> None:
    content = bytearray(largest(folder).read_bytes())
    content[len(content) // 2] ^= 1
    largest(folder).write_bytes(content)


def metadata(folder: Path) -> Path:
    return folder / 'train_state' / '_METADATA'


def list_is(text: str, folder: Path) -> None:
    contents(folder).write_text(text)


def list_altered(folder: Path) -> None:
    text = contents(folder).read_text()
    contents(folder).write_text(text.replace('float32[8, 16]', 'float32[8, 17]'))


def list_of_odd_things(folder: Path) -> None:
    """Its checksum is right."""
    listed = json.loads(contents(folder).read_text())
    listed['files'] = {'train_state/_METADATA': 5, '../../secret': [1, 1]}
    del listed['checksum']
    checksum = zlib.crc32(json.dumps(listed, sort_keys=True).encode())
    contents(folder).write_text(json.dumps(listed | {'checksum': checksum}))


def becomes_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text('')


def pipe(choose: Callable[[Path], Path], folder: Path) -> None:
    path = choose(folder)
    path.unlink()
    os.mkfifo(path)


def of_another_step(folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name('1'), folder)


def as_orbax_never_wrote_it(folder: Path) -> None:
    """The files are those of the list."""
    leaves = read_contents(folder)['leaves']
    metadata(folder).write_text('[' * 100_000)
    write_contents(folder, ITEM, step=2, leaves=leaves, data={})


def nothing_left(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    'every file empty': (empty_all, 'contents.json cannot be read'),
    'data cut in half': (partial(cut_in_half, largest), r'has \d+ of \d+ bytes'),
    'data missing': (partial(remove, largest), 'is missing'),
    'data altered': (flip_a_bit, 'has been altered'),
    'metadata cut in half': (partial(cut_in_half, metadata), r'_METADATA has \d+ of \d+ bytes'),
    'metadata missing': (partial(remove, metadata), 'train_state/_METADATA is missing'),
    'list cut in half': (partial(cut_in_half, contents), 'contents.json cannot be read'),
    'list missing': (partial(remove, contents), 'contents.json is missing'),
    'list missing but for a pipe': (partial(pipe, contents), 'contents.json is missing'),
    'list altered': (list_altered, 'contents.json has been altered'),
    'list of another kind': (partial(list_is, '[1]'), 'contents.json cannot be read'),
    'list nested deeply': (partial(list_is, '[' * 100_000), 'contents.json cannot be read'),
    'list of odd things': (list_of_odd_things, 'contents.json lists what it never does'),
    'data missing but for a pipe': (partial(pipe, largest), 'is missing'),
    'a file instead': (becomes_a_file, 'contents.json is missing'),
    'that of another step': (of_another_step, 'it was saved as that of step 1'),
    'not what Orbax writes': (as_orbax_never_wrote_it, 'loading it failed: .*'),
    'nothing left': (nothing_left, 'is missing'),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damaged_newest_checkpoint_gives_way_to_the_one_before(
    damage: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hurt, message = DAMAGES[damage]
    hurt(folder / '2')
    lines: list[str] = []
    checkpoints = Checkpoints(folder, report=lines.append)
    restored = checkpoints.restore(target_of(make_state()))
    assert restored is not None
    assert_same(restored[0], make_state(1))
    assert restored[1] == checkpoints.latest_step() == 1
    assert len(lines) == 1
    assert f'Checkpoint 2 in {folder} is unreadable' in lines[0]
    assert re.search(message, lines[0])
    assert steps_in(folder) == ['1', '2']  # reading changes nothing
    assert read_parts(folder, ('step',), report=lines.append) == ({'step': 1}, 1)
    assert lines[1:] == lines[:1]
    checkpoints.save(2, make_state(2))  # the run comes past this step again
    checkpoints.close()
    assert steps_in(folder) == ['1', '2', 'unreadable-2']
    assert checkpoints.latest_step() == 2
    assert capfd.readouterr() == ('', '')


@pytest.mark.parametrize('content', [b'', b'{', b'[]', b'{"item_handlers": 5}', b'\xff'])
def test_what_orbax_notes_beside_the_data_decides_nothing(content: bytes, folder: Path) -> None:
    (folder / '2' / '_CHECKPOINT_METADATA').write_bytes(content)
    restored = Checkpoints(folder).restore(target_of(make_state()))
    assert restored is not None
    assert_same(restored[0], make_state(2))


def test_what_only_resembles_a_checkpoint_is_left_alone(folder: Path) -> None:
    for name in ('007', 'latest', '2.orbax', '\N{FULLWIDTH DIGIT THREE}'):
        (folder / name).mkdir()
    checkpoints = Checkpoints(folder, keep=2)
    assert checkpoints.latest_step() == 2
    checkpoints.save(3, make_state(3))
    checkpoints.close()
    assert steps_in(folder) == sorted(
        ['2', '3', '007', 'latest', '2.orbax', '\N{FULLWIDTH DIGIT THREE}']
    )


def test_parts_of_no_checkpoint_are_refused(folder: Path) -> None:
    lines: list[str] = []
    for step in ('1', '2'):
        empty_all(folder / step)
    for place in (folder, folder / 'nowhere'):
        with pytest.raises(JsslError, match='no checkpoint that can be read in'):
            read_parts(place, ('params',), report=lines.append)
    assert len(lines) == 2


def test_a_second_damaged_checkpoint_of_a_step_gets_its_own_name(folder: Path) -> None:
    for _ in range(2):
        checkpoints = Checkpoints(folder, report=lambda line: None)
        contents(folder / '2').unlink()
        checkpoints.restore(target_of(make_state()))
        checkpoints.save(2, make_state(2))
        checkpoints.close()
    assert steps_in(folder) == ['1', '2', 'unreadable-2', 'unreadable-2-2']


def test_no_readable_checkpoint_is_an_error_every_time(folder: Path) -> None:
    for step in ('1', '2'):
        empty_all(folder / step)
    for _ in range(2):
        lines: list[str] = []
        with pytest.raises(JsslError, match=r'can be read \(tried \[2, 1\]\).*--workdir'):
            Checkpoints(folder, report=lines.append).restore(target_of(make_state()))
        assert len(lines) == 2
    assert steps_in(folder) == ['1', '2']
