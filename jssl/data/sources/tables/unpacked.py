"""What Parquet files are unpacked into: files in the user's cache, written whole or not at all."""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from jssl.errors import JsslError
from jssl.files import OLD, PART, cache_folder, replacing

FOLDER = 'tables'  # in the cache
OLDER = 86400  # after which what a file that changed was unpacked into is removed


def make_room(size: int, what: str) -> Path:
    """The folder, which has room for so many bytes.

    Args:
      what: the file that is unpacked, for messages.

    Raises:
      JsslError: it has not, or cannot be written.
    """
    folder = cache_folder(FOLDER)
    with _writable(folder, what):
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size > free:
            raise OSError(0, f'it needs {megabytes(size)} and {megabytes(free)} are free')
    return folder


@contextlib.contextmanager
def written(path: Path, what: str) -> Iterator[IO[bytes]]:
    """A file that takes its place at `path` at the end, if all went well, as in `replacing`."""
    with _writable(path.parent, what):
        _tidy(path)
        with replacing(path) as part, part.open('xb') as file:
            yield file
            file.flush()
            os.fsync(file.fileno())


def _tidy(path: Path) -> None:
    """Removes what is left of the same file: by killed processes, or before the file changed.

    What was unpacked lately stays: another machine may have another file of that path, and share
    the cache.
    """
    first = path.name.partition('.')[0]
    for ending, old in ((PART, OLD), ('.arrow', OLDER)):
        for left in path.parent.glob(f'{first}.*{ending}'):
            with contextlib.suppress(OSError):  # another process was quicker
                if left != path and time.time() - left.stat().st_mtime > old:
                    left.unlink()


@contextlib.contextmanager
def _writable(folder: Path, what: str) -> Iterator[Any]:
    """Tells what to do about an error of the system; pyarrow's own are without a number."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise JsslError(
            f'the images of {what} cannot be unpacked into {folder}: {error.strerror}; choose '
            'another disk by export XDG_CACHE_HOME=FOLDER.'
        ) from error


def megabytes(size: int) -> str:
    """Such as ``1,234.5 MB``."""
    return f'{size / 1e6:,.1f} MB'
