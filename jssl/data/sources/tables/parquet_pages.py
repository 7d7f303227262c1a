"""The pages of a column of bytes in a Parquet file: where they lie, and what is in one.

https://parquet.apache.org/docs/file-format. pyarrow reads groups of rows, often the whole file, for
one image; a page is about a megabyte of them.
"""

from typing import Any, NamedTuple

from jssl.data.sources.fixed_file import Read
from jssl.data.sources.tables.hybrid import Runs, read_runs
from jssl.data.sources.tables.parquet_values import Body, Values, find_values, unpack
from jssl.data.sources.tables.thrift import read_struct
from jssl.errors import JsslError

DATA, DICTIONARY, DATA_2 = 0, 2, 3  # kinds of pages
PLAIN, RLE, BY_DICTIONARY = 0, 3, (2, 8)  # encodings
HEADERS = (
    2**12,
    2**20,
)  # bytes that are looked at for a header, which may hold a small value twice
LARGEST_PAGE = 2**30  # bytes
LARGE_PAGE, DENSEST = 2**26, 200  # one of more bytes takes at most so many times less in the file
MOST_VALUES = 2**22  # in a page; writers end one at 20,000 rows, or at a megabyte


class Chunk(NamedTuple):
    """A column of a group of rows.

    Attributes:
      rows: how many.
      start: of its bytes in the file.
      stop: their end.
      codec: that its pages are compressed with, in pyarrow's words; None for none.
    """

    rows: int
    start: int
    stop: int
    codec: str | None


class Page(NamedTuple):
    """Where a page lies.

    Attributes:
      length: how many values it has, nulls included.
      encoding: of the values.
      start: of its bytes in the file.
      size: of them.
      unpacked: how many bytes they are when decompressed.
      level_bytes: before the values, not compressed; None where they are compressed with them.
      codec: as of the chunk.
    """

    length: int
    encoding: int
    start: int
    size: int
    unpacked: int
    level_bytes: tuple[int, int] | None
    codec: str | None


class Content(NamedTuple):
    """What is in a page of data.

    Attributes:
      levels: of definition, of each row; None where every row has a value.
      values: those that are not null, or None where they are `numbers` in the dictionary.
      numbers: as said.
    """

    levels: Runs | None
    values: Values | None
    numbers: Runs | None


def find_pages(read: Read, chunk: Chunk) -> tuple[Page | None, list[Page]]:
    """The dictionary of a chunk, if it has one, and its pages of data, in order.

    Raises:
      ValueError: they are not what the chunk says.
    """
    place, found = chunk.start, 0
    dictionary, pages = None, []
    while found < chunk.rows:
        fields, place = _header(read, place, chunk.stop)
        kind, size = fields.get(1), int(fields.get(3, -1))
        if not 0 <= size <= chunk.stop - place:
            raise ValueError('a page is longer than its column')
        if kind in (DATA, DATA_2, DICTIONARY):
            page = _page(fields, place, chunk.codec)
            if kind == DICTIONARY:
                dictionary = page
            else:
                pages.append(page)
                found += page.length
        place += size
    return dictionary, pages


def _header(read: Read, place: int, stop: int) -> tuple[dict[int, Any], int]:
    for most in HEADERS:
        data = read(place, min(most, stop - place))
        try:
            fields, length = read_struct(data)
        except ValueError:
            if most == HEADERS[-1] or len(data) < most:
                raise
            continue
        return fields, place + length
    raise AssertionError


def _page(fields: dict[int, Any], place: int, codec: str | None) -> Page:
    kind, unpacked = fields[1], int(fields.get(2, -1))
    inner = fields.get({DATA: 5, DICTIONARY: 7, DATA_2: 8}[kind])
    if not isinstance(inner, dict) or not isinstance(inner.get(1), int):
        raise ValueError('a page without a description')
    count, encoding = inner[1], int(inner.get(4 if kind == DATA_2 else 2, -1))
    if unpacked < 0 or not 0 <= count <= MOST_VALUES:
        raise ValueError(f'a page of {unpacked:,} bytes and {count:,} values')
    if unpacked > LARGE_PAGE and unpacked > DENSEST * fields[3]:
        raise ValueError(f'a page of {unpacked:,} bytes that is to come from {fields[3]:,}')
    if unpacked > LARGEST_PAGE:
        raise JsslError(
            f'it lies in a page of {unpacked:,} bytes, all of which would be read for it; write '
            'the table again with pyarrow.parquet.write_table(table, FILE, row_group_size=100)'
        )
    levels = None
    if kind == DATA_2:
        levels = int(inner.get(6, 0)), int(inner.get(5, 0))
        if min(levels) < 0 or sum(levels) > min(unpacked, fields[3]):
            raise ValueError('levels that are longer than their page')
        codec = codec if inner.get(7, True) else None
    elif kind == DATA and inner.get(3) != RLE:
        raise ValueError('levels in an encoding that is long out of use')
    return Page(count, encoding, place, fields[3], unpacked, levels, codec)


def read_dictionary(read: Read, page: Page) -> Values:
    """The values of a dictionary.

    Raises:
      ValueError: it is damaged.
    """
    raw = read(page.start, page.size)
    body = Body(page.start, page.size, page.unpacked, page.codec)
    return find_values(body, raw, unpack(body, raw), 0, page.length)


def read_page(read: Read, page: Page, highest: int) -> Content:
    """What is in a page of data.

    Args:
      read: of the file.
      page: of it.
      highest: the level of definition of a row that is not null; 0 where none is.

    Raises:
      ValueError: it is damaged, or in an encoding that is not read.
    """
    raw = read(page.start, page.size)
    before = sum(page.level_bytes or ())  # levels that are not compressed
    body = Body(page.start + before, page.size - before, page.unpacked - before, page.codec)
    inside = raw[before:]
    data = unpack(body, inside)
    levels, start = _levels(page, raw, data, highest)
    count = page.length if levels is None else levels.before(page.length, highest)
    if page.encoding == PLAIN:
        return Content(levels, find_values(body, inside, data, start, count), None)
    if page.encoding not in BY_DICTIONARY:
        raise ValueError(f'values in the encoding {page.encoding}')
    if not count:
        return Content(levels, None, Runs.of(0, 0))
    if start >= len(data):
        raise ValueError('a page without values')
    return Content(levels, None, read_runs(memoryview(data)[start + 1 :], data[start], count))


def _levels(page: Page, raw: bytes, data: bytes, highest: int) -> tuple[Runs | None, int]:
    """The levels of a page, and where its values begin in the decompressed data."""
    width = highest.bit_length()
    if page.level_bytes is not None:
        skipped, length = page.level_bytes
        levels = memoryview(raw)[skipped : skipped + length]
        return read_runs(levels, width, page.length) if highest else None, 0
    if not highest:
        return None, 0
    if len(data) < 4:
        raise ValueError('a page without levels')
    start = 4 + int.from_bytes(data[:4], 'little')
    return read_runs(memoryview(data)[4:start], width, page.length), start
