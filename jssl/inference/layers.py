"""What can be taken out of a network: pooled features, tokens, maps, the output of any stage."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Params, State
from jssl.errors import JsslError, suggest
from jssl.networks import evaluate
from jssl.weights.stacked import unstack

Layer = str | int
Outputs = Callable[[Params, State, jax.Array], jax.Array]
POOLED = 'pooled'


def make_outputs(algorithm: Algorithm, layer: Layer = POOLED) -> Outputs:
    """``outputs(params, state, images (B, H, W, C))``, what `layer` gives of normalised images.

    Args:
      algorithm: whose `extract_feat` is 'pooled', and whose backbone all other layers are of.
      layer: 'pooled' (B, D), by which runs are evaluated; 'class_token' (B, C); 'map' (B, h, w, C),
        the last one; 'patches' (B, h * w, C), the same in rows; 'patch_mean' (B, C), its mean; or
        the number of a stage of a ResNet or Swin, of a block of a ViT, from 1, or from -1 at the
        end: its map (B, h, w, C).

    Raises:
      JsslError: (from `outputs`, when it is traced) the backbone has no such layer.
    """
    if layer == POOLED:
        return algorithm.extract_feat
    number = _number(layer)
    if number is None and layer not in LAYERS:
        raise JsslError(f'layer={layer!r} is no layer. {suggest(str(layer), _names(algorithm))}')

    def outputs(params: Params, state: State, images: jax.Array) -> jax.Array:
        weights, stats = algorithm.kept(params, state)
        backbone, weights, stats = _backbone(algorithm, weights, stats, layer)
        if number is not None:
            return _stage(backbone, weights, stats, images, number)
        last = evaluate(backbone, weights, stats, images)[-1]
        found = LAYERS[str(layer)](last)
        if found is None:
            have = [name for name, take in LAYERS.items() if take(last) is not None]
            raise _missing(layer, algorithm, have)
        return found

    return outputs


def _number(layer: Layer) -> int | None:
    """The number of a stage, which a command line writes as a text."""
    if isinstance(layer, str):
        return int(layer) if layer.removeprefix('-').isdecimal() else None
    return int(layer)


def _map(last: Any) -> jax.Array | None:
    """The map (B, h, w, C) of a backbone's last output, if that has one."""
    found = last[0] if isinstance(last, tuple) else last
    return found if found.ndim == 4 else None


def _patches(last: Any) -> jax.Array | None:
    found = _map(last)
    return None if found is None else found.reshape(len(found), -1, found.shape[-1])


def _patch_mean(last: Any) -> jax.Array | None:
    found = _map(last)
    wide = None if found is None else jnp.promote_types(found.dtype, jnp.float32)
    return None if found is None else found.mean((1, 2), dtype=wide)


def _class_token(last: Any) -> jax.Array | None:
    return last[1] if isinstance(last, tuple) else None


LAYERS: Mapping[str, Callable[[Any], jax.Array | None]] = {
    'class_token': _class_token,
    'patch_mean': _patch_mean,
    'patches': _patches,
    'map': _map,
}


def _backbone(
    algorithm: Algorithm, params: Params, stats: State, layer: Layer
) -> tuple[nn.Module, Any, Any]:
    """The backbone with each block by itself, its parameters and its batch statistics.

    Raises:
      JsslError: there is none.
    """
    backbone = getattr(algorithm, 'backbone', None)
    if backbone is None or 'backbone' not in params:
        raise JsslError(
            f"layer={layer!r} is one of a backbone's, and {type(algorithm).__name__} has no part "
            f"called backbone; layer='{POOLED}' gives what its extract_feat makes."
        )
    parts = params['backbone'], stats.get('backbone', {})
    if getattr(backbone, 'scan_layers', False):
        return backbone.clone(scan_layers=False), *map(unstack, parts)
    return backbone, *parts


def _stage(
    backbone: nn.Module, params: Any, stats: Any, images: jax.Array, number: int
) -> jax.Array:
    """The map after a stage: of what the class calls its stages, else of its outputs."""
    names = getattr(backbone, 'stage_names', ())
    outputs = () if names else evaluate(backbone, params, stats, images)
    count = len(names or outputs)
    if not (1 <= number <= count or -count <= number <= -1):
        raise JsslError(
            f'layer={number} is no stage of {type(backbone).__name__}, which has those from 1 to '
            f'{count}, or from -1, the last, to -{count}.'
        )
    place = number - 1 if number > 0 else number
    if not names:
        output = outputs[place]
        return output[0] if isinstance(output, tuple) else output
    return _as_map(_captured(backbone, params, stats, images, names[place]), backbone, images)


def _captured(
    backbone: nn.Module, params: Any, stats: Any, images: jax.Array, name: str
) -> jax.Array:
    """What the module `name` inside the backbone returns."""

    def wanted(module: nn.Module, method: str) -> bool:
        return method == '__call__' and module.path == (name,)

    _, found = backbone.apply(
        {'params': params, 'batch_stats': stats},
        images,
        train=False,
        capture_intermediates=wanted,
        mutable=['intermediates'],
    )
    return found['intermediates'][name]['__call__'][0]


def _as_map(output: jax.Array, backbone: nn.Module, images: jax.Array) -> jax.Array:
    """Tokens (B, N, C), patches last, as a map; a map as it is."""
    if output.ndim == 4:
        return output
    side = getattr(backbone, 'patch_size', 1)
    rows, columns = (length // side for length in images.shape[1:3])
    tokens = output[:, output.shape[1] - math.prod((rows, columns)) :]
    return tokens.reshape(len(output), rows, columns, -1)


def _names(algorithm: Algorithm) -> list[str]:
    """All that can be asked for, before anything is computed."""
    names = getattr(getattr(algorithm, 'backbone', None), 'stage_names', ())
    return [POOLED, *LAYERS, *map(str, range(1, len(names) + 1))]


def _missing(layer: Layer, algorithm: Algorithm, have: list[str]) -> JsslError:
    backbone = type(getattr(algorithm, 'backbone', None)).__name__
    stages = [name for name in _names(algorithm) if name.isdecimal()]
    numbers = f' and the stages {stages[0]} to {stages[-1]}' if stages else ''
    return JsslError(
        f'layer={layer!r} is not in the outputs of {backbone}, which has '
        f'{", ".join([POOLED, *have])}{numbers}.'
    )
