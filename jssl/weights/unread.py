"""Arrays of files that are larger than the memory: each is read when it is wanted."""

import dataclasses
import math
from collections.abc import Callable
from typing import IO, Any

import numpy as np

CHUNK = 1 << 20  # bytes that are read, or decompressed, at a time


@dataclasses.dataclass(frozen=True, eq=False)
class Unread:
    """An array of a file, of which shape and type are known; `numpy.asarray` reads its values.

    Attributes:
      shape: of the array.
      load: reads it.
    """

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The values; they are read anew at every call."""
        del copy  # it is one in any case
        array = self.load()
        return array if dtype is None else array.astype(dtype, copy=False)


def read_values(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array whose values follow in a file, read into its place: at once they are there twice.

    Raises:
      EOFError: there are fewer.
    """
    values = np.empty(math.prod(shape), dtype)
    place = values.view(np.uint8).data
    filled = 0
    while filled < len(place):
        read = file.readinto(place[filled : filled + CHUNK])  # type: ignore[attr-defined]
        if not read:
            raise EOFError('it ends within an array')
        filled += read
    return values
