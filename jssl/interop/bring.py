"""Weights of any known layout in the names of jssl, and the network that they are for."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jssl.counts import counted
from jssl.errors import JsslError
from jssl.interop.companions import Companions, read_companions
from jssl.interop.layouts import LAYOUTS, find, recognise
from jssl.interop.layouts.layout import MOST, Arrays, Layout, channels_of, listed
from jssl.interop.layouts.vit import as_told
from jssl.interop.metadata import LAYOUT, parsed, read_metadata
from jssl.paths import expanded
from jssl.weights.files import open_weights

HEADS = 'num_heads'
# Fields of a backbone that change what it computes and no shape of an array.
UNSEEN = (
    'norm_epsilon',
    'interpolation',
    'bias_interpolation',
    'rotary',
    'mask_k_bias',
    'activation',
    'shifting',
    'style',
)
WEIGHTS = ('model.safetensors', 'model.safetensors.index.json')  # in a folder of a model's own
PICKLE = 'pytorch_model.bin'  # there too, written by timm and by transformers of before 2023


class Ours(NamedTuple):
    """What a file that jssl wrote says of itself: its layout, and the network as a section."""

    layout: str | None
    network: dict[str, Any]


class Brought(NamedTuple):
    """What a file of weights holds.

    Attributes:
      arrays: by the names of jssl, in the layouts that files have; all, where the layout is
        unknown.
      layout: that the file has; None for an unknown one.
      network: the backbone as a section of a config; None where that remains unknown.
      view: what is known of the preparation of images, as fields of `CenterView`.
      said: what a user should know, in a sentence.
      channels: of images; None where that remains unknown.
    """

    arrays: Arrays
    layout: Layout | None
    network: dict[str, Any] | None
    view: dict[str, Any]
    said: str
    channels: int | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether the file has names that jssl does not have."""
        return self.layout is not None and bool(self.layout.names)

    def differences(self, backbone: Any) -> str:
        """What a backbone computes in another way than the network of the file, in a sentence."""
        network = self.network or {}
        theirs = {key: network[key] for key in UNSEEN if self.is_foreign and key in network}
        ours = {key: getattr(backbone, key, theirs[key]) for key in theirs}
        return ', '.join(
            f'{key}={theirs[key]!r}, which is {ours[key]!r} in config.model.backbone'
            for key in theirs
            if theirs[key] != ours[key]
        )


def bring(path: Path | str, layout: str | None = None, leave_out: Sequence[str] = ()) -> Brought:
    """The weights at `path`.

    Args:
      path: a .safetensors or .npz file, the .index.json of several, or a folder with such a file.
      layout: its name; None recognises it.
      leave_out: how the names of arrays begin that need no place.

    Raises:
      JsslError: nothing that can be read is there, it has another layout than said, or arrays that
        have no place in it; names each with its shape.
    """
    file = weights_in(expanded(path))
    with open_weights(file) as weights:
        metadata = read_metadata(file)
        told = parsed(metadata, 'backbone', str(path))
        ours = Ours(metadata.get(LAYOUT), told) if isinstance(told, dict) else None
        return place(weights, str(path), layout, leave_out, read_companions(file), ours)


def check_known(network: Mapping[str, Any], path: str) -> None:
    """Raises a `JsslError` that says how to name the network of a file that tells all but heads."""
    arch = network.get('arch')
    if isinstance(arch, Mapping) and arch.get('num_heads', 1) is None:
        raise JsslError(
            f'{path!r} does not say how many heads the attention of its network has, and no '
            f'published one is {arch["embed_dims"]} wide. Give that number in place of the '
            f"question mark: --backbone='{as_typed(network)}', or backbone= to jssl.load."
        )


def as_typed(value: Any) -> str:
    """A section of a config as a command line takes it."""
    if isinstance(value, Mapping):
        fields = {key: part for key, part in value.items() if part is not None or key == HEADS}
        return f'dict({", ".join(f"{key}={as_typed(part)}" for key, part in fields.items())})'
    return '?' if value is None else f'"{value}"' if isinstance(value, str) else repr(value)


def weights_in(path: Path) -> Path:
    """The file of weights of a folder that a model has for itself; a file as it is.

    Raises:
      JsslError: the folder has its weights as a pickle alone.
    """
    if not os.path.isdir(path):  # a name that is too long is none
        return path
    found = next((path / name for name in WEIGHTS if (path / name).is_file()), path)
    if found == path and (path / PICKLE).is_file():
        raise JsslError(
            f'{path / PICKLE} is a pickle, which jssl does not read; convert it once with jssl '
            f'import {path / PICKLE} {path / WEIGHTS[0]}'
        )
    return found


