"""The list of a checkpoint, on files that stand for those of Orbax."""

import json
from pathlib import Path

import jax.numpy as jnp
import pytest

from jssl.runs.contents import (
    CONTENTS,
    Damaged,
    check,
    describe,
    first_mismatch,
    intact,
    move_aside,
    read_contents,
    steps_in,
    write_contents,
)

LEAVES = {"params['b']": 'float32[8]'}
DATA = {'number': 48, 'names': 'é'}
CONFIG = {'epochs': 3, 'model': {'type': 'Toy'}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / '12' / 'item' / 'd').mkdir(parents=True)
    (tmp_path / '12' / 'item' / 'd' / 'a').write_bytes(b'abc')
    (tmp_path / '12' / 'item' / 'b').write_bytes(b'')
    write_contents(tmp_path / '12', 'item', step=12, leaves=LEAVES, data=DATA, config=CONFIG)
    return tmp_path / '12'


def test_what_is_listed_is_read_again(folder: Path) -> None:
    check(folder)
    listed = read_contents(folder)
    assert (listed['step'], listed['leaves'], listed['data']) == (12, LEAVES, DATA)
    assert listed['config'] == CONFIG
    assert listed['files'].keys() == {'item/b', 'item/d/a'}


def test_no_bit_of_the_list_goes_unwatched(folder: Path) -> None:
    whole, listed, noticed = (folder / CONTENTS).read_bytes(), read_contents(folder), 0
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        (folder / CONTENTS).write_bytes(changed)
        try:
            assert read_contents(folder) == listed  # as of two ways to write a letter
        except Damaged:
            noticed += 1
    assert noticed > len(whole) - 3


def test_no_entry_of_the_list_can_be_left_out(folder: Path) -> None:
    listed = json.loads((folder / CONTENTS).read_text())
    for name in listed:
        (folder / CONTENTS).write_text(json.dumps({k: v for k, v in listed.items() if k != name}))
        with pytest.raises(Damaged):
            check(folder)


def test_a_list_of_version_010_is_told_as_damaged(folder: Path) -> None:
    (folder / CONTENTS).write_text(json.dumps({'leaves': LEAVES, 'files': {}}))
    with pytest.raises(Damaged, match=r"cannot be read .*'checksum'"):
        check(folder)


def test_files_that_were_not_there_are_no_damage(folder: Path) -> None:
    (folder / 'item' / '.nfs0001').write_bytes(b'left by the file system')
    check(folder)


def test_steps_are_named_as_they_are_written(folder: Path) -> None:
    for name in ('3', '007', 'x', '4.orbax-checkpoint-tmp', '\N{ARABIC-INDIC DIGIT THREE}'):
        (folder.parent / name).mkdir()
    assert steps_in(folder.parent) == [12, 3]
    lines: list[str] = []
    assert list(intact(folder.parent, [12, 3], lines.append)) == [12]
    assert lines == [f'Checkpoint 3 in {folder.parent} is unreadable: contents.json is missing.']


def test_what_is_moved_aside_gets_a_name_of_its_own(folder: Path) -> None:
    for _ in range(2):
        move_aside(folder)
        folder.mkdir()
    assert {path.name for path in folder.parent.iterdir()} == {
        '12',
        'unreadable-12',
        'unreadable-12-2',
    }


def test_leaves_that_differ_are_named() -> None:
    described = describe({'params': {'b': jnp.zeros(8)}})
    assert described == {"['params']['b']": 'float32[8]'}
    assert first_mismatch(described, described) is None
    other = describe({'params': {'b': jnp.zeros(9)}})
    words = "['params']['b'] is float32[8] there and float32[9] in this run"
    assert first_mismatch(described, other) == words
    assert first_mismatch({}, other) == words.replace('float32[8]', 'absent')
