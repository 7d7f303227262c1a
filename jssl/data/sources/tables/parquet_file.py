"""A Parquet file as a table, of which one image is read without its group of rows."""

from typing import Any, NamedTuple

import numpy as np

from jssl.data.sources.fixed_file import FixedFile, Read
from jssl.data.sources.tables.columns import BYTES, is_image
from jssl.data.sources.tables.page_cache import CACHE
from jssl.data.sources.tables.parquet_pages import (
    Chunk,
    Content,
    Page,
    find_pages,
    read_dictionary,
    read_page,
)
from jssl.data.sources.tables.parquet_values import Values, read_value
from jssl.data.sources.tables.table import MISSING, OUTSIDE, damaged
from jssl.errors import JsslError, in_words

UNCOMPRESSED = 'UNCOMPRESSED'
CODECS = {'SNAPPY': 'snappy', 'GZIP': 'gzip', 'BROTLI': 'brotli', 'ZSTD': 'zstd', 'LZ4': 'lz4_raw'}
READ = {'PLAIN', 'PLAIN_DICTIONARY', 'RLE_DICTIONARY', 'RLE', 'BIT_PACKED'}


class Column(NamedTuple):
    """A column of images.

    Attributes:
      highest: the level of definition of what is not null.
      outside: the level of a struct whose bytes are null; None where they cannot be.
      chunks: of each group of rows.
      unread: encodings and compressions that are not read.
    """

    highest: int
    outside: int | None
    chunks: list[Chunk]
    unread: list[str]


class Pages:
    """The pages of a chunk; where the images of one lie is kept when it was read once.

    Attributes:
      data: the pages but for the dictionary.
      stops: int64 (pages,), how many rows there are up to the end of each.
    """

    def __init__(self, dictionary: Page | None, data: list[Page]) -> None:
        self.data = data
        self.stops = np.cumsum([page.length for page in data], dtype=np.int64)
        self._dictionary = dictionary
        self._values: Values | None = None
        self._contents: dict[int, Content] = {}

    def content(self, read: Read, number: int, highest: int) -> Content:
        """What is in a page of data, see `read_page`."""
        page = self.data[number]
        if number not in self._contents:
            with CACHE.turn(page.unpacked):
                if number not in self._contents:
                    self._contents[number] = read_page(read, page, highest)
        return self._contents[number]

    def values(self, read: Read) -> Values:
        """What is in the dictionary."""
        page = self._dictionary
        if page is None:
            raise ValueError('its dictionary is missing')
        if self._values is None:
            with CACHE.turn(page.unpacked):
                self._values = self._values or read_dictionary(read, page)
        return self._values


