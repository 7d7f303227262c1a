"""Weights by the reference's names in the places of a network, once they are known to fit."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Params, State
from jssl.data.canvas import Canvas
from jssl.errors import JsslError, in_words
from jssl.evaluation.features import EvalView
from jssl.fitting.placing import check_weights, place_weights
from jssl.inference.pretrained import Frozen
from jssl.interop.safetensors import PREFIX, has_reference_names, own_names

MOST = 10  # times the numbers of a file that its network may have; tables need not be there
Weights = Mapping[str, np.ndarray]


class Sizes(NamedTuple):
    """Side of the canvas, and channels of an image."""

    canvas: int
    channels: int


def fitted(
    backbone: nn.Module, weights: Weights, view: EvalView, size: Sizes, path: str
) -> tuple[Params, State]:
    """Weights by the reference's names in the place of a backbone's parameters and statistics.

    Raises:
      JsslError: they are of another network.
    """
    shapes = check_fit(backbone, weights, view, size, path)
    params, state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    try:
        if not _is_named(params, state):
            return _by_own_names(weights, params), _by_own_names(weights, state)
        fresh = _network_of(params, state)
        loaded = place_weights(weights, fresh, backbone, lambda line: None, path)
    except JsslError as error:
        raise _misfit(backbone, path, error) from error
    return loaded['params'], loaded['state'] if state else {}


def check_fit(
    backbone: nn.Module,
    weights: Weights,
    view: EvalView,
    size: Sizes,
    path: str,
    resized: bool = True,
) -> tuple[Params, State]:
    """Shapes of a backbone's parameters and statistics, once weights are found to be theirs.

    Args:
      backbone, weights, view, size, path: as of `fitted`.
      resized: whether tables of positions may be for images of another size.

    Raises:
      JsslError: it cannot be made for such images, or has other parameters.
    """

    def init() -> tuple[Params, State]:
        side, channels = size
        canvas = Canvas(jnp.zeros((side, side, channels), jnp.uint8), jnp.array([side, side]))
        return Frozen(backbone).init(jax.random.key(0), {'views': (view(canvas)[None],)})

    try:
        shapes: tuple[Params, State] = jax.eval_shape(init)
    except Exception as error:  # of a view or a network that a file describes
        raise JsslError(
            f'{path!r}: {type(backbone).__name__} cannot be made for images of canvas '
            f'{size.canvas} as {type(view).__name__} prepares them: '
            f'{in_words(error).rstrip(".")}. Give backbone= and view= that go together.'
        ) from error
    _check_size(shapes, weights, f'{path!r} does not fit {type(backbone).__name__}')
    try:
        if _is_named(*shapes):
            check_weights(weights, _network_of(*shapes), resized)
    except JsslError as error:
        raise _misfit(backbone, path, error) from error
    return shapes


def _network_of(params: Params, state: State) -> dict[str, Any]:
    """As `place_weights` takes it."""
    return {'params': params, 'state': {'batch_stats': {'backbone': {}}, **state}}


def _is_named(params: Params, state: State) -> bool:
    """Whether files have the reference's names for it, and not its own."""
    stats = state.get('batch_stats', {}).get('backbone', {})
    return has_reference_names(params['backbone'], stats)


def _misfit(backbone: nn.Module, path: str, error: JsslError) -> JsslError:
    return JsslError(f'{path!r} does not fit {type(backbone).__name__}: {error}')


def _check_size(shapes: Any, weights: Weights, what: str) -> None:
    """Refuses a network far larger than its weights, before memory is taken for it."""
    wanted = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    there = sum(array.size for array in weights.values())
    if wanted > MOST * there:
        raise JsslError(
            f'{what}: the network has {wanted:,} parameters, and {there:,} numbers are there. Give '
            'it the type, depth and widths that they were trained with.'
        )


def _by_own_names(weights: Weights, tree: Any) -> Any:
    """The tree of a module that has names of its own, which files keep."""
    part = tree.get('batch_stats', tree).get('backbone', {})
    names = own_names(part)
    for name, leaf in names.items():
        there = weights.get(PREFIX + name)
        if there is None or there.shape != leaf.shape:
            found = 'is missing' if there is None else f'has shape {there.shape}'
            raise JsslError(f'{name!r} of shape {leaf.shape} {found} in the weights.')
    values = [weights[PREFIX + name] for name in names]
    placed = jax.tree.unflatten(jax.tree.structure(part), values)
    return {'batch_stats': {'backbone': placed}} if 'batch_stats' in tree else {'backbone': placed}
