"""What any source is asked: for labels, for classes, and to be cheap to import."""

import subprocess
import sys

import numpy as np
import pytest

from jssl.components import build, build_at
from jssl.config import TOP
from jssl.data.sources import Arrays, Sample, Source, check_same_classes, has_labels
from tests.checks import refused

LAZY = ('tensorflow_datasets', 'grain', 'sklearn', 'tensorflow')
IMAGE = np.zeros((4, 4, 3), np.uint8)


class Named(list[Sample]):
    """A source with named classes."""

    def __init__(self, *names: str) -> None:
        super().__init__([{'image': IMAGE, 'label': 0}])
        self.label_names = names


class Plain:
    """A user's own source, without fields that a dataclass would have."""

    def __init__(self, count: int = 3) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        return {'image': IMAGE}


def test_importing_the_data_package_imports_no_data_library() -> None:
    code = f'import sys, jssl.data; print([name for name in {LAZY} if name in sys.modules])'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_a_plain_list_is_a_source() -> None:
    assert has_labels([{'image': IMAGE, 'label': 1}])
    assert not has_labels([{'image': IMAGE}])


def test_what_a_source_says_of_itself_is_believed() -> None:
    assert has_labels(Arrays([IMAGE], labels=[0]))
    assert not has_labels(Arrays([IMAGE]))


def test_a_class_of_the_user_s_own_is_a_source_under_any_data_key() -> None:
    for key in ('data', 'test_data', 'probe_data'):
        source = build_at(key, TOP[key], {'type': f'{__name__}:Plain', 'count': 7})
        assert isinstance(source, Plain)
        assert len(source) == 7
        assert not has_labels(source)


def test_the_sources_that_a_config_may_name() -> None:
    with refused(
        'Valid names: Arrays, Folder, HuggingFace, ImageList, Parquet, Part, TFDS, WebDataset.'
    ):
        build('data', {'type': 'Foldr'})


@pytest.mark.parametrize('test', [Named('a', 'b'), Plain(), Arrays([IMAGE], [0])])
def test_classes_that_agree_or_have_no_names_pass(test: Source) -> None:
    check_same_classes(Named('a', 'b'), test)


@pytest.mark.parametrize(
    ('names', 'words'),
    [
        (
            ('a',),
            "have 2 classes ('a', 'b'), and the labelled training data 1 class ('a'), which",
        ),
        (('a', 'c'), "for example 'b' in the test data only"),
        (('b', 'a'), 'in their order'),
    ],
)
def test_classes_that_differ_are_refused(names: tuple[str, ...], words: str) -> None:
    with refused(words, 'probe_data'):
        check_same_classes(Named(*names), Named('a', 'b'))


def test_classes_that_do_not_fit_come_with_what_can_be_typed() -> None:
    remedies = ('as probe_data', """--config.test_data='dict(type="Folder", path="PATH")'""")
    with refused(*remedies, '--config.test_data=None'):
        check_same_classes(Named('a'), Named('b'))
    with refused('--config.test_data=None'):
        check_same_classes(Arrays([IMAGE], [0]), Arrays([IMAGE] * 2, [0, 1]))
