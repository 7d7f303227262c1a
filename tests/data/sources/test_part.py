"""A part of a source: which samples it has, and what it says of them."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jssl.components import build
from jssl.data.loading.identity import Listing
from jssl.data.sources import Arrays, Folder, check_declared, check_same_classes
from jssl.data.sources.part import Part
from tests.checks import refused


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Ten images in two classes."""
    for number in range(10):
        path = tmp_path / 'ab'[number % 2] / f'{number}.png'
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(path)
    return Folder(str(tmp_path))


def test_every_fifth_is_held_out_and_the_rest_is_the_rest(folder: Folder) -> None:
    rest, held = Part(folder), Part(folder, held_out=True)
    assert held.names() == ['a/4.png', 'b/5.png']
    assert sorted(rest.names() + held.names()) == folder.names()
    assert [held[row] for row in range(len(held))] == [folder[2], folder[7]]
    assert held.name_of(1) == 'b/5.png'
    np.testing.assert_array_equal(held.labels, [0, 1])
    assert (held.num_classes, held.label_names, held.has_labels) == (2, ['a', 'b'], True)
    assert held.stamps()[0][0] == folder.stamps()[2, 0]
    assert check_same_classes(rest, held) is None
    for part in (rest, held):
        check_declared(part)
        assert Listing.of(part).number == len(part)
        assert pickle.loads(pickle.dumps(part)).names() == part.names()


def test_of_images_in_memory() -> None:
    images = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    held = Part(Arrays(images), every=3, held_out=True)
    assert [int(np.max(held[row]['image'])) for row in range(2)] == [1, 4]
    assert not held.has_labels
    assert held.labels is None
    assert 'name_of' not in dir(Arrays)
    assert not hasattr(held, 'name_of')


def test_a_config_names_it(folder: Folder) -> None:
    inner = {'type': 'Folder', 'path': folder.path}
    assert build('data', {'type': 'Part', 'data': inner, 'held_out': True}) == Part(
        folder, held_out=True
    )


def test_what_leaves_nothing_is_refused(folder: Folder) -> None:
    with refused('every=1', 'at least 2'):
        Part(folder, every=1)
    with refused('a source of 10 samples has no 21th'):
        Part(folder, every=40, held_out=True)
