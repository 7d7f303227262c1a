from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.necks import AvgPool2dNeck, ODCNeck, RelativeLocNeck
from jssl.necks.pretext import draw_keep, drop
from tests.checks import assert_drawn_like, refused, well_scaled

MAPS = jax.random.normal(jax.random.key(1), (6, 2, 2, 4))
KEEP = draw_keep(jax.random.key(2), (6, 8))


def made(neck: Any) -> Any:
    """Well scaled variables of a neck."""
    return well_scaled(jax.eval_shape(neck.init, jax.random.key(0), (MAPS,)))


def normalized(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)


def test_pooling_has_no_parameters() -> None:
    pooled, variables = AvgPool2dNeck().init_with_output(jax.random.key(0), (MAPS,))
    assert not variables
    np.testing.assert_allclose(pooled, MAPS.mean((1, 2)), atol=1e-6)


def test_odc_neck_against_numpy() -> None:
    neck = ODCNeck(4, 8, 3)
    variables = made(neck)
    fc0, fc1 = (variables['params'][name] for name in ('fc0', 'fc1'))
    assert variables['params'].keys() == {'fc0', 'fc1'}
    hidden = np.maximum(normalized(MAPS.mean((1, 2)) @ fc0['kernel'] + fc0['bias']), 0)
    expected = np.maximum(2 * hidden * KEEP @ fc1['kernel'] + fc1['bias'], 0)
    out, stats = neck.apply(variables, (MAPS,), KEEP, mutable=['batch_stats'])
    np.testing.assert_allclose(out, expected, atol=1e-4)
    before, after = (s['batch_stats']['bn0']['mean'] for s in (variables, stats))
    mean = (MAPS.mean((1, 2)) @ fc0['kernel'] + fc0['bias']).mean(0)
    np.testing.assert_allclose(after, 0.999 * before + 0.001 * mean, atol=1e-6)


def test_odc_neck_with_centred_outputs() -> None:
    neck = ODCNeck(4, 8, 3, with_last_bn=True)
    variables = made(neck)
    assert variables['params'].keys() == {'fc0', 'fc1'}
    fc0, fc1 = (variables['params'][name] for name in ('fc0', 'fc1'))
    hidden = np.maximum(normalized(MAPS.mean((1, 2)) @ fc0['kernel'] + fc0['bias']), 0)
    last = 2 * hidden * KEEP @ fc1['kernel'] + fc1['bias']
    out, stats = neck.apply(variables, (MAPS,), KEEP, mutable=['batch_stats'])
    np.testing.assert_allclose(out, normalized(last), atol=1e-3)
    before, after = (s['batch_stats']['bn1']['mean'] for s in (variables, stats))
    np.testing.assert_allclose(after, 0.9 * before + 0.1 * last.mean(0), atol=1e-5)


def test_relative_loc_neck_against_numpy() -> None:
    neck = RelativeLocNeck(2, 8)
    variables = made(neck)
    fc, bn = (variables['params'][name] for name in ('fc', 'bn'))
    hidden = normalized(MAPS.mean((1, 2)) @ fc['kernel'] + fc['bias']) * bn['scale'] + bn['bias']
    out, stats = neck.apply(variables, (MAPS,), KEEP, mutable=['batch_stats'])
    np.testing.assert_allclose(out, 2 * np.maximum(hidden, 0) * KEEP, atol=1e-4)
    before, after = (s['batch_stats']['bn']['mean'] for s in (variables, stats))
    mean = (MAPS.mean((1, 2)) @ fc['kernel'] + fc['bias']).mean(0)
    np.testing.assert_allclose(after, 0.997 * before + 0.003 * mean, atol=1e-6)


def test_groups_have_statistics_of_their_own() -> None:
    for neck in (ODCNeck(4, 8, 3), RelativeLocNeck(2, 8)):
        variables = made(neck)
        grouped = neck.clone(bn_group_size=3)
        out, _ = grouped.apply(variables, (MAPS,), mutable=['batch_stats'])
        half, _ = neck.apply(variables, (MAPS[3:],), mutable=['batch_stats'])
        np.testing.assert_allclose(out[3:], half, atol=1e-5)


def test_half_of_the_units_stay_and_the_mean_too() -> None:
    keep = draw_keep(jax.random.key(0), (100, 100))
    assert 0.48 < keep.mean() < 0.52
    np.testing.assert_array_equal(drop(jnp.ones((100, 100)), keep), 2 * keep)
    np.testing.assert_array_equal(drop(MAPS, None), MAPS)


def test_fresh_parameters_are_drawn_as_in_the_reference() -> None:
    for model, neck, width in (
        ('odc', ODCNeck(512, 128, 64), 512),
        ('relative_loc', RelativeLocNeck(512, 256), 1024),
    ):
        params = jax.jit(neck.init)(jax.random.key(0), (jnp.zeros((2, width)),))['params']
        assert_drawn_like({'neck': params}, model)


def test_another_width_is_refused() -> None:
    with refused('neck.in_channels=5', '4'):
        ODCNeck(5, 8, 3).init(jax.random.key(0), (MAPS,))
    with refused('neck.in_channels=4', '2'):
        RelativeLocNeck(4, 8).init(jax.random.key(0), (MAPS,))
