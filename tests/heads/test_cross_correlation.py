from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.heads import LatentCrossCorrelationHead
from jssl.losses import barlow_twins
from tests.checks import matrix, refused


def run(head: LatentCrossCorrelationHead, *views: Any) -> tuple[jax.Array, Any]:
    width = head.in_channels
    stats = {'bn': {'mean': jnp.zeros(width), 'var': jnp.ones(width)}}
    apply = jax.jit(lambda *z: head.apply({'batch_stats': stats}, *z, mutable=['batch_stats']))
    correlation, updates = apply(*map(jnp.asarray, views))
    return correlation, updates['batch_stats']['bn']


def test_hand_made_values() -> None:
    first, second = matrix(4, 5, 0.2), matrix(4, 5, 0.9) ** 2
    with jax.enable_x64(True):
        correlation, stats = run(LatentCrossCorrelationHead(5), first, second)
        loss = float(barlow_twins(correlation))
    assert loss == pytest.approx(7.518171724466984, rel=1e-9)
    mean = [0.11608218, 0.07971348, 0.01408907, -0.01277842, 0.06179042]
    var = [0.83668941, 0.86149382, 0.85661706, 0.84103930, 0.88010308]
    np.testing.assert_allclose(stats['mean'], mean, atol=1e-8)
    np.testing.assert_allclose(stats['var'], var, atol=1e-8)


def test_groups_are_normalised_by_themselves_and_summed() -> None:
    draw = np.random.default_rng(0)
    views = [draw.standard_normal((8, 3)).astype('float32') for _ in range(2)]
    grouped, _ = run(LatentCrossCorrelationHead(3, bn_group_size=4), *views)
    first, _ = run(LatentCrossCorrelationHead(3), *(view[:4] for view in views))
    second, _ = run(LatentCrossCorrelationHead(3), *(view[4:] for view in views))
    np.testing.assert_allclose(grouped, (first + second) / 2, atol=1e-5)
    whole, _ = run(LatentCrossCorrelationHead(3), *views)
    assert np.abs(whole - grouped).max() > 0.01


def test_equal_views_agree_with_themselves() -> None:
    view = np.random.default_rng(0).standard_normal((16, 4)).astype('float32')
    correlation, _ = run(LatentCrossCorrelationHead(4), view, view)
    np.testing.assert_allclose(jnp.diagonal(correlation), 1, rtol=1e-4)


def test_bfloat16_projections_are_correlated_in_float32() -> None:
    view = jnp.asarray(np.random.default_rng(0).standard_normal((8, 4)), jnp.bfloat16)
    assert run(LatentCrossCorrelationHead(4), view, view)[0].dtype == 'float32'


def test_it_has_no_parameters() -> None:
    shapes = jax.eval_shape(
        LatentCrossCorrelationHead(4).init, jax.random.key(0), *(jnp.zeros((4, 4)),) * 2
    )
    assert set(shapes) == {'batch_stats'}


def test_another_width_is_refused_with_the_right_one() -> None:
    with refused('head.in_channels=4', 'set config.model.head.in_channels=5'):
        run(LatentCrossCorrelationHead(4), jnp.zeros((4, 5)), jnp.zeros((4, 5)))
