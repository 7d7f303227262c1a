"""Images in memory."""

import pickle
from typing import Any

import numpy as np
import pytest

from jssl.data.sources import Arrays
from tests.checks import refused

IMAGES = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)


def test_arrays_with_labels() -> None:
    source = Arrays(IMAGES, labels=np.array([2, 0, 1]))
    assert len(source) == 3
    assert source[1]['label'] == 0
    np.testing.assert_array_equal(source[1]['image'], IMAGES[1])
    assert source.num_classes == 3
    assert source.has_labels


def test_arrays_without_labels() -> None:
    source = Arrays(list(IMAGES))
    assert source[0].keys() == {'image'}
    assert source.num_classes is None
    assert source.label_names is None
    assert not source.has_labels


def test_arrays_need_one_label_per_image() -> None:
    with refused('1 images and 2 labels', 'labels=None'):
        Arrays(IMAGES[:1], labels=[1, 2])


@pytest.mark.parametrize(
    'labels', [[[2], [0], [1]], np.array([2, 0, 1], np.uint8), [np.int64(2), 0, 1]]
)
def test_labels_of_any_whole_numbers(labels: Any) -> None:
    source = Arrays(IMAGES, labels)
    assert [source[index]['label'] for index in range(3)] == [2, 0, 1]
    np.testing.assert_array_equal(source.labels, np.array([2, 0, 1], np.int32))


def test_minus_one_everywhere_means_none() -> None:
    source = Arrays(IMAGES, -np.ones(3, int))
    assert not source.has_labels
    assert source.num_classes is None
    assert source[0].keys() == {'image'}


def test_classes_that_occur_are_counted() -> None:
    assert Arrays(IMAGES, [900, 0, 900]).num_classes == 2
    assert Arrays(IMAGES, [1, 2, 3]).num_classes == 3


@pytest.mark.parametrize(
    ('labels', 'words'),
    [
        ([0, -1, 1], 'sample 1 of the data set has the label -1'),
        ([0, -2, 1], 'sample 1 of the data set has the label -2'),
        ([0, 2**40, 1], 'sample 1 of the data set has the label 1099511627776'),
        (
            np.eye(3),
            'such as [1.0, 0.0, 0.0]; give one whole number from 0 an image: labels.argmax',
        ),
        ([0, 0.5, 1], 'labels.astype(int), if they are whole'),
        (np.full(3, np.nan), 'labels.astype(int)'),
        ([True, False, True], 'labels.astype(int)'),
        (['cat', 'dog', 'cat'], "'cat'; give one whole number from 0 an image: np.unique("),
        ([None, 0, 1], 'type object'),
        ([[0], [0, 1], [1]], 'are no array'),
        (7, '3 images and not a sequence of labels'),
    ],
)
def test_what_is_no_label_is_refused(labels: Any, words: str) -> None:
    with refused(words):
        Arrays(IMAGES, labels)


@pytest.mark.parametrize(
    'images',
    [
        IMAGES / 255,
        IMAGES > 3,
        IMAGES[..., None, None],
        ['a.jpg'] * 3,
        [np.zeros((3, 9, 9), np.uint8)],
    ],
)
def test_what_is_no_image_is_refused(images: Any) -> None:
    with refused('give uint8 of shape (H, W)'):
        Arrays(images)


def test_no_images_are_refused() -> None:
    with refused('Arrays has no images'):
        Arrays(IMAGES[:0])


def test_arrays_pickle() -> None:
    again = pickle.loads(pickle.dumps(Arrays(IMAGES, labels=[2, 0, 1])))
    np.testing.assert_array_equal(again[2]['image'], IMAGES[2])
