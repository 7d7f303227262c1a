"""Which image files there are below a folder, and what beside them is left out."""

import collections
import os
from collections.abc import Iterator
from typing import NamedTuple

from jssl.errors import JsslError

EXTENSIONS = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.webp', '.bmp', '.tif', '.tiff', '.gif'),
    *('.ppm', '.pgm'),
)
# Images too, which are not read: a user who has some should know.
UNREAD = (
    *('.heic', '.heif', '.avif', '.jxl', '.jp2', '.j2k', '.jpx', '.pnm', '.pbm', '.pam', '.pfm'),
    *('.tga', '.ico', '.psd', '.svg', '.exr', '.hdr', '.dng', '.cr2', '.cr3', '.nef', '.arw'),
    *('.orf', '.rw2', '.raw', '.dcm', '.npy'),
)
NOWHERE = 'links that lead nowhere'
AGAIN = 'links to folders that are listed already'
SPECIAL = 'pipes, sockets or device files'


class Found(NamedTuple):
    """What is below a folder.

    Attributes:
      names: the paths of all images, relative, with slashes, sorted.
      left_out: in words, and how often.
    """

    names: list[str]
    left_out: dict[str, int]


def images_below(root: str) -> Found:
    """The images below `root`, at any depth. Links are followed, each real folder is listed once.

    Where several paths lead to a folder, the one without a link counts, else the first by name of
    those with the fewest links.

    Raises:
      JsslError: a folder that cannot be read, or no images.
    """
    names: list[str] = []
    left_out: collections.Counter[str] = collections.Counter()
    try:
        for inside, entry in _walk(root, left_out):
            if not entry.is_file():
                left_out[SPECIAL] += 1
            elif entry.name.lower().endswith(EXTENSIONS):
                names.append(inside + entry.name)
            elif (suffix := os.path.splitext(entry.name.lower())[1]) in UNREAD:
                left_out[f'{suffix} files'] += 1
    except OSError as error:
        raise JsslError(
            f'the folder {error.filename!r} cannot be read: {error.strerror}; set path to a folder '
            'of images.'
        ) from None
    if not names:
        but = f' ({in_words(left_out)} are not read)' if left_out else ''
        raise JsslError(
            f'there are no images below {root!r}{but}; set path to a folder with files that end in '
            f'{", ".join(EXTENSIONS)}.'
        )
    return Found(sorted(names), dict(sorted(left_out.items())))


def in_words(left_out: dict[str, int]) -> str:
    """Such as ``3 .heic files, 1 links that lead nowhere``."""
    return ', '.join(f'{count} {what}' for what, count in left_out.items())


def _walk(root: str, left_out: collections.Counter[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything that is no folder, and the path in `root` of the folder that it is in."""
    seen: set[str] = set()
    starts = ['']  # the root, then links found below it, then links found below those
    while starts:
        links: list[str] = []
        for start in starts:
            waiting = [(start, os.path.realpath(os.path.join(root, start)))]
            while waiting:
                inside, real = waiting.pop()
                if real in seen:
                    left_out[AGAIN] += 1
                    continue
                seen.add(real)
                for entry in _entries(os.path.join(root, inside)):
                    if not _leads_somewhere(entry):
                        left_out[NOWHERE] += 1
                    elif not entry.is_dir():
                        yield inside, entry
                    elif entry.is_symlink():
                        links.append(f'{inside}{entry.name}/')
                    else:
                        waiting.append((f'{inside}{entry.name}/', os.path.join(real, entry.name)))
        starts = sorted(links)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith('.')]


def _leads_somewhere(entry: os.DirEntry[str]) -> bool:
    return not entry.is_symlink() or os.path.exists(entry.path)
