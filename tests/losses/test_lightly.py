"""The losses of DCL, TiCo, MSN and PMSN against lightly's numbers, which are in one file."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jssl.losses import (
    decoupled_contrast,
    msn,
    prior_divergence,
    prototype_similarities,
    sharpened_targets,
    tico,
)
from jssl.memories import update_covariance
from tests import golden
from tests.losses.parts import Part, both_precisions, part


@both_precisions
@golden.each('part_losses_lightly')
def test_lightly_s_numbers(path: Path, dtype: str) -> None:
    with part(path, dtype) as saved:
        pair, temperature = (saved.input('x'), saved.input('y')), saved.meta['temperature']
        for name, sigma in (('dcl', None), ('dclw', 0.5)):
            loss = partial(decoupled_contrast, temperature=temperature, sigma=sigma)
            check(saved, name, loss, pair, ('grad_x', 'grad_y'))
        check_tico(saved)
        both = saved.input('anchors'), saved.input('prototypes')
        masked = partial(masked_siamese, targets=pair[0])
        for name, loss in (
            ('msn', masked),
            ('msn_plain', partial(masked, rounds=0, temperature=0.2, weight=0.5)),
            ('pmsn', partial(masked, rounds=0, exponent=0.25)),
        ):
            check(saved, name, loss, both, ('grad_anchors', 'grad_prototypes'))


def check(
    saved: Part,
    name: str,
    loss: Callable[..., jax.Array],
    inputs: tuple[jax.Array, ...],
    grads: tuple[str, ...],
) -> None:
    value, found = jax.jit(jax.value_and_grad(loss, (0, 1)))(*inputs)
    # PMSN's prior is in float32 there always; in float32 gradients are small differences.
    bound = 1e-7 if saved.dtype == 'float64' else 1e-4
    saved.check(name, value, bound)
    for grad, array in zip(grads, found, strict=True):
        saved.check(f'{name}/{grad}', array, bound)


def check_tico(saved: Part) -> None:
    covariance = jnp.zeros((16, 16), saved.dtype)
    for step in range(3):
        first, second = saved.input(f'tico_x{step}'), saved.input(f'tico_y{step}')
        covariance = update_covariance(covariance, first)
        saved.check(f'tico{step}/covariance', covariance)
        loss = partial(tico, covariance=covariance, weight=saved.meta['rho'])
        value, gradient = jax.jit(jax.value_and_grad(loss))(first, second)
        saved.check(f'tico{step}', value)
        saved.check(f'tico{step}/grad_x', gradient)


def masked_siamese(
    anchors: jax.Array,
    prototypes: jax.Array,
    targets: jax.Array,
    rounds: int = 3,
    exponent: float | None = None,
    temperature: float = 0.1,
    weight: float = 1.0,
) -> jax.Array:
    similarities = prototype_similarities(anchors, prototypes)
    whole = prototype_similarities(targets, prototypes)
    loss = msn(similarities, sharpened_targets(whole, temperature, rounds=rounds), temperature)
    return loss + weight * prior_divergence(similarities, temperature, exponent)


def test_a_prior_that_is_met_costs_nothing() -> None:
    prior = np.arange(1, 6) ** -0.5 / (np.arange(1, 6) ** -0.5).sum()
    similarities = 0.1 * np.log(np.tile(prior, (3, 1)).astype('float32'))
    assert abs(prior_divergence(similarities, exponent=0.5)) < 1e-6
    assert prior_divergence(similarities) > 0.01
