"""The tables for users of MMSelfSup: what they name is there, and what jssl knows they name.

The code of the page runs in tests/interop/test_docs.py.
"""

import dataclasses
import re

import pytest

from jssl import algorithms, backbones, data, heads, losses, memories, necks
from jssl import target_generators as generators
from jssl.augment import views
from jssl.cli import VERBS
from jssl.data.loading import samplers
from jssl.interop.configs.runtime import IDLE_HOOKS, USUAL_HOOKS
from jssl.interop.configs.transforms import KNOWN
from jssl.interop.model_dicts import class_of
from tests.conftest import ROOT
from tests.docs.pages import read

PAGE = 'docs/tutorials/mmselfsup.md'
TEXT = read(PAGE)
ROOMS = (algorithms, backbones, necks, heads, losses, memories, generators, data, views, samplers)
FIELDS = {
    field.name for view in (views.View, views.CenterView) for field in dataclasses.fields(view)
}
FIELDS |= {'use_rel_pos_bias', 'shift', 'scale', 'True'}


def rows(heading: str) -> list[tuple[str, str]]:
    """Both sides of the rows of the table under a heading."""
    section = re.split(r'^#+ ', TEXT.partition(f'# {heading}\n')[2], flags=re.MULTILINE)[0]
    cells = [line.strip('| ').split(' | ') for line in section.splitlines() if line[:1] == '|']
    return [(first, ' | '.join(rest)) for first, *rest in cells if rest]


def names(cell: str) -> list[str]:
    """The identifiers in code of a cell."""
    return [name for code in re.findall(r'`([^`]*)`', cell) for name in re.findall(r'[\w-]+', code)]


PARTS = [row for row in rows('Classes') if names(row[0])]
MODELS = PARTS[
    : [right for _, right in PARTS].index(
        '`nt_xent`, `info_nce`, `instance_discrimination`, `in_batch_contrast`'
    )
]


@pytest.mark.parametrize(
    ('there', 'here'), MODELS, ids=lambda cell: names(cell)[0] if names(cell) else cell
)
def test_a_part_of_a_model_is_what_a_config_becomes(there: str, here: str) -> None:
    found = {name: class_of(name) for name in names(there)}
    if here.startswith('none'):
        assert set(found.values()) == {None}
    elif here == 'the same names':
        assert {name: made.__name__ for name, made in found.items()} == {n: n for n in found}
    else:
        assert {made.__name__ for made in found.values() if made} <= set(names(here))


@pytest.mark.parametrize(('there', 'here'), PARTS)
def test_what_stands_here_exists(there: str, here: str) -> None:
    del there
    for name in names(re.sub(r'`(jssl|state)[^`]*`', '', here)):
        assert any(hasattr(room, name) for room in ROOMS) or name in FIELDS, name


def test_every_hook_and_transform_that_is_known_is_named() -> None:
    files = (ROOT / 'jssl' / 'algorithms').glob('*.py')
    asked = [re.findall(r"hooks\.get\('(\w+)'\)", file.read_text('utf-8')) for file in files]
    taken = {name for found in asked for name in found}
    assert len(taken) == 5
    for name in {*taken, *IDLE_HOOKS, *filter(None, USUAL_HOOKS), *KNOWN}:
        assert f'`{name}`' in TEXT, name


def test_the_commands_are_there() -> None:
    said = {verb for _, here in rows('Commands') for verb in re.findall(r'`jssl (\w+)', here)}
    assert {'train', 'eval', 'export', 'plan', 'views', 'reconstruct', 'import'} == said
    assert said <= set(VERBS)
