"""The configs that come along: how long they are, and what they say of themselves."""

import re

import pytest

from jssl.cli.configs import about, find, shipped
from tests.checks import refused


@pytest.mark.parametrize('name', shipped())
def test_a_config_is_on_one_screen_and_says_what_it_is(name: str) -> None:
    assert len(shipped()[name].read_text().splitlines()) <= 80
    said = '\n'.join(about(name))
    assert f'\n    jssl train {name} ' in said
    if not name.startswith('eval/'):
        assert re.search(r'\(.*\d{4}, arXiv \d{4}\.\d{5}\)', about(name)[0])
        assert 'Embedded: ' in said
        assert 'ImageNet: ' in said


def test_a_name_is_found_from_any_folder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp('empty'))
    assert find('eval/linear').name == 'linear.py'


def test_a_version_that_is_no_config_of_its_own_is_told_the_method() -> None:
    with refused("'mocov2'. Did you mean 'moco'?"):
        find('mocov2')
    with refused("Did you mean 'mocov3'?"):
        find('mocov3x')
