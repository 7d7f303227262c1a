"""Images in memory as a source."""

import dataclasses
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jssl.data.reading.decoding import checked_array, plain_bytes
from jssl.data.sources.base import Sample
from jssl.data.sources.labels import checked_labels
from jssl.errors import JsslError


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Images that are in memory already.

    Attributes:
      images: uint8 arrays (H, W) or (H, W, C), of one or of several sizes.
      labels: one whole number from 0 per image, (N,) or (N, 1); None, or -1 for every image, means
        that there are none. They are kept as int32 (N,).

    Raises:
      JsslError: no images, a first one that is none, not one label per image, or labels that are
        something else.
    """

    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8] = dataclasses.field(repr=False)
    labels: Sequence[int] | NDArray[np.integer] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise JsslError('Arrays has no images; give at least one.')
        first = plain_bytes(self.images[0])
        if not isinstance(first, bytes):
            checked_array(first)
        if self.labels is not None:
            object.__setattr__(self, 'labels', checked_labels(self.labels, len(self.images)))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> Sample:
        if self.labels is None:
            return {'image': self.images[index]}
        return {'image': self.images[index], 'label': int(self.labels[index])}

    def names(self) -> list[str]:
        """A checksum of every image, with its label: images in memory have nothing else."""
        rows = enumerate(self.images)
        sums = [f'image {row} (checksum {_checksum(image):08x}' for row, image in rows]
        if self.labels is None:
            return [f'{name})' for name in sums]
        return [f'{name}, label {label})' for name, label in zip(sums, self.labels, strict=True)]

    @property
    def has_labels(self) -> bool:
        """Whether labels were given."""
        return self.labels is not None

    @property
    def num_classes(self) -> int | None:
        """How many different labels there are; None without labels."""
        return None if self.labels is None else len(np.unique(self.labels))

    @property
    def label_names(self) -> list[str] | None:
        """Arrays know no names."""
        return None


def _checksum(image: NDArray[np.uint8] | bytes) -> int:
    if isinstance(image, bytes):
        return zlib.crc32(image)
    array = np.ascontiguousarray(image)
    return zlib.crc32(array.tobytes(), zlib.crc32(f'{array.dtype} {array.shape}'.encode()))
