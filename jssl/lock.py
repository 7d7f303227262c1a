"""One process at a time in a folder: a lock that the system takes back when its holder ends."""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jssl.errors import JsslError

LOCK = '.lock'
# What `flock` raises where a file system, such as NFS without its lock service, has no locks.
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


@contextlib.contextmanager
def locked(
    path: Path, folder: Path, remedy: str, *, report: Callable[[str], None] = print
) -> Iterator[None]:
    """Keeps every other process, and every other call in this one, away from a folder.

    The holder's name stands in a file, which is gone afterwards. One that a killed holder has left
    behind keeps nobody out.

    Args:
      path: of that file, such as one called `LOCK` in the folder.
      folder: for messages.
      remedy: what to do instead, a sentence that ends the refusal.
      report: is told in one line where the file system has no locks; then nobody is kept out.

    Raises:
      JsslError: another process holds it, which is named; or the file cannot be written.
    """
    try:
        number = _acquire(path, folder, remedy, report)
    except OSError as error:
        raise JsslError(f'{path} cannot be written: {error.strerror}. {remedy}') from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()  # while it is held: whoever opens the old file notices, see `_is_at`
        os.close(number)


def _acquire(path: Path, folder: Path, remedy: str, report: Callable[[str], None]) -> int:
    """The open lock file, with this process's name in it."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                holder = _holder(number)
                os.close(number)
                raise JsslError(f'{folder} is in use by {holder}. {remedy}') from error
            report(
                f'{folder} is on a file system without locks ({error.strerror}): see to it that '
                'nothing else writes there.'
            )
            return number
        if _is_at(number, path):
            _sign(number)
            return number
        os.close(number)


def _is_at(number: int, path: Path) -> bool:
    """Whether an open file is the one of that name, not one that its last holder removed."""
    try:
        return os.path.samestat(os.fstat(number), path.stat())
    except FileNotFoundError:
        return False


def _sign(number: int) -> None:
    since = time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())
    os.ftruncate(number, 0)
    os.pwrite(number, f'process {os.getpid()} on {socket.gethostname()} since {since}'.encode(), 0)


def _holder(number: int) -> str:
    """Who has signed; a holder that is just about to has no name yet."""
    text = os.pread(number, 200, 0).decode(errors='replace')
    return text if text.startswith('process ') and text.isprintable() else 'another process'
