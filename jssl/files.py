"""Files that are written whole or not at all, and where those lie that may be made anew."""

import contextlib
import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """``$XDG_CACHE_HOME`` or ``~/.cache``, ``/jssl/NAME``; what lies there may be deleted."""
    root = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.path.expanduser('~'), '.cache')
    return Path(root) / 'jssl' / name


def replace_file(path: Path, content: bytes) -> None:
    """Puts `content` in the place of the file at `path`, or of nothing.

    A process that dies here, or a full disk, leaves what was there before. A link is replaced, and
    what it leads to stays.

    Raises:
      OSError: it cannot be written.
    """
    part = path.with_name(f'{path.name}.part')
    try:
        part.unlink(missing_ok=True)  # what a killed process left, or a link to something
        with part.open('xb') as file:
            file.write(content)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
