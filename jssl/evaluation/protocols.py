"""The protocols that score features, by name: the metrics in the face of `jssl.evaluation`.

A new one is a file with a dataclass that is a `Metric`, and its line in the face.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jssl.evaluation
from jssl.errors import JsslError, suggest
from jssl.evaluation.metrics import Metric


def protocols() -> dict[str, Any]:
    """The classes of all protocols, by their name in small letters, such as `knn`."""
    found = (getattr(jssl.evaluation, name) for name in jssl.evaluation.__all__)
    return {kind.__name__.lower(): kind for kind in found if _is_protocol(kind)}


def _is_protocol(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind) and '__call__' in vars(kind)


def named(names: Sequence[str]) -> tuple[Metric, ...]:
    """The protocols of these names, as their defaults have them.

    Raises:
      JsslError: one of them is none, or there twice.
    """
    known = protocols()
    for place, name in enumerate(names):
        if name not in known:
            raise JsslError(f'--protocol={name} is no protocol. {suggest(name, known)}')
        if name in names[:place]:
            raise JsslError(f'--protocol names {name} twice; leave one out.')
    return tuple(known[name]() for name in names)
