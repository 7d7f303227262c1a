"""A part of another source: what is held out of it, or the rest."""

import dataclasses
import functools
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from jssl.checks import LARGEST, Checked, Range
from jssl.data.sources.base import Sample, Source, has_labels
from jssl.errors import JsslError

Every = Annotated[int, Range(2, LARGEST, whole=True)]
TOLD = ('names', 'stamps', 'name_of')  # what a source may say of its samples, or not


@dataclasses.dataclass(frozen=True)
class Part(Checked):
    """Every so many-th sample of a source, or all others.

    Both parts of a folder whose classes are sub-folders hold each class in nearly the same share,
    for they are numbered one after the other.

    Attributes:
      data: the source.
      every: the distance between two samples that are held out.
      held_out: whether this part is those; otherwise it is the rest.

    Raises:
      JsslError: no sample is held out.
    """

    data: Source
    every: Every = 5
    held_out: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self) == 0:
            raise JsslError(
                f'a source of {len(self.data)} samples has no {self.every // 2 + 1}th; give a '
                'smaller `every`, or data of their own.'
            )

    @functools.cached_property
    def _rows(self) -> NDArray[np.int64]:
        rows = np.arange(len(self.data))
        return rows[(rows % self.every == self.every // 2) == self.held_out]

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int, /) -> Sample:
        return self.data[int(self._rows[index])]

    @property
    def has_labels(self) -> bool:
        """Whether the source has labels."""
        return has_labels(self.data)

    @property
    def labels(self) -> NDArray[np.integer] | None:
        """The labels of this part, if the source tells them all."""
        known = getattr(self.data, 'labels', None)
        return None if known is None else np.asarray(known)[self._rows]

    @property
    def num_classes(self) -> int | None:
        """As many as the source has."""
        return getattr(self.data, 'num_classes', None)

    @property
    def label_names(self) -> list[str] | None:
        """Those of the source."""
        return getattr(self.data, 'label_names', None)

    @property
    def folder_names(self) -> list[str] | None:
        """The folders that the paths of this part go through, where the source tells them."""
        return self._chosen(getattr(self.data, 'folder_names', None))

    @property
    def remarks(self) -> list[str]:
        """What the source says of itself; the held-out part leaves that to the rest."""
        return [] if self.held_out else list(getattr(self.data, 'remarks', []))

    def __getattr__(self, name: str) -> Any:
        """`names`, `stamps` and `name_of` of this part, where the source has them."""
        if name not in TOLD:
            raise AttributeError(name)
        said = getattr(self.data, name)
        if name == 'name_of':
            return lambda index: said(int(self._rows[index]))
        return lambda: self._chosen(said())

    def _chosen(self, known: Any) -> Any:
        """What belongs to this part of what is said of each sample; all of it if it is not."""
        if known is None or len(known) != len(self.data):
            return known
        return [known[row] for row in self._rows]
