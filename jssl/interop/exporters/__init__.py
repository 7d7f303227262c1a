"""Formats that weights leave in: each is a module of this package.

A module has `HELP`, what the format is for in a few words, `ENDING`, how its files end, and
``write(path, parcel)``, which raises an `OSError` where it cannot write. Nothing else has to be
told of it: `formats` finds it.
"""

import dataclasses
import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np

from jssl.algorithm import Algorithm, Params, State
from jssl.errors import JsslError, suggest
from jssl.interop.mmselfsup import export_state
from jssl.interop.safetensors import backbone_arrays, has_backbone, own_names
from jssl.kinds import MODEL
from jssl.paths import expanded
from jssl.weights.files import brief


@dataclasses.dataclass(frozen=True, eq=False)
class Parcel:
    """What is exported.

    Attributes:
      algorithm: whose weights they are.
      params: its parameters.
      state: its state.
      metadata: what the file is to say of itself, see `jssl.interop.metadata`.
      whole: all that the algorithm has, in place of its backbone alone.
    """

    algorithm: Algorithm
    params: Params
    state: State
    metadata: Mapping[str, str]
    whole: bool = False

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by the reference's names; what has none there keeps its own."""
        weights, stats = self.algorithm.kept(self.params, self.state)
        if not self.whole and has_backbone(weights):
            return backbone_arrays(weights, stats)
        bases = type(self.algorithm).__mro__
        if not any(base.__module__.startswith(f'{MODEL.package}.') for base in bases):
            return own_names(self.params) | own_names(self.state)
        named = export_state(self.params, self.state, algorithm=self.algorithm)
        return {key: np.asarray(value, order='C') for key, value in named.items()}


def formats() -> dict[str, ModuleType]:
    """The formats by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f'{__name__}.{name}') for name in names}


def find(path: Path, to: str | None = None) -> ModuleType:
    """The format called `to`, or that of the ending of `path`.

    Raises:
      JsslError: there is none.
    """
    known = formats()
    if to is not None:
        if to not in known:
            raise JsslError(f'There is no format {to!r} to export to. {suggest(to, known)}')
        return known[to]
    for module in known.values():
        if path.suffix.lower() == module.ENDING:
            return module
    endings = ' or '.join(module.ENDING for module in known.values())
    raise JsslError(f'{str(path)!r} must end with {endings}.')


def write(path: Path | str, parcel: Parcel, to: str | None = None) -> Path:
    """Writes weights to `path` in the format `to`, by default that of its ending.

    Raises:
      JsslError: no such format, another ending than its files have, or no place to write.
    """
    found = expanded(path)
    module = find(found, to)
    if found.suffix.lower() != module.ENDING:
        raise JsslError(
            f'{str(path)!r} must end with {module.ENDING}, as files of that format do; give '
            f'{found.parent / (found.stem.strip(".") or "weights")}{module.ENDING}.'
        )
    try:
        found.parent.mkdir(parents=True, exist_ok=True)
        module.write(found, parcel)
    except OSError as error:
        raise JsslError(
            f'{str(path)!r} cannot be written: {error.strerror or brief(error)}. Give the path of '
            'a file in a folder of your own, with room for it.'
        ) from error
    return found
