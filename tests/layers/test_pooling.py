import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.pooling import adaptive_average_pool, max_pool, pool_features
from tests.checks import adaptive_mean


def test_the_last_map_is_averaged_over_its_places() -> None:
    first, last = np.ones((2, 4, 4, 3)), np.arange(2 * 3 * 2 * 5.0).reshape(2, 3, 2, 5)
    pooled = pool_features((jnp.asarray(first), jnp.asarray(last)))
    np.testing.assert_allclose(pooled, last.mean((1, 2)), rtol=1e-6)


def test_what_is_pooled_already_passes() -> None:
    features = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(pool_features((features,)), features)


def test_bfloat16_is_reduced_in_float32() -> None:
    # 257 places of 1 and 255 of 1 + 1/128, the next bfloat16: the mean lies between the two.
    values = jnp.where(jnp.arange(512) < 257, 1, 1 + 1 / 128).astype('bfloat16')
    pooled = pool_features((values.reshape(1, 16, 32, 1),))
    assert pooled.dtype == 'float32'
    np.testing.assert_allclose(pooled, 1 + 255 / 512 / 128, rtol=1e-6)


def test_the_class_token_stands_for_its_map() -> None:
    tokens = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(pool_features(((jnp.ones((2, 4, 4, 3)), tokens),)), tokens)


@pytest.mark.parametrize('side', [1, 2, 3, 5, 7])
def test_adaptive_pooling_has_pytorch_s_windows(side: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 7, 5, 3)).astype('float32')
    found = adaptive_average_pool(jnp.asarray(x), side)
    np.testing.assert_allclose(found, adaptive_mean(x, side), atol=1e-6)


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize(
    ('shape', 'window'),
    [((2, 7, 8, 3), (3, 2, 1)), ((1, 6, 5, 2), (2, 2, 0)), ((1, 5, 9, 2), (3, 1, 1))],
)
def test_maxima_and_their_gradients_are_those_of_windows(
    shape: tuple[int, ...], window: tuple[int, int, int]
) -> None:
    side, stride, padding = window
    # Whole numbers and zeros as after ReLU: many values are equal.
    x = jax.device_put(np.random.default_rng(0).integers(0, 3, shape).astype('float64'))
    borders = ((padding, padding),) * 2

    def both(x: jax.Array) -> list[jax.Array]:
        mine, back = jax.vjp(lambda x: max_pool(x, side, stride, padding), x)
        theirs, forth = jax.vjp(
            lambda x: nn.max_pool(x, (side, side), (stride, stride), borders), x
        )
        given = jnp.arange(mine.size, dtype=mine.dtype).reshape(mine.shape)
        return [mine, theirs, *back(given), *forth(given)]

    mine, theirs, by_mine, by_theirs = jax.jit(both)(x)
    np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(by_mine, by_theirs, rtol=1e-12)


def test_a_maximum_with_nan_is_nan() -> None:
    x = np.zeros((1, 4, 4, 1), 'float32')
    x[0, 1, 1] = np.nan
    pooled = jax.jit(lambda x: max_pool(x, 3, 2, 1))(x)
    assert np.isnan(pooled).all()  # every square holds row 1 and column 1


def test_maxima_are_of_windows_on_accelerators_alone() -> None:
    pool = jax.jit(jax.grad(lambda x: max_pool(x, 3, 2, 1).sum()))
    traced = pool.trace(jax.ShapeDtypeStruct((1, 8, 8, 2), 'float32'))
    texts = [traced.lower(lowering_platforms=(name,)).as_text() for name in ('cpu', 'tpu', 'cuda')]
    assert ['select_and_scatter' in text for text in texts] == [False, True, True]
