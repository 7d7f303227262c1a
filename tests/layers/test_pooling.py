import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.pooling import adaptive_average_pool, pool_features
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