class ParquetFile:
    """One Parquet file; what is kept of it is where its groups of rows lie."""

    def __init__(self, path: str) -> None:
        """Reads what the file says of itself.

        Raises:
          JsslError: it is damaged or no Parquet file, or holds images in a form that is not read.
        """
        import pyarrow.parquet as pq

        self.file = FixedFile.at(path)
        try:
            with pq.ParquetFile(path) as opened:
                self.schema, metadata = opened.schema_arrow, opened.metadata
                groups = range(metadata.num_row_groups)
                rows = [metadata.row_group(number).num_rows for number in groups]
                self._columns = {
                    name: _column(self.schema.field(name), metadata)
                    for name in self.schema.names
                    if self.schema.names.count(name) == 1 and is_image(self.schema.field(name).type)
                }
        except (JsslError, MemoryError):
            raise
        except Exception as error:  # of pyarrow, by the place of the damage
            words = in_words(error, where=False)
            raise JsslError(
                f'{path} is no Parquet file, or damaged: {words.rstrip(".")}; copy it again.'
            ) from error
        if min(rows, default=0) < 0 or sum(rows) > self.file.size:
            raise damaged(path, f'{sum(rows):,} rows in {self.file.size:,} bytes')
        self._stops = np.cumsum(rows, dtype=np.int64)
        self._pages: dict[tuple[str, int], Pages] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, '_pages': {}}

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def check(self, column: str) -> None:
        """See `Table`."""
        if unread := self._columns[column].unread:
            raise JsslError(
                f'the column {column!r} of {self.file.path} is written as {", ".join(unread)}, '
                'which is not read; write the table again with pyarrow.parquet.write_table(table, '
                'FILE).'
            )

    def image(self, column: str, row: int) -> bytes:
        """See `Table`."""
        group = int(np.searchsorted(self._stops, row, 'right'))
        row -= int(self._stops[group]) - self._columns[column].chunks[group].rows
        try:
            with self.file.opened() as read:
                return self._value(read, column, group, row)
        except (ValueError, IndexError, TypeError) as error:
            if isinstance(error, JsslError):
                raise
            raise damaged(self.file.path, str(error)) from error

    def _value(self, read: Read, column: str, group: int, row: int) -> bytes:
        pages, told = self._found(read, column, group), self._columns[column]
        number = int(np.searchsorted(pages.stops, row, 'right'))
        row -= int(pages.stops[number]) - pages.data[number].length
        content = pages.content(read, number, told.highest)
        if content.levels is not None:
            level = content.levels[row]
            if level != told.highest:
                raise JsslError(OUTSIDE if level == told.outside else MISSING)
            row = content.levels.before(row, level)
        if content.values is not None:
            return read_value(read, content.values, row, self.file)
        if content.numbers is None:
            raise ValueError('a page without values')
        return read_value(read, pages.values(read), content.numbers[row], self.file)

    def _found(self, read: Read, column: str, group: int) -> Pages:
        """The pages of a chunk, found when it is first read."""
        key = column, group
        if key not in self._pages:
            self._pages[key] = Pages(*find_pages(read, self._columns[column].chunks[group]))
        return self._pages[key]

    def labels(self, column: str) -> list[Any]:
        """See `Table`."""
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.file.path, read_dictionary=[column]) as opened:
                self._check_pages(opened.metadata, column)
                table = opened.read(columns=[column], use_threads=False)
                table.validate(full=True)
        except MemoryError:
            raise
        except Exception as error:  # of pyarrow, by the place of the damage
            raise damaged(self.file.path, in_words(error, where=False).rstrip('.')) from error
        return table.column(column).chunks

    def _check_pages(self, metadata: Any, column: str) -> None:
        """Refuses pages that would take far more memory than labels do."""
        with self.file.opened() as read:
            for chunk in _chunks(metadata, column):
                find_pages(read, chunk)


def _column(field: Any, metadata: Any) -> Column:
    """Where the images of a column lie."""
    import pyarrow as pa

    struct = pa.types.is_struct(field.type)
    leaf = f'{field.name}.{BYTES}' if struct else field.name
    number = _number(leaf, metadata)
    told = metadata.schema.column(number)
    if told.physical_type != 'BYTE_ARRAY' or told.max_repetition_level:
        raise ValueError(f'column {leaf!r} holds {told.physical_type}')
    groups = [metadata.row_group(row).column(number) for row in range(metadata.num_row_groups)]
    unread = {form for group in groups for form in group.encodings} - READ
    unread |= {group.compression for group in groups} - {UNCOMPRESSED, *CODECS}
    highest = told.max_definition_level
    outside = highest - 1 if struct and field.type.field(BYTES).nullable else None
    return Column(highest, outside, _chunks(metadata, leaf), sorted(unread))


def _number(leaf: str, metadata: Any) -> int:
    return [metadata.schema.column(n).path for n in range(metadata.num_columns)].index(leaf)


def _chunks(metadata: Any, leaf: str) -> list[Chunk]:
    """Where a column lies in each group of rows."""
    number, chunks = _number(leaf, metadata), []
    for row in range(metadata.num_row_groups):
        group = metadata.row_group(row)
        column = group.column(number)
        start = column.data_page_offset
        if column.has_dictionary_page and column.dictionary_page_offset:
            start = min(start, column.dictionary_page_offset)
        stop = start + column.total_compressed_size
        chunks.append(Chunk(group.num_rows, start, stop, CODECS.get(column.compression)))
    return chunks
