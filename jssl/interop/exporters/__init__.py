"""Formats that weights leave in: each is a module of this package.

A module has `HELP`, what the format is for in a few words, `ENDING`, how its files end, empty for a
folder, `USE`, how what was written is read there, and ``write(path, parcel)``, which raises an
`OSError` where it cannot write. `USE` has `{name}` where the name of the file stands, and what
``facts(parcel)`` gives, if the module has that. One with `PROGRAM = True` computes features and
holds no arrays that jssl reads. Nothing else has to be told of it: `formats` finds it.
"""

import dataclasses
import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jssl.algorithm import Algorithm, Params, State
from jssl.errors import JsslError, suggest
from jssl.interop.mmselfsup import export_state
from jssl.interop.portable import portable
from jssl.interop.safetensors import backbone_arrays, has_backbone, own_names
from jssl.kinds import MODEL
from jssl.paths import expanded
from jssl.weights.files import READABLE, brief


@dataclasses.dataclass(frozen=True, eq=False)
class Parcel:
    """What is exported.

    Attributes:
      arrays: the weights by the reference's names; what has none there keeps its own.
      metadata: what the file is to say of itself, see `jssl.interop.metadata`.
      backbone: the module that they belong to; None for more than a backbone.
      features: normalised images (B, H, W, C) -> (B, D); None for more than a backbone.
    """

    arrays: Mapping[str, np.ndarray]
    metadata: Mapping[str, str]
    backbone: nn.Module | None = None
    features: Callable[[jax.Array], jax.Array] | None = None


def _features(algorithm: Algorithm, params: Params, state: State) -> Callable[..., jax.Array]:
    """Images -> features, in operations that all platforms have."""
    if hasattr(algorithm, 'backbone'):
        found: Any = algorithm
        algorithm = dataclasses.replace(found, backbone=portable(found.backbone))
    return functools.partial(algorithm.extract_feat, params, state)


def packed(
    algorithm: Algorithm,
    params: Params,
    state: State,
    metadata: Mapping[str, str],
    whole: bool = False,
) -> Parcel:
    """The backbone of an algorithm, or with `whole` all that it has."""
    weights, stats = algorithm.kept(params, state)
    if not whole and has_backbone(weights):
        backbone = getattr(algorithm, 'backbone', None)
        features = _features(algorithm, params, state)
        return Parcel(backbone_arrays(weights, stats), metadata, backbone, features)
    bases = type(algorithm).__mro__
    if not any(base.__module__.startswith(f'{MODEL.package}.') for base in bases):
        return Parcel(own_names(params) | own_names(state), metadata)
    named = export_state(params, state, algorithm=algorithm)
    return Parcel({key: np.asarray(value, order='C') for key, value in named.items()}, metadata)


# Formats that are asked for and not written.
REFUSED = {
    'onnx': 'jax2onnx 0.17.1, the one converter for current JAX that is kept up, stops at the max '
    'pooling of ResNets and at networks for batches of any size. Give --to=stablehlo, which JAX '
    'runs without jssl, or --to=timm or --to=huggingface, and there torch.onnx.export.'
}


def formats() -> dict[str, ModuleType]:
    """The formats by name."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name: importlib.import_module(f'{__name__}.{name}') for name in names}


def find(path: Path, to: str | None = None) -> ModuleType:
    """The format called `to`, or that which the ending of `path` is called.

    Raises:
      JsslError: there is none.
    """
    known = formats()
    if to is not None:
        if to in REFUSED:
            raise JsslError(f'--to={to} is not written: {REFUSED[to]}')
        if to not in known:
            raise JsslError(f'There is no format {to!r} to export to. {suggest(to, known)}')
        return known[to]
    plain = {name: module for name, module in known.items() if f'.{name}' == module.ENDING}
    ending = path.suffix.lower().removeprefix('.')
    if ending in plain:
        return plain[ending]
    endings = ' or '.join(module.ENDING for module in plain.values())
    raise JsslError(f'{str(path)!r} must end with {endings}.')


def write(path: Path | str, parcel: Parcel, to: str | None = None) -> Path:
    """Writes weights to `path` in the format `to`, by default that of its ending.

    Raises:
      JsslError: no such format, an ending that its files or folders do not have, or no place to
        write.
    """
    found = expanded(path)
    module = find(found, to)
    if not module.ENDING and found.suffix.lower() in READABLE:
        raise JsslError(
            f'{str(path)!r} is to be a folder, and is called as a file of weights is; give '
            f'{found.with_suffix("")}.'
        )
    if module.ENDING and found.suffix.lower() != module.ENDING:
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


def use(path: Path, parcel: Parcel, to: str | None = None) -> str:
    """How the weights that were written to `path` are read elsewhere, as Markdown."""
    module = find(path, to)
    facts = module.facts(parcel) if hasattr(module, 'facts') else {}
    return str(module.USE.format(name=path.name, **facts))
