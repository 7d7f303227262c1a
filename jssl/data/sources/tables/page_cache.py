"""Pages that were read last, and turns for large ones, so that threads keep within memory."""

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

BYTES = 2**26  # of all files of a process together
LARGE = 2**24  # bytes of a page that is decompressed while no other such one is


class PageCache:
    """The values that were asked for last, of so many bytes at most; for any number of threads."""

    def __init__(self, most: int = BYTES) -> None:
        self.most = most
        self.forget()

    def forget(self) -> None:
        """Drops everything; a forked process does so, whose lock may be held by nobody there."""
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable, make: Callable[[], tuple[Any, int]]) -> Any:
        """The value of `key`; `make` gives it, and its size in bytes, where it is not kept."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
        made = make()  # two threads may make the same
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += made[1]
            while self._bytes > self.most:
                self._bytes -= self._kept.popitem(last=False)[1][1]
        return made[0]

    def turn(self, size: int) -> contextlib.AbstractContextManager[Any]:
        """To be held while so many bytes are decompressed."""
        return self._turn if size > LARGE else contextlib.nullcontext()


CACHE = PageCache()
os.register_at_fork(after_in_child=CACHE.forget)
