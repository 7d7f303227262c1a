"""The files in a tar archive: what they are called and where in it they lie.

The format is POSIX's ustar with the extensions of pax and GNU for long names and large files. Only
headers are read, each once; Python's `tarfile` takes a damaged one for the end of the archive.
"""

from collections.abc import Iterator
from typing import NamedTuple

from jssl.data.sources.fixed_file import FixedFile, Read
from jssl.errors import JsslError

BLOCK = 512
PACKED = {
    b'\x1f\x8b': ('gzip', 'gunzip'),
    b'BZh': ('bzip2', 'bunzip2'),
    b'\xfd7zXZ\x00': ('xz', 'unxz'),
    b'\x28\xb5\x2f\xfd': ('zstd', 'unzstd'),
}
FILLING = 2**20  # bytes that may fill an archive up; tar takes ten thousand
LONGEST_NAME = 2**16  # bytes that say what does not fit into a header
FILES, FOLDER, LINKS = (b'0', b'\0', b'7'), b'5', (b'1', b'2')
GNU_NAME, GNU_LINK, PAX, ABOUT_ALL, VOLUME = b'L', b'K', (b'x', b'X'), b'g', b'V'
ZEROS = bytes(BLOCK)


class Member(NamedTuple):
    """A file in an archive: its name, its place there and its size in bytes."""

    name: str
    offset: int
    size: int


class Header(NamedTuple):
    """What one block says: name, size and kind of what follows it."""

    name: bytes
    size: int
    kind: bytes


def list_members(file: FixedFile) -> Iterator[Member]:
    """The files in an archive, in order; folders are left out.

    Raises:
      OSError: it cannot be read.
      JsslError: it is compressed, cut off, damaged, or no archive, has links or devices in it, or
        more behind its end.
    """
    with file.opened() as read:
        _check_plain(file, read(0, min(6, file.size)))
        place = 0
        long_name: bytes | None = None
        long_size: int | None = None
        while place < file.size:
            header = _header(file, read, place)
            if header is None:
                _check_end(file, read, place)
                return
            name, size, kind = header
            place += BLOCK
            if kind in (GNU_NAME, *PAX):
                said = _said(file, read, place, size)
                if kind == GNU_NAME:
                    long_name = said.rstrip(b'\0')
                else:
                    long_name, long_size = _pax(file, said, place, long_name)
            elif kind not in (GNU_LINK, ABOUT_ALL, VOLUME):
                name = name if long_name is None else long_name
                size = size if long_size is None else long_size
                long_name = long_size = None
                text = name.decode(errors='surrogateescape')
                _check_kind(file, text, kind)
                if place + size > file.size:
                    raise _cut(file, text, place + size)
                if kind in FILES and not text.endswith('/'):
                    yield Member(text, place, size)
            place += -(-size // BLOCK) * BLOCK


def _header(file: FixedFile, read: Read, place: int) -> Header | None:
    """The header at a place; None for the end of the archive."""
    if place + BLOCK > file.size:
        raise _cut(file, 'a header', place + BLOCK)
    block = read(place, BLOCK)
    if block == ZEROS:
        return None
    try:
        total = sum(block) - sum(block[148:156]) + 8 * 32  # the sum counts itself as spaces
        if _number(block[148:156]) != total:
            raise ValueError('its sum is wrong')
        size = _number(block[124:136])
    except ValueError as error:
        what = 'is no tar file' if place == 0 else f'is damaged at byte {place:,}, of a header'
        raise JsslError(f'{file.path} {what} ({error}); copy it again.') from None
    name = block[:100].partition(b'\0')[0]
    prefix = block[345:500].partition(b'\0')[0] if block[257:263] == b'ustar\0' else b''
    return Header(prefix + b'/' + name if prefix else name, size, block[156:157])


def _number(field: bytes) -> int:
    """Octal digits, or since GNU tar, behind a byte of 128, a number as it is."""
    if field[0] & 128:
        if field[0] != 128:
            raise ValueError('a negative size')
        return int.from_bytes(field[1:], 'big')
    digits = field.partition(b'\0')[0].strip()
    if digits and (not digits.isdigit() or b'8' in digits or b'9' in digits):
        raise ValueError('a number that is none')
    return int(digits or b'0', 8)


def _check_end(file: FixedFile, read: Read, place: int) -> None:
    """Behind the mark of the end there are zeros, up to the next multiple of some size.

    A copy that was not finished may have zeros from there on, or a hole of zeros before the rest.
    """
    left = file.size - place
    if left > FILLING or read(place, left).strip(b'\0'):
        raise JsslError(
            f'{file.path} has the mark of its end at byte {place:,}, and {left:,} bytes behind it: '
            'it is a copy that was not finished, or several archives in one; copy it again, or '
            f'write it again from what tar --ignore-zeros -xf {file.path} gives.'
        )


def _said(file: FixedFile, read: Read, place: int, size: int) -> bytes:
    """What follows a header that is about the next one."""
    if size > LONGEST_NAME:
        raise JsslError(
            f'{file.path} is damaged at byte {place:,}: a name of {size:,} bytes; copy it again.'
        )
    if place + size > file.size:
        raise _cut(file, 'a name', place + size)
    return read(place, size)


def _pax(
    file: FixedFile, said: bytes, place: int, name: bytes | None
) -> tuple[bytes | None, int | None]:
    """The path and the size that records such as ``16 path=cat.jpg`` give."""
    size = None
    try:
        while said.strip(b'\0'):
            length = int(said.partition(b' ')[0])
            if not 4 < length <= len(said):
                raise ValueError('a record of another length')
            record, said = said[:length], said[length:]
            key, _, value = record.partition(b' ')[2].rstrip(b'\n').partition(b'=')
            if key == b'path':
                name = value
            elif key == b'size':
                size = int(value)
            elif key.startswith(b'GNU.sparse'):
                raise JsslError(
                    f'{file.path} holds a file with holes at byte {place:,}; write the archive '
                    'again with tar without --sparse.'
                )
        if size is not None and size < 0:
            raise ValueError('a negative size')
    except JsslError:
        raise
    except ValueError as error:
        raise JsslError(
            f'{file.path} is damaged at byte {place:,}: {error!s:.80}; copy it again.'
        ) from None
    return name, size


def _check_plain(file: FixedFile, start: bytes) -> None:
    if not file.size:
        raise JsslError(f'{file.path} is empty; copy it again, or leave it out.')
    for magic, (name, command) in PACKED.items():
        if start.startswith(magic):
            raise JsslError(
                f'{file.path} is compressed by {name}, and no file in it can be read without all '
                f'that lies before it; unpack it once with {command} {file.path} (images are '
                'compressed themselves).'
            )


def _check_kind(file: FixedFile, name: str, kind: bytes) -> None:
    if kind in LINKS:
        raise JsslError(
            f'{name!r} in {file.path} is a link; write the archive again with tar --dereference '
            '--hard-dereference, which puts the files themselves in.'
        )
    if kind not in (*FILES, FOLDER):
        raise JsslError(
            f'{name!r} in {file.path} is no plain file; write the archive again without it.'
        )


def _cut(file: FixedFile, name: str, end: int) -> JsslError:
    return JsslError(
        f'{file.path} is cut off in {name!r}: it has {file.size:,} bytes of {end:,} or more; copy '
        'it again, or leave it out.'
    )
