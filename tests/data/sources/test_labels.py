"""Labels as they are read, and the classes of two sources side by side."""

import os
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.data.loading.loader import Loader, read_labels
from jssl.data.sources import (
    Arrays,
    Folder,
    ImageList,
    check_classes,
    check_same_classes,
    has_labels,
    label_count,
)
from tests.checks import refused

IMAGE = np.zeros((4, 4, 3), np.uint8)


class Own(list[Any]):
    """A user's own source of so many labels."""

    def __init__(self, *labels: object, num_classes: int | None = None) -> None:
        super().__init__({'image': IMAGE, 'label': label} for label in labels)
        self.num_classes = num_classes


def folder(root: Path, *classes: str, images: int = 2) -> Folder:
    for name in classes:
        (root / name).mkdir(parents=True)
        for number in range(images):
            Image.new('L', (4, 4)).save(root / name / f'{number}.png')
    return Folder(str(root), labelled=True)


def listed(of: Folder, *labels: int) -> ImageList:
    """A list that gives every class of a folder, in the order of their names, one of `labels`."""
    lines = [
        f'{name}/{number}.png {label}'
        for name, label in zip(sorted(os.listdir(of.path)), labels, strict=True)
        for number in range(2)
    ]
    path = Path(of.path).with_suffix('.txt')
    path.write_text('\n'.join(lines))
    return ImageList(str(path), of.path)


@pytest.mark.parametrize(
    ('label', 'words'),
    [
        (-1, 'sample 1 of the data set has the label -1;'),
        (1.7, 'the label 1.7;'),
        (np.float32(1), 'the label 1.0;'),
        ('cat', "the label 'cat';"),
        (2**31, 'the label 2147483648;'),
        (None, 'sample 1 of the data set has no label, and others have one;'),
        ([1], r'the label [1];'),
        (3, 'the label 3, but its num_classes is 3; number the classes from 0 to 2'),
    ],
)
def test_a_label_that_is_no_class_ends_the_reading(label: object, words: str) -> None:
    source = Own(0, label, 2, 2, num_classes=3)
    for read in (lambda: next(Loader(source, 4, 8).iterate()), lambda: read_labels(source)):
        with refused(words):
            read()


def test_labels_of_any_whole_type_are_read() -> None:
    source = Own(0, np.int8(1), np.array(2), np.uint64(2), num_classes=3)
    np.testing.assert_array_equal(read_labels(source), [0, 1, 2, 2])
    assert sorted(Loader(source, 4, 8)[0]['label']) == [0, 1, 2, 2]


def test_minus_one_at_the_first_sample_of_an_own_source_means_none() -> None:
    assert not has_labels(Own(-1, -1))
    assert not has_labels(Own(None))
    assert has_labels(Own(0))


class Held(Own):
    """One that holds the labels of all samples, or so it says."""

    def __init__(self, *labels: object, held: object, names: list[str] | None = None) -> None:
        super().__init__(*labels)
        self.labels, self.label_names = held, names


def test_labels_that_a_source_holds_are_checked_too() -> None:
    np.testing.assert_array_equal(read_labels(Held(0, 7, held=[0, 7])), [0, 7])
    assert label_count(Held(0, 7, held=[0, 7])) == 8
    check_classes(Held(0, 7, held=[0, 7]))
    for held, words in (([0, -1], 'sample 1 of the data set has the label -1'), ([0], '1 labels')):
        for count in (read_labels, label_count):
            with refused(words):
                count(Held(0, 1, held=held))


def test_a_label_without_a_name_ends_the_reading() -> None:
    source = Held(0, 2, held=None, names=['cat', 'dog'])
    with refused('the label 2, but its num_classes is 2'):
        read_labels(source)
    with refused('the label 2, but its num_classes is 2'):
        next(Loader(source, 2, 8).iterate())


def test_a_classifier_needs_a_logit_for_every_label() -> None:
    ids = Arrays([IMAGE] * 3, [0, 5, 1_698_765_432])
    assert label_count(ids) == 1_698_765_433
    with refused('3 different numbers up to 1698765432', 'number the classes from 0 to 2'):
        check_classes(ids)
    check_classes(Arrays([IMAGE] * 3, [0, 100, 900]))
    with refused('data source Own has labels and does not say how many classes there are'):
        check_classes(Own(0, 1))


def test_folders_named_by_numbers_are_counted_as_numbers(tmp_path: Path) -> None:
    source = folder(tmp_path, *map(str, range(12)))
    assert source.label_names == [str(number) for number in range(12)]
    assert [source[index]['label'] for index in range(24)] == [
        int(source.name_of(index).split('/')[0]) for index in range(24)
    ]


def test_one_name_that_is_no_number_leaves_the_order_of_texts(tmp_path: Path) -> None:
    assert folder(tmp_path, '10', '9', 'b').label_names == ['10', '9', 'b']


def test_a_list_that_counts_from_1_is_refused_beside_a_folder(tmp_path: Path) -> None:
    train = folder(tmp_path / 'train', 'a', 'b', 'c')
    test = folder(tmp_path / 'test', 'a', 'b', 'c')
    assert check_same_classes(train, listed(test, 0, 1, 2)) is None
    with refused(
        'the test data have 3 classes with labels from 1 to 3',
        'the labelled training data 3 classes with labels from 0 to 2',
        'the label 3 in the test data only',
    ):
        check_same_classes(train, listed(test, 1, 2, 3))


def test_a_list_in_another_order_is_refused_beside_a_folder_or_a_list(tmp_path: Path) -> None:
    train = folder(tmp_path / 'train', 'a', 'b', 'c')
    test = folder(tmp_path / 'test', 'a', 'b', 'c')
    with refused("the class 'b' has the label 2 in the test data and 1", 'number both alike'):
        check_same_classes(train, listed(test, 0, 2, 1))
    with refused("the class 'b' has the label 1 in the test data and 0"):
        check_same_classes(listed(train, 1, 0, 2), listed(test, 0, 1, 2))


def test_folders_that_are_no_classes_say_nothing(tmp_path: Path) -> None:
    train = folder(tmp_path / 'train', 'a', 'b', 'c')
    shared = folder(tmp_path / 'test', 'x', 'y', 'z')
    assert listed(shared, 1, 1, 0).folder_names is None
    assert check_same_classes(train, listed(shared, 2, 1, 0)) is None


def test_a_test_set_may_lack_classes_and_keeps_the_numbers_of_the_training_data(
    tmp_path: Path,
) -> None:
    train = folder(tmp_path / 'train', 'a', 'b', 'c')
    numbers = check_same_classes(train, folder(tmp_path / 'test', 'a', 'c'))
    np.testing.assert_array_equal(numbers, [0, 2])
    assert check_same_classes(train, folder(tmp_path / 'first', 'a', 'b')) is None
    assert check_same_classes(Arrays([IMAGE] * 3, [0, 1, 2]), Arrays([IMAGE], [2])) is None


def test_names_are_equal_however_their_accents_are_stored(tmp_path: Path) -> None:
    names = ('bar', 'café')
    train = folder(tmp_path / 'train', *(unicodedata.normalize('NFC', name) for name in names))
    test = folder(tmp_path / 'test', *(unicodedata.normalize('NFD', name) for name in names))
    assert train.label_names == test.label_names
    assert check_same_classes(train, test) is None
