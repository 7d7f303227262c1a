"""Files that are written whole or not at all, and where those lie that may be made anew."""

import contextlib
import glob
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

PART = '.part'  # ends the name of a file that is being written
OLD = 3600  # seconds after which nobody writes on


def cache_folder(name: str) -> Path:
    """``$XDG_CACHE_HOME`` or ``~/.cache``, ``/jssl/NAME``; what lies there may be deleted."""
    root = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return Path(root) / 'jssl' / name


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` for a new file, which takes its place when all went well.

    The name is this caller's alone: of several processes that write the same file each has its own,
    and the last one's stays. A process that dies here, or a full disk, leaves what was there
    before; what it leaves besides is removed by a later one, an hour on. A link at `path` is
    replaced, and what it leads to stays.

    Raises:
      OSError: of the body, or the file cannot take its place.
    """
    _tidy(path)
    part = path.with_name(f'{path.name}.{secrets.token_hex(4)}{PART}')
    try:
        yield part
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise


def replace_file(path: Path, content: bytes) -> None:
    """Puts `content` in the place of the file at `path`, or of nothing, as `replacing` does.

    Raises:
      OSError: it cannot be written.
    """
    with replacing(path) as part, part.open('xb') as file:
        file.write(content)


def _tidy(path: Path) -> None:
    """Removes what killed processes have left of the file."""
    for left in path.parent.glob(f'{glob.escape(path.name)}.*{PART}'):
        with contextlib.suppress(OSError):  # another process was quicker
            if time.time() - left.lstat().st_mtime > OLD:
                left.unlink()
