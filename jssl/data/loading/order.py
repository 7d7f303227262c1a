"""Order: the samples of every batch, as a pure function of (seed, step)."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from jssl.data.loading.samplers import Sampler, Shuffled
from jssl.errors import JsslError


@dataclasses.dataclass(frozen=True, eq=False)
class Order:
    """The samples of every batch, drawn anew in every epoch.

    An epoch has ``length // batch_size`` steps; no batch holds samples of two epochs.

    Attributes:
      length: the number of samples.
      batch_size: the global batch size.
      seed: from 0 to 2**32 - 1; different seeds share no epoch's order.
      sampler: draws the samples of an epoch.
      labels: (length,) for a sampler that goes by them, or None.

    Raises:
      JsslError: fewer samples than one batch needs, or a seed out of range.
    """

    length: int
    batch_size: int
    seed: int = 0
    sampler: Sampler = Shuffled()  # noqa: RUF009  a frozen dataclass
    labels: NDArray[np.integer] | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.length == 0:
            raise JsslError('the data set has no samples; choose another, or another split of it.')
        if not 1 <= self.batch_size <= self.length:
            raise JsslError(
                f'batch_size is {self.batch_size} and the data set has {self.length} samples; '
                f'set batch_size to a number from 1 to {self.length}, or choose a larger split.'
            )
        if not 0 <= self.seed < 2**32:  # JAX drops further bits, and NumPy runs them into the epoch
            raise JsslError(f'seed is {self.seed}; set it to a whole number from 0 to {2**32 - 1}.')

    @property
    def steps_per_epoch(self) -> int:
        """Full batches in an epoch; the samples that fill none are left out of it."""
        return self.length // self.batch_size

    def __call__(self, step: int, rows: range | None = None) -> NDArray[np.int32]:
        """The samples of batch `step`, int32 (batch_size,), or only those in its `rows`."""
        epoch, batch = divmod(step, self.steps_per_epoch)
        rows = range(self.batch_size) if rows is None else rows
        first = batch * self.batch_size
        return self._epoch(epoch)[first + rows.start : first + rows.stop]

    @functools.cached_property
    def _epoch(self) -> Callable[[int], NDArray[np.int32]]:
        """Epoch -> its samples; keeps the newest two, for batches decoded ahead of the end."""
        return functools.lru_cache(maxsize=2)(self._draw)

    def _draw(self, epoch: int) -> NDArray[np.int32]:
        samples = self.sampler(self.length, self.seed, epoch, self.labels)
        samples.flags.writeable = False
        return samples
