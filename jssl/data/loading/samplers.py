"""Samplers: which samples an epoch sees, and in which order.

A sampler is a pure function of (length, seed, epoch, labels). One of your own needs no more than
the two members of `Sampler`; a config names it as ``sampler=dict(type='my_module:MySampler')``.
"""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from jssl.checks import Checked, Count
from jssl.errors import JsslError


class Sampler(Protocol):
    """Draws the samples of an epoch."""

    by_label: ClassVar[bool]  # whether the labels have to be read for it

    def __call__(
        self, length: int, seed: int, epoch: int, labels: NDArray[np.integer] | None = None
    ) -> NDArray[np.int32]:
        """The samples of `epoch`, int32 (length,), each from 0 to length - 1."""


@dataclasses.dataclass(frozen=True)
class Sequential:
    """Every sample once, in the order of the source, in every epoch."""

    by_label: ClassVar[bool] = False

    def __call__(
        self, length: int, seed: int, epoch: int, labels: NDArray[np.integer] | None = None
    ) -> NDArray[np.int32]:
        """The samples of `epoch`, int32 (length,)."""
        return np.arange(length, dtype=np.int32)


@dataclasses.dataclass(frozen=True)
class Shuffled:
    """Every sample once, in every epoch in an order of its own; all orders are equally likely."""

    by_label: ClassVar[bool] = False

    def __call__(
        self, length: int, seed: int, epoch: int, labels: NDArray[np.integer] | None = None
    ) -> NDArray[np.int32]:
        """The samples of `epoch`, int32 (length,)."""
        samples = np.arange(length, dtype=np.int32)
        _draws(seed, epoch).shuffle(samples)
        return samples


@dataclasses.dataclass(frozen=True)
class WithReplacement:
    """As many independent uniform draws as there are samples (ODC, Zhan et al. 2020)."""

    by_label: ClassVar[bool] = False

    def __call__(
        self, length: int, seed: int, epoch: int, labels: NDArray[np.integer] | None = None
    ) -> NDArray[np.int32]:
        """The samples of `epoch`, int32 (length,)."""
        return _draws(seed, epoch).randint(length, size=length, dtype=np.int32)


@dataclasses.dataclass(frozen=True)
class ClassBalanced(Checked):
    """Every class equally often (DeepCluster, Caron et al. 2018, section 3.2).

    The labels are those of the source, or what `Loader.with_labels` sets.

    Attributes:
      num_classes: how many classes there are, empty ones included; None counts the labels that
        occur.
    """

    num_classes: Count | None = None
    by_label: ClassVar[bool] = True

    def __call__(
        self, length: int, seed: int, epoch: int, labels: NDArray[np.integer] | None = None
    ) -> NDArray[np.int32]:
        """The samples of `epoch`, int32 (length,).

        Raises:
          JsslError: there are no labels, or not all of them are classes.
        """
        if labels is None or len(labels) != length or np.min(labels) < 0:
            found = 'no labels' if labels is None else f'{len(labels)} labels from {np.min(labels)}'
            raise JsslError(
                f'sampler ClassBalanced needs a class from 0 for each of the {length} samples, and '
                f'there are {found}; choose sampler=dict(type="Shuffled"), or labelled data.'
            )
        return uniform_epoch(labels, _draws(seed, epoch), self.num_classes)


def uniform_epoch(
    labels: NDArray[np.integer] | Sequence[int],
    draws: np.random.RandomState,
    num_classes: int | None = None,
) -> NDArray[np.int32]:
    """The reference's uniform sampling over clusters.

    With k classes and N samples every class that has members gives N // k + 1 of them, in the order
    of the classes, with replacement only where it has no more than that. All are shuffled together
    and cut to N; where empty classes leave fewer than N, they are repeated from the first.

    Args:
      labels: (N,), each from 0.
      draws: NumPy's legacy generator, whose stream no version changes.
      num_classes: k; None counts the labels that occur.

    Returns:
      int32 (N,), numbers of samples.

    Raises:
      JsslError: a label is not below `num_classes`.
    """
    classes = np.asarray(labels)
    members = np.unique(classes, return_counts=True)[1]
    count = len(members) if num_classes is None else num_classes
    if num_classes is not None and classes.max() >= count:
        raise JsslError(
            f'sampler.num_classes is {count}, and the largest label is {classes.max()}; set it to '
            f'at least {classes.max() + 1}, or leave it out.'
        )
    share = len(classes) // count + 1
    groups = np.split(np.argsort(classes, kind='stable'), np.cumsum(members)[:-1])
    drawn = [draws.choice(group, share, replace=len(group) <= share) for group in groups]
    samples = np.concatenate(drawn)
    draws.shuffle(samples)
    return np.resize(samples, len(classes)).astype(np.int32)


def _draws(seed: int, epoch: int) -> np.random.RandomState:
    """Draws for one epoch of one seed, the same in every version of NumPy."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence((seed, epoch))))
