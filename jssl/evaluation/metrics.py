"""What a score of features is: a function from those of two sets of images to numbers."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np

from jssl.errors import JsslError, in_words, show

Scores = dict[str, float]


class Extracted(NamedTuple):
    """Features (N, D) in the order of the images, and labels (N,) if the batches have them."""

    features: np.ndarray
    labels: np.ndarray | None


class Metric(Protocol):
    """Anything that is called with features and gives numbers; `KNN` and `Linear` are such.

    Raw pixels are scored by it as well as the network: it should depend on what it is given alone.
    """

    def __call__(self, train: Extracted | None, test: Extracted, /) -> Mapping[str, float]:
        """Numbers by their names, which no other metric uses; none where there is nothing to say.

        Args:
          train: of labelled images to learn from; None where there are none.
          test: of held-out images; their `labels` are None where they have none.
        """


class Labelled(NamedTuple):
    """Both sets with labels."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def labelled(train: Extracted | None, test: Extracted) -> Labelled | None:
    """Features and labels of both sets; None where either has no labels."""
    if train is None or train.labels is None or test.labels is None:
        return None
    return Labelled(train.features, train.labels, test.features, test.labels)


def measure(
    metrics: Sequence[Metric],
    train: Extracted | None,
    test: Extracted,
    known: Mapping[str, float] = MappingProxyType({}),
) -> Scores:
    """What is `known`, and what all `metrics` give, in their order.

    Raises:
      JsslError: names the metric that fails, gives something else than numbers by name, or uses the
        name of another one.
    """
    found = dict(known)
    for metric in metrics:
        numbers = _numbers(metric, train, test)
        if again := sorted(found.keys() & numbers.keys()):
            raise JsslError(
                f'The metric {name_of(metric)} gives {again[0]!r}, which is taken; let it use '
                'another name.'
            )
        found |= numbers
    return found


def _numbers(metric: Metric, train: Extracted | None, test: Extracted) -> Scores:
    try:
        given = metric(train, test)
    except JsslError:
        raise
    except Exception as error:
        raise JsslError(
            f'The metric {name_of(metric)} fails: {in_words(error)}. It is called with '
            'features and labels of two sets, (train, test); labels, or all of train, may be None.'
        ) from error
    try:
        return {str(name): float(value) for name, value in given.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise JsslError(
            f'The metric {name_of(metric)} gives {show(given)}; let it return numbers by '
            "name, such as {'purity': 0.9}."
        ) from error


def name_of(metric: Any) -> str:
    """What a metric is called in messages."""
    return getattr(metric, '__name__', None) or type(metric).__name__
