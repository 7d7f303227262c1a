"""What a source of samples is."""

from typing import NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from jssl.errors import JsslError


class Sample(TypedDict):
    """An image, encoded (JPEG, PNG, …) or uint8 (H, W) or (H, W, C), and its label if any."""

    image: bytes | NDArray[np.uint8]
    label: NotRequired[int]


class Source(Protocol):
    """Anything with a length and samples by number.

    Reading must be safe from several threads. Where worker processes read, the source is pickled.
    A source may also have `has_labels`, `num_classes`, `label_names` and `name_of(index)`, the last
    to name a broken sample.
    """

    def __len__(self) -> int:
        """The number of samples."""

    def __getitem__(self, index: int, /) -> Sample:
        """Sample `index`, counted from 0."""


def has_labels(source: Source) -> bool:
    """Whether the samples have labels; a source that does not say so is judged by its first one."""
    known = getattr(source, 'has_labels', None)
    return 'label' in source[0] if known is None else bool(known)


def check_same_classes(train: Source, test: Source) -> None:
    """Refuses to test on other classes than those that a probe learns.

    Raises:
      JsslError: both sources name their classes, and not alike; names one that only one has.
    """
    names = [getattr(source, 'label_names', None) for source in (train, test)]
    if names[0] is None or names[1] is None or list(names[0]) == list(names[1]):
        return
    differ = sorted(set(names[0]) ^ set(names[1]))
    example = f', for example {differ[0]!r} in one of them only' if differ else ' in their order'
    raise JsslError(
        f'the test data have {len(names[1])} classes and the labelled training data '
        f'{len(names[0])}, which differ{example}; give labelled images of the classes of test_data '
        'as probe_data, or a test_data that fits.'
    )
