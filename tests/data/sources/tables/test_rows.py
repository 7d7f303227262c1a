"""Labels of tables: numbers, texts and what is neither."""

from pathlib import Path

import pyarrow as pa
import pytest

from jssl.data import Parquet
from tests.checks import refused
from tests.data.sources.written import (
    CLASSES,
    features,
    hub_table,
    image_table,
    pngs,
    write_parquet,
)

pytestmark = pytest.mark.usefixtures('cache')


LABELS: dict[str, tuple[pa.Array, list[int] | None, list[str] | None]] = {
    'texts': (pa.array(['b', 'a', 'b']), [1, 0, 1], ['a', 'b']),
    'dictionary': (pa.array(['b', 'a', 'b']).dictionary_encode(), [1, 0, 1], ['a', 'b']),
    'dictionary of numbers': (pa.array([7, 0, 7]).dictionary_encode(), [7, 0, 7], None),
    'numbers': (pa.array([4, 0, 4], pa.uint8()), [4, 0, 4], None),
    'booleans': (pa.array([True, False, True]), [1, 0, 1], None),
    'null': (pa.array([1, None, 0]), None, None),
    'null texts': (pa.array(['a', None, 'b']), None, None),
    'minus one': (pa.array([-1, -1, -1]), None, None),
    'fractions, which are none': (pa.array([0.5, 1, 2]), None, None),
    'several each': (pa.array([[1], [2], [3]]), None, None),
}


@pytest.mark.parametrize(('labels', 'numbers', 'names'), LABELS.values(), ids=LABELS.keys())
def test_labels_are_whole_numbers_or_texts(
    labels: pa.Array, numbers: list[int] | None, names: list[str] | None, tmp_path: Path
) -> None:
    source = Parquet(write_parquet(tmp_path / 'a.parquet', image_table(pngs(3), label=labels)))
    assert (None if source.labels is None else source.labels.tolist()) == numbers
    assert source.has_labels == (numbers is not None)
    assert source.label_names == names
    assert ('label' in source[0]) == (numbers is not None)
    partly = labels.null_count > 0
    assert bool(source.remarks) == partly
    if partly:
        assert source.remarks[0].startswith('1 of 3 rows')
    assert not Parquet(source.path, label=None).has_labels


@pytest.mark.parametrize(
    ('labels', 'words'),
    [
        ([0, 2**40, 1], 'sample 1 of the data set has the label 1099511627776'),
        ([0, -7, 1], 'sample 1 of the data set has the label -7'),
        ([0, 1, 3], 'sample 2 has the label 3, and 3 classes have names'),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    labels: list[int], words: str, tmp_path: Path
) -> None:
    wrong = hub_table(3).set_column(2, 'label', pa.array(labels))
    source = Parquet(write_parquet(tmp_path / 'a.parquet', wrong))
    with refused(words):
        _ = source.labels


def test_the_only_class_that_is_declared_is_the_label(tmp_path: Path) -> None:
    renamed = hub_table(4).rename_columns(['id', 'img', 'fine'])
    said = features()[b'huggingface'].replace(b'"label"', b'"fine"')
    path = write_parquet(
        tmp_path / 'a.parquet', renamed.replace_schema_metadata({'huggingface': said})
    )
    assert Parquet(path).label_names == CLASSES


def test_files_with_other_classes_are_no_data_set(tmp_path: Path) -> None:
    write_parquet(tmp_path / 'a.parquet', hub_table(4))
    write_parquet(tmp_path / 'b.parquet', hub_table(4, names=['dog', 'cat', 'é']))
    with refused('b.parquet name other classes'):
        Parquet(str(tmp_path))


def test_numbers_in_one_file_and_texts_in_another_are_no_classes(tmp_path: Path) -> None:
    for name, labels in (('a', pa.array([0, 7])), ('b', pa.array(['cat', 'dog']))):
        write_parquet(tmp_path / f'{name}.parquet', image_table(pngs(2), label=labels))
    with refused('a.parquet', 'b.parquet', 'numbers in one and texts in the other'):
        Parquet(str(tmp_path))


def test_numbers_may_be_written_in_several_ways(tmp_path: Path) -> None:
    for name, labels in (('a', pa.array([0, 7])), ('b', pa.array([9, 7], pa.uint8()))):
        labels = labels.dictionary_encode() if name == 'b' else labels
        write_parquet(tmp_path / f'{name}.parquet', image_table(pngs(2), label=labels))
    assert Parquet(str(tmp_path)).labels.tolist() == [0, 7, 9, 7]  # type: ignore[union-attr]
