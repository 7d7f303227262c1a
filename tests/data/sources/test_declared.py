"""What sources say of themselves, and sources of a user's own that say it wrongly."""

from typing import Any

import numpy as np
import pytest

from jssl.data.preparing.conversion import Target, prepare
from jssl.data.sources import Arrays, Sample, check_declared
from tests.checks import refused
from tests.training import toy

IMAGE = np.zeros((4, 4, 3), np.uint8)


class Own:
    """A user's own source, with some attributes."""

    def __init__(self, count: Any = 4, **said: Any) -> None:
        self.count = count
        vars(self).update(said)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> Sample:
        return {'image': IMAGE, 'label': index % 2}


class Failing(Own):
    """Its number of classes comes from a file that is not there."""

    @property
    def num_classes(self) -> int:
        with open('/nowhere/classes') as file:
            return len(file.read())


@pytest.mark.parametrize(
    ('source', 'words'),
    [
        (Own(num_classes='4'), "Own.num_classes='4' must be a whole number of at least 1"),
        (Own(num_classes=0), 'Own.num_classes=0'),
        (Own(num_classes=2.0), 'Own.num_classes=2.0'),
        (Own(label_names=[1, 2, 3, 4]), 'Own.label_names=[1, 2, 3, 4] must be a list of texts'),
        (Own(label_names='ab'), "Own.label_names='ab' must be a list"),
        (Own(label_names=['a'], num_classes=2), 'Own.num_classes=2 must be the number'),
        (Own(has_labels='no'), "Own.has_labels='no' must be True or False"),
        (Own(remarks=5), 'Own.remarks=5 must be a list of sentences'),
        (Own(remarks='dark'), "Own.remarks='dark'"),
        (Own(labels=[0, 1]), 'there are 4 images and 2 labels'),
        (Own(labels=['a', 'b', 'a', 'b']), 'np.unique(labels'),
        (Own(-1), 'Own.__len__ cannot be used: ValueError'),
        (Own('4'), 'Own.__len__ cannot be used: TypeError'),
        (Failing(), 'Failing.num_classes cannot be used: [Errno 2]'),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_relies_on_it(
    source: Own, words: str, tmp_path: Any
) -> None:
    with refused(words):
        toy.experiment(data=source)
    with refused(words):
        toy.experiment(test_data=source)
    with refused(words):
        prepare({'train': source}, tmp_path / 'x', Target(4))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    'source',
    [
        Own(),
        Own(num_classes=None, label_names=None, remarks=None, labels=None, has_labels=None),
        Own(num_classes=np.int64(2), label_names=('a', 'b'), has_labels=np.True_, remarks=()),
        Own(label_names=np.array(['a', 'b']), labels=np.array([0, 1, 0, 1])),
        Own(label_names=['a', 'b', 'c'], num_classes=2, labels=[0, 2, 0, 2]),
        Arrays([IMAGE] * 2, [0, 1]),
    ],
)
def test_what_can_be_used_is_taken(source: Any) -> None:
    check_declared(source)
