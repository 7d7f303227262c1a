"""The rows of some files of one table as samples."""

import functools
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.labels import NONE, checked_labels
from jssl.data.sources.patterns import short_names
from jssl.data.sources.tables.arrow_file import ArrowFile
from jssl.data.sources.tables.columns import choose, is_text
from jssl.data.sources.tables.parquet_file import ParquetFile, unpack
from jssl.data.sources.tables.table import Table
from jssl.errors import JsslError

PARQUET = '.parquet'


class Labels(NamedTuple):
    """The labels of all rows.

    Attributes:
      numbers: int32 (rows,); None where there are none, or some rows lack theirs.
      names: of the classes; None where they have none.
      missing: how many rows lack theirs.
    """

    numbers: NDArray[np.int32] | None
    names: list[str] | None
    missing: int


class Rows:
    """Samples by number, of one file after the other."""

    def __init__(self, files: Sequence[str], image: str | None, label: str | None) -> None:
        """Opens the files.

        Args:
          files: of one table, Arrow or Parquet by their endings.
          image: the column, see `columns.choose`.
          label: the column, see there.

        Raises:
          JsslError: a damaged file, no such column, no rows, or files that differ.
        """
        self.tables = [_open(file) for file in files]
        self.names = short_names(files)
        first = self.tables[0]
        self.columns = choose(first.schema, image, label, first.file.path)
        for table in self.tables:
            other = choose(table.schema, self.columns.image, self.columns.label, table.file.path)
            if other != self.columns:
                raise JsslError(
                    f'{first.file.path} and {table.file.path} name other classes, or their labels '
                    'are numbers in one and texts in the other; give the files of one data set.'
                )
        packed = [table for table in self.tables if isinstance(table, ParquetFile)]
        unpack(packed, self.columns.image)
        for table in self.tables:
            table.use(self.columns.image)
        self.stops = np.cumsum([len(table) for table in self.tables], dtype=np.int64)
        if not len(self):
            raise JsslError(f'{first.file.path} has no rows; give a table with at least one.')

    def __len__(self) -> int:
        return int(self.stops[-1])

    def image(self, index: int) -> bytes:
        """The encoded image of a row."""
        table, row = self.place(index)
        return self.tables[table].image(row)

    def place(self, index: int) -> tuple[int, int]:
        """The number of the file, and the row in it."""
        if not 0 <= index < len(self):
            raise IndexError(f'sample {index} of {len(self)}')
        table = int(np.searchsorted(self.stops, index, 'right'))
        return table, index - int(self.stops[table]) + len(self.tables[table])

    @functools.cached_property
    def labels(self) -> Labels:
        """The labels of all rows, read when they are first asked for."""
        if self.columns.label is None:
            return Labels(None, None, 0)
        column = self.columns.label
        numbers, names = _numbered(part for table in self.tables for part in table.labels(column))
        if len(numbers) != len(self):
            raise JsslError(
                f'the column {self.columns.label!r} has {len(numbers)} rows and there are '
                f'{len(self)} images; copy the files again, or give label=None.'
            )
        names = names if self.columns.names is None else list(self.columns.names)
        if missing := int((numbers == NONE).sum()):
            return Labels(None, None, missing)
        found = checked_labels(numbers, len(self))
        if names is not None and found is not None and found.max() >= len(names):
            row = int(found.argmax())
            raise JsslError(
                f'sample {row} has the label {found[row]}, and {len(names)} classes have names; '
                'write the table again, or give label=None.'
            )
        return Labels(found, names, 0)


def _open(file: str) -> Table:
    if file.lower().endswith(PARQUET) or os.path.getsize(file) == 0:
        return ParquetFile(file)
    return ArrowFile(file)


def _numbered(chunks: Iterable[Any]) -> tuple[NDArray[np.int64], list[str] | None]:
    """Labels as numbers, -1 for what is null, and the names of classes where they are texts."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts: dict[Any, int] = {}
    parts = [np.zeros(0, np.int64)]
    for chunk in chunks:
        encoded = pa.types.is_dictionary(chunk.type)
        if not is_text(chunk.type):
            parts.append(_whole(chunk.dictionary_decode() if encoded else chunk))
            continue
        chunk = chunk if encoded else pc.dictionary_encode(chunk)
        table = [texts.setdefault(text, len(texts)) for text in chunk.dictionary.to_pylist()]
        parts.append(np.append(np.array(table, np.int64), NONE)[_whole(chunk.indices)])
    numbers = np.concatenate(parts)
    return _in_order(numbers, texts) if texts else (numbers, None)


def _whole(numbers: Any) -> NDArray[np.int64]:
    """An array of pyarrow, -1 for null."""
    import pyarrow as pa

    try:
        return numbers.cast(pa.int64()).fill_null(NONE).to_numpy(zero_copy_only=False)
    except pa.ArrowException as error:
        raise JsslError(f'the labels are no classes: {error!s:.200}; give label=None.') from error


def _in_order(
    numbers: NDArray[np.int64], texts: dict[Any, int]
) -> tuple[NDArray[np.int64], list[str] | None]:
    """Texts numbered in their order."""
    order = sorted(text for text in texts if text is not None)
    places = {text: place for place, text in enumerate(order)}
    table = np.array([*(places.get(text, NONE) for text in texts), NONE], np.int64)
    return table[numbers], order
