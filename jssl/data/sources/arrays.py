"""Images in memory as a source."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.base import Sample
from jssl.errors import JsslError


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Images that are in memory already.

    Attributes:
      images: uint8 arrays (H, W) or (H, W, C), of one or of several sizes.
      labels: one whole number per image, or None.
    """

    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8] = dataclasses.field(repr=False)
    labels: Sequence[int] | NDArray[np.integer] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self.images):
            raise JsslError(
                f'Arrays has {len(self.images)} images and {len(self.labels)} labels; '
                'give one label per image, or labels=None.'
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int, /) -> Sample:
        if self.labels is None:
            return {'image': self.images[index]}
        return {'image': self.images[index], 'label': int(self.labels[index])}

    @property
    def has_labels(self) -> bool:
        """Whether labels were given."""
        return self.labels is not None

    @property
    def num_classes(self) -> int | None:
        """One more than the largest label; None without labels."""
        return None if self.labels is None else int(np.max(self.labels)) + 1

    @property
    def label_names(self) -> list[str] | None:
        """Arrays know no names."""
        return None
