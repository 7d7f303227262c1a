"""A Parquet file as a table: its images are unpacked once, into a file of Arrow."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jssl.data.sources.fixed_file import FixedFile
from jssl.data.sources.tables.arrow_file import ArrowFile
from jssl.data.sources.tables.columns import BYTES, readable
from jssl.data.sources.tables.table import damaged
from jssl.data.sources.tables.unpacked import FOLDER, make_room, megabytes, written
from jssl.errors import JsslError, in_words
from jssl.files import cache_folder

VERSION = 1
BUFFER = 2**20  # bytes of a column that are read at a time, instead of those of a group of rows
IMAGES, LABELS = 16, 2**16  # rows that are unpacked at a time
LARGE, DENSEST = 2**26, 200  # more bytes take at most so many times less in the file


class ParquetFile:
    """One Parquet file; Parquet itself has no places of single images."""

    def __init__(self, path: str) -> None:
        """Reads what the file says of itself.

        Raises:
          JsslError: it is damaged or no Parquet file.
        """
        self.file = FixedFile.at(path)
        self._images: ArrowFile | None = None
        with self._opened() as opened:
            self.schema, self._rows = readable(opened.schema_arrow), opened.metadata.num_rows
        if not 0 <= self._rows <= self.file.size:
            raise damaged(path, f'{self._rows:,} rows in {self.file.size:,} bytes')

    def __len__(self) -> int:
        return self._rows

    def image(self, row: int) -> bytes:
        """See `Table`."""
        assert self._images is not None  # see `use`
        self.file.check()
        return self._images.image(row)

    def labels(self, column: str) -> Iterator[Any]:
        """See `Table`."""
        self.size()
        with self._opened(read_dictionary=[column]) as opened:
            for batch in opened.iter_batches(LABELS, columns=[column], use_threads=False):
                batch.validate(full=True)
                yield batch.column(0)

    def use(self, column: str) -> None:
        """See `Table`."""
        if not self.is_unpacked(column):
            self._unpack(column)
        if not self.is_unpacked(column):
            raise damaged(str(self._path(column)), 'it is not what was written')

    def is_unpacked(self, column: str) -> bool:
        """Whether the images are found where `use` unpacks them."""
        if self._images is None:
            with contextlib.suppress(JsslError):  # there are none, or they were damaged since
                images = ArrowFile(str(self._path(column)))
                images.use(column)
                self._images = images if len(images) == self._rows else None
        return self._images is not None

    def size(self) -> int:
        """How many bytes all columns take when unpacked, as the file says.

        It is not asked for one column: where that is damaged, pyarrow 26 ends the process.
        """
        with self._opened() as opened:
            told = opened.metadata
            groups = range(told.num_row_groups)
            size = sum(told.row_group(number).total_byte_size for number in groups)
        self._check_size(size)
        return size

    def _check_size(self, size: int) -> None:
        if size < 0 or size > max(LARGE, DENSEST * self.file.size):
            raise damaged(self.file.path, f'{size:,} bytes that come from {self.file.size:,}')

    def _leaf(self, column: str) -> str:
        return f'{column}.{BYTES}' if self.schema.field(column).type.num_fields else column

    def _path(self, column: str) -> Path:
        now = self.file.digest(VERSION, column)
        return cache_folder(FOLDER) / f'{self.file.place(column)}.{now}.arrow'

    def _unpack(self, column: str) -> None:
        """Writes the images of all rows; keeps some rows and a page or two in memory."""
        import pyarrow as pa

        kind, rows, size = self.schema.field(column).type, 0, 0
        schema = pa.schema([(column, pa.struct([kind.field(BYTES)]) if kind.num_fields else kind)])
        with self._opened() as opened, written(self._path(column), self.file.path) as sink:
            batches = opened.iter_batches(IMAGES, columns=[self._leaf(column)], use_threads=False)
            with pa.ipc.new_stream(sink, schema) as writer:
                for batch in batches:
                    rows, size = rows + len(batch), size + batch.nbytes
                    self._check_size(size)
                    writer.write_batch(batch.cast(schema))
            self.file.check()
            if rows != self._rows:
                raise ValueError(f'{rows:,} rows of {self._rows:,}')

    @contextlib.contextmanager
    def _opened(self, **options: Any) -> Iterator[Any]:
        """The file as pyarrow reads it."""
        import pyarrow.parquet as pq

        options = dict(buffer_size=BUFFER, pre_buffer=False, **options)  # else all is kept
        try:
            with pq.ParquetFile(self.file.path, **options) as opened:
                yield opened
        except JsslError:
            raise
        except Exception as error:  # of pyarrow, by the place of the damage
            raise damaged(self.file.path, in_words(error, where=False).rstrip('.')) from error


def unpack(files: Sequence[ParquetFile], column: str) -> None:
    """Unpacks the images of files that were not before, and says so.

    Raises:
      JsslError: there is no room for them, or a file is damaged.
    """
    packed = [file for file in files if not file.is_unpacked(column)]
    if not packed:
        return
    first, size = packed[0].file.path, sum(file.size() for file in packed)
    folder = make_room(size, first)
    what = first if len(packed) == 1 else f'{len(packed)} Parquet files, {first} and others,'
    print(
        f'The images of {what} are unpacked once, into {folder}: {megabytes(size)}.',
        file=sys.stderr,
    )
    for file in packed:
        file.use(column)
