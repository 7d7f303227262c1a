"""Blocks that are computed again in the backward pass, or compiled as a loop: the same loss.

Losses, gradients and states of every method whose backbone can do it are compared with those of
the plain network, in float64.
"""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from jssl.algorithm import Algorithm, Params, State
from jssl.backbones import VisionTransformer
from jssl.layers.drop_path import without_drop_path
from jssl.training.step import checked, make_views
from jssl.weights.stacked import stack_like, unstack
from tests.algorithms.runs import ALGORITHMS, batch, first_state, tiny, views_for

QUICK = ('MAE',)
# The others in a minute or two: pytest -m slow tests/algorithms/test_blocks.py
NAMES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name in ALGORITHMS
    if hasattr(getattr(tiny(name), 'backbone'), 'remat')  # noqa: B009
]


def changed(algorithm: Algorithm, **fields: Any) -> Algorithm:
    """The algorithm without drop path, whose noise is another in a loop, and with these fields."""
    backbone: Any = getattr(algorithm, 'backbone')  # noqa: B009
    given: Any = {'backbone': without_drop_path(backbone).clone(**fields)}
    return dataclasses.replace(algorithm, **given)


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('name', NAMES)
def test_remat_and_a_loop_over_blocks_change_no_number(name: str) -> None:
    plain = changed(tiny(name))
    start, views = first_state(name), views_for(plain)
    seen = {**make_views(views, jax.random.key(0), batch(0)), 'step': jax.numpy.array(0)}

    def taken(algorithm: Algorithm, params: Params, state: State) -> Any:
        drawn = algorithm.draw(jax.random.key(1), state, seen)
        gradient = jax.value_and_grad(checked(algorithm), has_aux=True)
        (loss, (after, _)), grads = gradient(params, state, drawn)
        return loss, unstack(after), unstack(grads)

    @jax.jit
    def all_of_them(params: Params, state: State) -> list[Any]:
        found = [taken(plain, params, state), taken(changed(plain, remat=True), params, state)]
        if isinstance(getattr(plain, 'backbone'), VisionTransformer):  # noqa: B009
            looped = changed(plain, scan_layers=True)
            like = jax.eval_shape(looped.init, jax.random.key(0), seen)
            stacked = [stack_like(*pair) for pair in zip((params, state), like, strict=True)]
            found.append(taken(looped, *stacked))
        return found

    expected, *others = all_of_them(start.params, start.state)
    check = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    for found in others:
        jax.tree.map(check, found, expected)
