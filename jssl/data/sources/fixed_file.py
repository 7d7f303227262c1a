"""A file of which parts are read by their place, as long as it is the one that it was at first."""

import contextlib
import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from typing import Any, Self

from jssl.errors import JsslError

Read = Callable[[int, int], bytes]  # (offset, length) -> so many bytes


@dataclasses.dataclass(frozen=True)
class FixedFile:
    """A file that holds many samples.

    It is opened for each reading: nothing is shared by threads or by processes, and a file that
    another one took the place of is noticed.

    Attributes:
      path: of the file.
      size: in bytes, when it was first looked at.
      time: of its last change then, in nanoseconds.
    """

    path: str
    size: int
    time: int

    @classmethod
    def at(cls, path: str) -> Self:
        """The file at `path` as it is now.

        Raises:
          JsslError: there is none, or it is a folder, pipe, socket or device.
        """
        try:
            found = os.stat(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise JsslError(f'{path!r} cannot be read: {reason}; correct the path.') from None
        if not stat.S_ISREG(found.st_mode):
            raise JsslError(f'{path!r} is no file; give the path of one.')
        return cls(path, found.st_size, found.st_mtime_ns)

    @property
    def stamp(self) -> tuple[int, int]:
        """Size and time."""
        return self.size, self.time

    def digest(self, *how: Any) -> str:
        """A name for what is known of the file, when it is read in one way."""
        return _digest(os.path.abspath(self.path), *self.stamp, *how)

    def place(self, *how: Any) -> str:
        """A name for where the file is, which it keeps when it changes."""
        return _digest(os.path.abspath(self.path), *how)

    def check(self) -> None:
        """Raises a `JsslError` if the file changed, or is gone."""
        try:
            found = os.stat(self.path)
        except OSError:
            found = None
        self._check(found)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Read]:
        """Gives a function that reads ``length`` bytes from ``offset`` on.

        Raises:
          OSError: it cannot be opened or read.
          JsslError: it changed, or there are not so many bytes.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._check(os.fstat(descriptor))
            yield lambda offset, length: self._part(descriptor, offset, length)
        finally:
            os.close(descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """One part of the file, see `opened`."""
        with self.opened() as read:
            return read(offset, length)

    def _check(self, found: os.stat_result | None) -> None:
        if found is None or (found.st_size, found.st_mtime_ns) != self.stamp:
            raise JsslError(f'{self.path} has changed since it was opened; start again')

    def _part(self, descriptor: int, offset: int, length: int) -> bytes:
        if offset < 0 or length < 0 or offset + length > self.size:
            raise JsslError(
                f'{self.path} is cut off, or damaged: something is to lie before byte '
                f'{offset + length:,}, and it has {self.size:,}; copy it again'
            )
        data = os.pread(descriptor, length, offset)
        if len(data) == length:
            return data
        parts = [data]  # a system reads 2 GiB at a time
        while data and (missing := length - sum(map(len, parts))):
            data = os.pread(descriptor, missing, offset + length - missing)
            parts.append(data)
        if missing:
            raise JsslError(f'{self.path} ends too early; copy it again')
        return b''.join(parts)


def _digest(*said: Any) -> str:
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
