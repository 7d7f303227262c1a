"""Images in memory."""

import pickle

import numpy as np

from jssl.data.sources import Arrays
from tests.checks import refused

IMAGES = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)


def test_arrays_with_labels():
    source = Arrays(IMAGES, labels=np.array([2, 0, 1]))
    assert len(source) == 3
    assert source[1]['label'] == 0
    np.testing.assert_array_equal(source[1]['image'], IMAGES[1])
    assert source.num_classes == 3
    assert source.has_labels


def test_arrays_without_labels():
    source = Arrays(list(IMAGES))
    assert source[0].keys() == {'image'}
    assert source.num_classes is None
    assert source.label_names is None
    assert not source.has_labels


def test_arrays_need_one_label_per_image():
    with refused('1 images and 2 labels', 'labels=None'):
        Arrays(IMAGES[:1], labels=[1, 2])


def test_arrays_pickle():
    again = pickle.loads(pickle.dumps(Arrays(IMAGES, labels=[2, 0, 1])))
    np.testing.assert_array_equal(again[2]['image'], IMAGES[2])
