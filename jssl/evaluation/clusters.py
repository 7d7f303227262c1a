"""How well two groupings of the same images agree."""

import dataclasses

import numpy as np
from numpy.typing import ArrayLike


def normalized_mutual_information(first: ArrayLike, second: ArrayLike) -> float:
    """Mutual information over the mean of both entropies (Caron et al. 2018, section 4.2).

    Args:
      first, second: int (N,); which number stands for which group does not matter.

    Returns:
      From 0, where one says nothing about the other, to 1, where they are the same grouping, which
      two groupings of one group each are too.
    """
    first, second = (np.unique(part, return_inverse=True)[1] for part in (first, second))
    joint = np.unique(first * (second.max() + 1) + second, return_counts=True)[1]
    entropies = [_entropy(np.bincount(labels)) for labels in (first, second)]
    mean = sum(entropies) / 2
    return max(sum(entropies) - _entropy(joint), 0.0) / mean if mean > 0 else 1.0


def _entropy(counts: np.ndarray) -> float:
    """Of a distribution given by counts, in nats."""
    share = counts[counts > 0] / counts.sum()
    return float(-np.sum(share * np.log(share)))


@dataclasses.dataclass(eq=False)
class ClusterScores:
    """Follows the labels that an algorithm gives to the images of its training set.

    Attributes:
      truth: the images' own labels (N,), where they are known.
      previous: labels when it last looked.
    """

    truth: np.ndarray | None = None
    previous: np.ndarray | None = None

    def compare(self, labels: np.ndarray) -> dict[str, float]:
        """`nmi_previous` and `nmi_truth` of labels (N,), as far as there is what to compare."""
        others = {'nmi_previous': self.previous, 'nmi_truth': self.truth}
        self.previous = labels
        return {
            name: normalized_mutual_information(labels, other)
            for name, other in others.items()
            if other is not None
        }
