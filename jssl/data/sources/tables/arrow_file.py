"""A file of Arrow as a table: streams, as `datasets` writes them, and files with a footer."""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from jssl.data.sources.fixed_file import FixedFile, Read
from jssl.data.sources.tables.arrow_messages import Batch, read_messages
from jssl.data.sources.tables.columns import BYTES
from jssl.data.sources.tables.table import MISSING, OUTSIDE, damaged
from jssl.errors import JsslError


class Place(NamedTuple):
    """Where in each batch an array is: the numbers of its node and of its first buffer."""

    node: int
    buffer: int


class ArrowFile:
    """One file of Arrow; of a batch only the place is kept."""

    def __init__(self, path: str) -> None:
        """Finds the batches of a file.

        Raises:
          JsslError: it is damaged, cut off, compressed, or none of Arrow.
        """
        self.file = FixedFile.at(path)
        self.schema, self._batches = read_messages(self.file)
        self._stops = np.cumsum([batch.rows for batch in self._batches], dtype=np.int64)
        if len(self) > self.file.size:
            raise damaged(path, f'{len(self):,} rows in {self.file.size:,} bytes')

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def check(self, column: str) -> None:
        """See `Table`."""
        self._image_place(column)

    def image(self, column: str, row: int) -> bytes:
        """See `Table`."""
        number = int(np.searchsorted(self._stops, row, 'right'))
        batch = self._batches[number]
        row -= int(self._stops[number]) - batch.rows
        levels, inside = self._image_place(column)
        with self.file.opened() as read:
            if not self._holds(read, batch, levels[0], row):
                raise JsslError(MISSING)
            if not all(self._holds(read, batch, place, row) for place in levels[1:]):
                raise JsslError(OUTSIDE)
            return self._value(read, batch, levels[-1], inside, row)

    def labels(self, column: str) -> list[Any]:
        """See `Table`."""
        return list(self._labels(column))

    def _labels(self, column: str) -> Iterator[Any]:
        import pyarrow as pa

        kind, (node, first) = self.schema.field(column).type, self._place(column)
        if pa.types.is_dictionary(kind):
            raise JsslError(
                f'the column {column!r} of {self.file.path} is a dictionary; write its values '
                'themselves, or give label=None.'
            )
        count = _buffers(kind)
        with self.file.opened() as read:
            for batch in self._batches:
                self._check(batch, Place(node, first), count)
                parts = [read(*map(int, span)) for span in batch.buffers[first : first + count]]
                buffers = [pa.py_buffer(part) if part else None for part in parts]
                try:
                    array = pa.Array.from_buffers(kind, batch.rows, buffers)
                    array.validate(full=True)
                except (pa.ArrowException, ValueError) as error:
                    raise damaged(self.file.path, f'column {column!r}: {error!s:.200}') from error
                yield array

    @functools.cached_property
    def _places(self) -> dict[str, Place]:
        """Where each column begins, up to the first of a type with buffers of unknown number."""
        places, node, buffer = {}, 0, 0
        for field in self.schema:
            places[field.name] = Place(node, buffer)
            try:
                node, buffer = node + _nodes(field.type), buffer + _buffers(field.type)
            except NotImplementedError:
                break
        return places

    def _place(self, column: str) -> Place:
        if column in self._places:
            return self._places[column]
        last = list(self._places)[-1]
        raise JsslError(
            f'the column {column!r} of {self.file.path} lies behind {last!r}, of the type '
            f'{self.schema.field(last).type}, which is not read; write the set without that one'
        )

    def _image_place(self, column: str) -> tuple[list[Place], str]:
        """The array of a column, and the bytes in it if it is a struct; the form of offsets."""
        import pyarrow as pa

        kind, place = self.schema.field(column).type, self._place(column)
        levels = [place]
        if pa.types.is_struct(kind):
            place = Place(place.node + 1, place.buffer + 1)
            for field in list(kind)[: kind.get_field_index(BYTES)]:
                nodes, buffers = _nodes(field.type), _buffers(field.type)
                place = Place(place.node + nodes, place.buffer + buffers)
            levels, kind = [*levels, place], kind.field(BYTES).type
        return levels, '<i8' if pa.types.is_large_binary(kind) else '<i4'

    def _check(self, batch: Batch, place: Place, count: int) -> None:
        enough = len(batch.nodes) > place.node and len(batch.buffers) >= place.buffer + count
        if not enough or batch.nodes[place.node, 0] != batch.rows:
            raise damaged(self.file.path, 'a batch has other columns than the file')

    def _holds(self, read: Read, batch: Batch, place: Place, row: int) -> bool:
        """Whether a row is not null."""
        self._check(batch, place, 1)
        start, length = map(int, batch.buffers[place.buffer])
        if not batch.nodes[place.node, 1] or not length:
            return True
        if row // 8 >= length:
            raise damaged(self.file.path, 'too few bits say which rows are there')
        return bool(read(start + row // 8, 1)[0] >> row % 8 & 1)

    def _value(self, read: Read, batch: Batch, place: Place, form: str, row: int) -> bytes:
        self._check(batch, place, 3)
        (offsets, size), (data, length) = batch.buffers[
            place.buffer + 1 : place.buffer + 3
        ].tolist()
        width = np.dtype(form).itemsize
        if (row + 2) * width > size:
            raise damaged(self.file.path, 'too few offsets say where its images are')
        start, stop = np.frombuffer(read(offsets + row * width, 2 * width), form).tolist()
        if not 0 <= start <= stop <= length:
            raise damaged(self.file.path, f'an image is to lie from {start} to {stop} of {length}')
        return read(data + start, stop - start)


def _children(kind: Any) -> list[Any]:
    return [kind.field(row).type for row in range(kind.num_fields)]


def _nodes(kind: Any) -> int:
    """How many arrays a column of a type is made of."""
    import pyarrow as pa

    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    if pa.types.is_dictionary(kind):
        return 1
    return 1 + sum(map(_nodes, _children(kind)))


def _buffers(kind: Any) -> int:
    """How many buffers a column of a type is made of.

    Raises:
      NotImplementedError: that differs from batch to batch, or is not known.
    """
    import pyarrow as pa

    types = pa.types
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    views = types.is_binary_view, types.is_string_view, types.is_list_view, types.is_large_list_view
    if any(test(kind) for test in (types.is_union, types.is_run_end_encoded, *views)):
        raise NotImplementedError(str(kind))
    if types.is_dictionary(kind):
        return 2
    if types.is_null(kind):
        return 0
    if types.is_struct(kind) or types.is_fixed_size_list(kind):
        return 1 + sum(map(_buffers, _children(kind)))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_map(kind):
        return 2 + sum(map(_buffers, _children(kind)))
    texts = (types.is_binary, types.is_large_binary, types.is_string, types.is_large_string)
    return 3 if any(test(kind) for test in texts) else 2
