from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import covariance_penalty, invariance, variance_hinge
from tests import golden
from tests.checks import refused
from tests.losses.parts import both_precisions, part


def variance(first: jax.Array, second: jax.Array) -> jax.Array:
    return (variance_hinge(first) + variance_hinge(second)) / 2


def covariance(first: jax.Array, second: jax.Array) -> jax.Array:
    return covariance_penalty(first) + covariance_penalty(second)


def total(first: jax.Array, second: jax.Array) -> jax.Array:
    spread = 25 * variance(first, second) + covariance(first, second)
    return 25 * invariance(first, second) + spread


TERMS = {'repr': invariance, 'std': variance, 'cov': covariance, 'total': total}


@both_precisions
@golden.each('part_vicreg_loss')
def test_the_reference_s_terms(path: Path, dtype: str) -> None:
    with part(path, dtype) as saved:
        for number, size in enumerate(saved.meta['settings']):
            pair = saved.input(f'x{number}'), saved.input(f'y{number}')
            assert pair[0].shape == (size['samples'], size['dim'])
            for name, term in TERMS.items():
                value, grads = jax.jit(jax.value_and_grad(term, (0, 1)))(*pair)
                saved.check(f'{name}{number}', value)
                for view, gradient in zip('xy', grads, strict=True):
                    saved.check(f'{name}{number}/grad_{view}', gradient)


def test_a_constant_feature_has_a_finite_gradient() -> None:
    assert np.isfinite(jax.jit(jax.grad(variance_hinge))(jnp.ones((4, 2)))).all()


def test_half_precision_is_widened() -> None:
    rows = jnp.eye(3, dtype='bfloat16')
    for loss in (variance_hinge(rows), covariance_penalty(rows), invariance(rows, rows)):
        assert loss.dtype == 'float32'


@pytest.mark.parametrize('loss', [variance_hinge, covariance_penalty])
def test_a_single_image_is_refused(loss: Callable[[jax.Array], jax.Array]) -> None:
    with refused('VICReg', 'one image', 'config.batch_size to 2'):
        loss(jnp.ones((1, 3)))
