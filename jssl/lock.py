"""One process at a time in a folder: a lock that the system takes back when its holder ends."""

import contextlib
import errno
import fcntl
import os
import shlex
import socket
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jssl.errors import JsslError

LOCK = '.lock'
# What `flock` raises where a file system, such as NFS without its lock service, has no locks.
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


@contextlib.contextmanager
def locked(
    path: Path, folder: Path, instead: str, *, report: Callable[[str], None] = print
) -> Iterator[Callable[[], bool]]:
    """Keeps every other process, and every other call in this one, away from a folder.

    The holder's name stands in a file, which is gone afterwards. One that a killed holder has left
    behind keeps nobody out.

    Args:
      path: of that file, such as one called `LOCK` in the folder.
      folder: for messages.
      instead: of this folder, such as ``give another --workdir``.
      report: is told in one line where the file system has no locks; then nobody is kept out.

    Yields:
      Whether others are still kept out: not once the file was removed or renamed, alone or with the
      folder. Where there are no locks it is always true.

    Raises:
      JsslError: another process holds it, which is named; or the file cannot be written, or is a
        link or no file at all.
    """
    try:
        number, locks = _acquire(path, folder, instead, report)
    except OSError as error:
        raise JsslError(
            f'{path} cannot be written: {error.strerror}. Let files be written there, or {instead}.'
        ) from error
    try:
        yield lambda: not locks or _is_at(number, path)
    finally:
        with contextlib.suppress(OSError):
            if _is_at(number, path):  # else it is that of another, who found it gone
                path.unlink()  # while it is held: whoever opens the old file notices
        os.close(number)


def _acquire(
    path: Path, folder: Path, instead: str, report: Callable[[str], None]
) -> tuple[int, bool]:
    """The open lock file, with this process's name in it, and whether the system knows locks."""
    while True:
        _check_plain(path, instead)
        # Through a link, made since that check, somebody else's file would be overwritten.
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                holder = _holder(number)
                os.close(number)
                raise JsslError(
                    f'{folder} is in use by {holder}. Wait for its end, or {instead}.'
                ) from error
            report(
                f'{folder} is on a file system without locks ({error.strerror}): see to it that '
                'nothing else writes there.'
            )
            return number, False
        if _is_at(number, path):
            _sign(number)
            return number, True
        os.close(number)


def _check_plain(path: Path, instead: str) -> None:
    """Refuses what lies in the place of a lock file and is none."""
    if os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        raise JsslError(
            f'{path} is a link, a folder or a device and not the file that keeps others out. '
            f'Remove it with rm -r {shlex.quote(str(path))}, or {instead}.'
        )


def _is_at(number: int, path: Path) -> bool:
    """Whether an open file is the one of that name, not one that its last holder removed."""
    try:
        return os.path.samestat(os.fstat(number), path.lstat())
    except OSError as error:  # of a disk that fails, whoever writes will hear
        return error.errno not in GONE


def _sign(number: int) -> None:
    since = time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())
    os.ftruncate(number, 0)
    os.pwrite(number, f'process {os.getpid()} on {socket.gethostname()} since {since}'.encode(), 0)


def _holder(number: int) -> str:
    """Who has signed; a holder that is just about to has no name yet."""
    text = os.pread(number, 200, 0).decode(errors='replace')
    return text if text.startswith('process ') and text.isprintable() else 'another process'
