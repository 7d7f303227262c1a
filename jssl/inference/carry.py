"""Weights of other libraries in files of ours or of a third: what `jssl import --to` does."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jssl.errors import JsslError
from jssl.fitting.pretrained import prefixed
from jssl.inference.load import built, sections_in, sizes_in, usual_view, view_in
from jssl.inference.placing import Sizes, check_fit, fitted
from jssl.inference.pretrained import Frozen
from jssl.interop.bring import Brought, bring, check_known, place, weights_in
from jssl.interop.convert import read_checkpoint
from jssl.interop.exporters import Parcel, formats, write
from jssl.interop.metadata import LAYOUT, read_metadata
from jssl.interop.portable import portable
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
    file = weights_in(found)
    metadata = read_metadata(file) if os.path.isfile(file) else {}
    metadata.pop(LAYOUT, None)  # of the source
    told = sections_in(metadata, str(source))
    if backbone is None:
        backbone = _network(told, brought, str(source))
    if backbone is None and to not in PLAIN:
        raise JsslError(
            f'{str(source)!r} does not say which network its weights are for, which --to={to} '
            'needs. Give it: --backbone=\'dict(type="ResNet", depth=50)\'.'
        )
    if backbone is None:
        return write(target, Parcel(brought.arrays, metadata), to)
    view = view_in(told, brought, str(source))
    sizes = sizes_in(told, brought, view, str(source))
    weights = prefixed(brought.arrays)
    check_fit(backbone, weights, view or usual_view(brought), sizes, str(source), resized=False)
    metadata |= describe(backbone, view, *sizes)
    program = getattr(formats().get(to), 'PROGRAM', False)
    features = _features(portable(backbone), brought, view, sizes, str(source)) if program else None
    return write(target, Parcel(brought.arrays, metadata, backbone, features), to)


def _brought(source: Path, layout: str | None, leave_out: Sequence[str]) -> Brought:
    if os.path.isdir(source) or source.suffix.lower() in (*READABLE, '.json'):
        return bring(source, layout, leave_out)
    return place(read_checkpoint(source), str(source), layout, leave_out)


def _network(told: Mapping[str, Any], brought: Brought, source: str) -> Any:
    """The module that file or arrays tell of; None for none."""
    section = told.get('backbone', brought.network)
    if section is None:
        return None
    if section is brought.network:
        check_known(brought.network, source)
    return built('backbone', section, source, remedy=_remedy)


def _remedy(place: str, name: str) -> str:
    del place
    return f'--backbone=\'dict(type="{name}")\' with the fields that it needs'


def _features(
    backbone: Any, brought: Brought, view: Any, sizes: Sizes, source: str
) -> Callable[[jax.Array], jax.Array]:
    """Normalised images -> features, by the weights in the places that they have here."""
    if view is None:
        raise JsslError(
            f'{source!r} does not say how images are prepared for its network, without which no '
            'program can be made. Give --to=safetensors.'
        )
    placed = fitted(backbone, prefixed(brought.arrays), view, sizes, source)
    return functools.partial(Frozen(backbone).extract_feat, *placed)