def place(
    weights: Mapping[str, Any],
    path: str,
    layout: str | None = None,
    leave_out: Sequence[str] = (),
    companions: Companions | None = None,
    ours: Ours | None = None,
) -> Brought:
    """As `bring`, of arrays, or of what `numpy.asarray` makes one of and is left if unwanted."""
    given = tuple(leave_out)
    weights = {key: value for key, value in weights.items() if not key.startswith(given)}
    said = _said_layout(weights, ours) if layout is None else find(layout)
    found = said or recognise(weights)
    if found is None:
        return Brought(_read(weights), None, None, {}, f'{path}: its layout is not known')
    wrapper = _wrapper_of(found, weights, path, certain=said is not None and layout is None)
    try:
        return _placed(found, wrapper, weights, path, given, companions or Companions(), ours)
    except JsslError as error:
        if layout is None and not found.names:  # it may be a network of jssl's own
            return Brought(_read(weights), None, None, {}, f'{path}: its network is not known')
        raise JsslError(f'{path!r}, taken for {found.title}: {error}') from error


def _said_layout(weights: Mapping[str, Any], ours: Ours | None) -> Layout | None:
    """That which a file of ours says; None where it says none, or its names are of another."""
    named = {layout.name: layout for layout in LAYOUTS}
    said = named.get(ours.layout or '') if ours else None
    return said if said and said.wrapper_in(weights, certain=True) is not None else None


def _wrapper_of(layout: Layout, weights: Mapping[str, Any], path: str, certain: bool) -> str:
    """What stands before the names of the one network in this layout.

    Raises:
      JsslError: there is none, or there are several.
    """
    if (usual := layout.wrapper_in(weights, certain)) is not None:
        return usual
    found = layout.wrappers_in(weights)
    if not found:
        raise JsslError(
            f'{path!r} is not in the layout {layout.name!r}, which has {", ".join(layout.signs)}; '
            f'its names start with {", ".join(map(repr, sorted(weights)[:3]))}. Leave the layout '
            'out to have it recognised.'
        )
    if len(found) > 1:
        raise JsslError(
            f'{path!r} holds {len(found)} networks, whose names begin with '
            f'{", ".join(map(repr, found[:MOST]))}. Keep one: jssl import --to=safetensors '
            f'--leave_out={found[0]}, with the names of all others.'
        )
    return found[0]


def _read(weights: Mapping[str, Any]) -> Arrays:
    return {key: np.asarray(value) for key, value in weights.items()}


def _placed(
    layout: Layout,
    wrapper: str,
    weights: Mapping[str, Any],
    path: str,
    leave_out: tuple[str, ...],
    companions: Companions,
    ours: Ours | None,
) -> Brought:
    inside = {
        key.removeprefix(wrapper): value
        for key, value in weights.items()
        if key.startswith(wrapper)
    }
    arrays, strange = layout.bring(
        {key: value for key, value in inside.items() if not key.startswith(leave_out)}
    )
    if strange:
        raise JsslError(
            f'{len(strange)} of its arrays have no place: {listed(strange)}. If the network does '
            'without them, convert it with jssl import --to=safetensors --leave_out=NAME, where '
            'NAME is how theirs begin.'
        )
    width = layout.width(arrays)
    gated = any('.ffn.w3.' in key for key in arrays)
    if ours is None:
        told = {**companions.network(width), **layout.told(companions.config)}
        told |= layout.activation(companions.activation(width), gated)
        network = layout.describe(arrays, {**layout.fields, **told})
    else:
        network = ours.network
        arrays = as_told(arrays, network) if layout.names else arrays
    rest = len(weights) - len(inside)
    parts = [f'{path}: {layout.title} ({layout.name}), {counted(len(arrays), "array")}']
    apart = {key: value for key, value in inside.items() if key.startswith(layout.apart)}
    if apart:
        parts.append(f'left out: {listed(apart)}')
    if rest:
        parts.append(f'{rest} more beside {wrapper!r}')
    view = {} if ours else {**layout.images, **companions.view(width, _side(layout, network))}
    return Brought(arrays, layout, network, view, '; '.join(parts), channels_of(arrays))


def _side(layout: Layout, network: Mapping[str, Any]) -> int | None:
    """Pixels along a side of the images that the network is evaluated on; None for unknown."""
    if layout.view is not None and layout.view % network.get('patch_size', 1) == 0:
        return layout.view
    return network.get('img_size')
