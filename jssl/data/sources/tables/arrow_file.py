"""A file of Arrow as a table, mapped into memory: streams, as `datasets` writes them, and files."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.fixed_file import FixedFile
from jssl.data.sources.tables.columns import BYTES, readable
from jssl.data.sources.tables.table import MISSING, OUTSIDE, damaged
from jssl.errors import JsslError, in_words

MAGIC = b'ARROW1\0\0'  # behind it a file with a footer is a stream as well


class ArrowFile:
    """One file of Arrow. Each process maps it when it first needs it; forked ones share the map.

    A page that lies behind the end of a file that was cut ends the process. So a file is looked at
    before each image, and nothing is used of a batch before pyarrow has checked all its offsets.
    """

    def __init__(self, path: str) -> None:
        """Reads the schema.

        Raises:
          JsslError: the file is damaged, or none of Arrow.
        """
        self.file = FixedFile.at(path)
        self._column = ''
        self._mapped: tuple[list[Any], NDArray[np.int64]] | None = None
        try:
            self.schema = readable(_reader(self.file)[0].schema)
        except Exception as error:  # of pyarrow, by the place of the damage
            raise _refused(path, error) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_mapped': None}

    def __len__(self) -> int:
        stops = self._batches()[1]
        return int(stops[-1]) if len(stops) else 0

    def use(self, column: str) -> None:
        """See `Table`."""
        self._column = column
        if len(self) > self.file.size:
            raise damaged(self.file.path, f'{len(self):,} rows in {self.file.size:,} bytes')

    def image(self, row: int) -> bytes:
        """See `Table`."""
        self.file.check()
        arrays, stops = self._batches()
        number = int(np.searchsorted(stops, row, 'right'))
        value = arrays[number][row - int(stops[number]) + len(arrays[number])]
        if not value.is_valid:
            raise JsslError(MISSING)
        if self._is_struct():
            value = value[BYTES]
        if not value.is_valid:
            raise JsslError(OUTSIDE)
        return bytes(value.as_py())

    def labels(self, column: str) -> Iterator[Any]:
        """See `Table`."""
        return self._arrays(column)

    def _is_struct(self) -> bool:
        return bool(self.schema.field(self._column).type.num_fields)

    def _batches(self) -> tuple[list[Any], NDArray[np.int64]]:
        """The images of each batch, and how many rows there are up to its end."""
        if self._mapped is None:  # two threads may map the same
            arrays = list(self._arrays(self._column))
            self._mapped = arrays, np.cumsum([len(array) for array in arrays], dtype=np.int64)
        return self._mapped

    def _arrays(self, column: str) -> Iterator[Any]:
        """A column of each batch, as views of the map."""
        try:
            reader, whole = _reader(self.file, self.schema.get_field_index(column))
            for batch in reader:
                array = _checked(batch.column(column))
                if not all(_within(buffer, whole) for buffer in array.buffers()):
                    raise JsslError(
                        f'{self.file.path} is compressed or big-endian, and its images cannot be '
                        'read one by one; write it again with pyarrow.feather.write_feather(table, '
                        'FILE, compression="uncompressed").'
                    )
                yield array
        except Exception as error:  # of pyarrow, by the place of the damage
            raise _refused(self.file.path, error) from error


def _reader(file: FixedFile, column: int | None = None) -> tuple[Any, Any]:
    """What reads batches, of one column alone, and the map."""
    import pyarrow as pa

    file.check()
    source = pa.memory_map(file.path)
    whole = source.read_buffer()
    if whole.size != file.size:
        raise ValueError(f'it has {whole.size:,} bytes of {file.size:,}')
    stream = whole[len(MAGIC) :] if whole[: len(MAGIC)].to_pybytes() == MAGIC else whole
    options = pa.ipc.IpcReadOptions(included_fields=None if column is None else [column])
    return pa.ipc.open_stream(stream, options=options), whole


def _checked(array: Any) -> Any:
    """An array whose offsets are right; of a struct the bytes alone, as the rest is not looked at.

    The bytes of images are not read for that.
    """
    import pyarrow as pa

    if pa.types.is_struct(array.type) and array.type.get_field_index(BYTES) >= 0:
        array.validate()
        kind = pa.struct([array.type.field(BYTES)])
        inside, [levels, *_] = array.field(BYTES), array.buffers()
        array = pa.StructArray.from_buffers(kind, len(array), [levels], children=[inside])
    array.validate(full=True)
    return array


def _within(buffer: Any, whole: Any) -> bool:
    if buffer is None or not buffer.size:
        return True
    start = buffer.address - whole.address
    return bool(0 <= start <= start + buffer.size <= whole.size)


def _refused(path: str, error: Exception) -> JsslError:
    if isinstance(error, JsslError):
        return error
    return damaged(path, in_words(error, where=False).rstrip('.'))
