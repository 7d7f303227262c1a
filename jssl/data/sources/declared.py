"""What a source says of itself: looked at once, before anything relies on it.

A source may be anybody's, and what it says is used much later, for a head, a probe or a picture.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jssl.checks import LARGEST, Range
from jssl.data.sources.labels import checked_labels
from jssl.errors import JsslError, in_words, show


@dataclasses.dataclass(frozen=True)
class _Fact:
    """What a source may say, or leave out, or say None of.

    Attributes:
      fits: whether a value can be used.
      words: what to give in its place.
    """

    fits: Callable[[Any], bool]
    words: str


def _texts(value: Any) -> bool:
    """Whether `value` is a list of texts; a text is a sequence of texts too, and no list."""
    several = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)
    return several and all(isinstance(text, str) for text in value)


FACTS = {
    'has_labels': _Fact(lambda value: isinstance(value, bool | np.bool_), 'True or False'),
    'num_classes': _Fact(Range(1, LARGEST, whole=True).accepts, 'a whole number of at least 1'),
    'label_names': _Fact(_texts, 'a list of texts, one a class'),
    'remarks': _Fact(_texts, 'a list of sentences'),
}


def check_declared(source: Any) -> None:
    """Checks the length of a source, and what it says of its classes and samples, if it does.

    Raises:
      JsslError: names what cannot be used, and what to give in its place.
    """
    kind = type(source).__name__
    count = _said(source, '__len__', lambda: len(source), 'the number of samples')
    for name, fact in FACTS.items():
        value = _said(source, name, functools.partial(getattr, source, name, None), fact.words)
        if value is not None and not fact.fits(value):
            raise JsslError(f'{kind}.{name}={show(value)} must be {fact.words}, or be left out.')
    ask = functools.partial(getattr, source, 'labels', None)
    labels = _said(source, 'labels', ask, 'all labels, or None')
    if labels is not None:
        checked_labels(labels, count)
        return  # they may have gaps, and names for those too
    names, classes = (getattr(source, name, None) for name in ('label_names', 'num_classes'))
    if names is not None and classes is not None and len(names) != classes:
        raise JsslError(
            f'{kind}.num_classes={classes} must be the number of its label_names, which are '
            f'{len(names)}; give every class a name, or leave label_names out.'
        )


def _said(source: Any, name: str, ask: Callable[[], Any], words: str) -> Any:
    """What a source answers; whatever it raises becomes a sentence."""
    try:
        return ask()
    except MemoryError:
        raise
    except Exception as error:
        raise JsslError(
            f'{type(source).__name__}.{name} cannot be used: {in_words(error)}; let it give '
            f'{words}.'
        ) from error
