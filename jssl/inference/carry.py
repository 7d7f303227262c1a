"""Weights of other libraries in files of ours or of a third: what `jssl import --to` does."""

import functools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from jssl.augment.views import CenterView
from jssl.components import build_at
from jssl.errors import JsslError
from jssl.fitting.pretrained import prefixed
from jssl.inference.load import CANVAS, Sizes, fitted
from jssl.inference.pretrained import Frozen
from jssl.interop.bring import Brought, bring, check_known, place
from jssl.interop.convert import read_checkpoint
from jssl.interop.exporters import Parcel, formats, write
from jssl.interop.metadata import read_metadata
from jssl.interop.portable import portable
from jssl.kinds import Backbone
from jssl.paths import expanded
from jssl.runs.describe import describe
from jssl.weights.files import READABLE

PLAIN = ('safetensors', 'npz')  # formats that any arrays can be written in


def carry(
    source: Path | str,
    target: Path | str,
    to: str = 'safetensors',
    *,
    layout: str | None = None,
    leave_out: Sequence[str] = (),
    backbone: Any = None,
    report: Callable[[str], None] = print,
) -> Path:
    """Writes the weights at `source` in a format of `jssl.interop.exporters`.

    Args:
      source: a file of weights, a folder with one, or a checkpoint of PyTorch.
      target: the file or folder to write.
      to: the format.
      layout: of the source; None recognises it.
      leave_out: how the names of its arrays begin that need no place.
      backbone: the module, where the source does not tell it.
      report: is told in a sentence what was found.

    Returns:
      The path of what was written.

    Raises:
      JsslError: the source cannot be read, has arrays without a place, or does not fit the format.
    """
    found = expanded(source)
    brought = _brought(found, layout, leave_out)
    report(brought.said)
    if backbone is None:
        backbone = _network(found, brought)
    if backbone is None and to not in PLAIN:
        raise JsslError(
            f'{str(source)!r} does not say which network its weights are for, which --to={to} '
            'needs. Give it: --backbone=\'dict(type="ResNet", depth=50)\'.'
        )
    metadata = {} if backbone is None else _described(backbone, brought)
    program = getattr(formats().get(to), 'PROGRAM', False)
    features = _features(portable(backbone), brought, str(source)) if program else None
    return write(target, Parcel(brought.arrays, metadata, backbone, features), to)


def _brought(source: Path, layout: str | None, leave_out: Sequence[str]) -> Brought:
    if os.path.isdir(source) or source.suffix.lower() in (*READABLE, '.json'):
        return bring(source, layout, leave_out)
    return place(read_checkpoint(source), str(source), layout, leave_out)


def _network(source: Path, brought: Brought) -> Any:
    """The module that file or arrays tell of; None for none."""
    told = read_metadata(source).get('backbone') if os.path.isfile(source) else None
    section = brought.network if told is None else json.loads(told)
    if section is None:
        return None
    check_known(section, str(source))
    return build_at('backbone', Backbone, section)


def _described(backbone: Any, brought: Brought) -> dict[str, str]:
    view = CenterView(**brought.view)
    return describe(backbone, view, *_sizes(view, brought))


def _sizes(view: CenterView, brought: Brought) -> Sizes:
    kernel = brought.arrays.get('patch_embed.projection.weight', brought.arrays.get('conv1.weight'))
    return Sizes(CANVAS * view.resize, 3 if kernel is None else kernel.shape[1])


def _features(backbone: Any, brought: Brought, source: str) -> Callable[[jax.Array], jax.Array]:
    """Normalised images -> features, by the weights in the places that they have here."""
    view = CenterView(**brought.view)
    weights = prefixed(brought.arrays)
    placed = fitted(backbone, weights, view, _sizes(view, brought), source)
    return functools.partial(Frozen(backbone).extract_feat, *placed)
