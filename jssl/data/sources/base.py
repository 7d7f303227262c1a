"""What a source of samples is."""

from typing import NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from jssl.data.sources.labels import NONE
from jssl.data.sources.reading import checked_sample, nearest


class Sample(TypedDict):
    """An image, encoded (JPEG, PNG, …) or uint8 (H, W) or (H, W, C), and its label if any."""

    image: bytes | NDArray[np.uint8]
    label: NotRequired[int]


class Source(Protocol):
    """Anything with a length and samples by number.

    Reading must be safe from several threads. Where worker processes read, the source is pickled.
    A label is a whole number from 0; -1 on every sample means that there are none. A source may
    also have `has_labels`, `num_classes`, `label_names`, `labels` (of all samples, so that they
    need not be read one by one), `paths` (of all samples, where they are files), `name_of(index)`,
    to name a broken sample, `names()` and `stamps()`, which tell when the data changed
    (`data.identity`), and `remarks`, sentences for the log at the beginning of a run.
    """

    def __len__(self) -> int:
        """The number of samples."""

    def __getitem__(self, index: int, /) -> Sample:
        """Sample `index`, counted from 0."""


def has_labels(source: Source) -> bool:
    """Whether the samples have labels.

    A source that does not say so is judged by its first sample that can be read.

    Raises:
      JsslError: none can be read.
    """
    known = getattr(source, 'has_labels', None)
    if known is not None:
        return bool(known)
    label, _ = nearest(source, 0, lambda row: checked_sample(source, row).get('label'))
    return label is not None and not np.array_equal(label, NONE)
