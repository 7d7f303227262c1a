import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.drop_path import DropPath, drop_path_rates
from tests.checks import refused

BRANCH = jnp.ones((4000, 2, 3))
KEY = jax.random.key(0)


def test_a_sample_is_dropped_whole_and_the_others_scaled() -> None:
    out = np.asarray(DropPath().apply({}, BRANCH, 0.25, rngs={'drop_path': KEY}))
    assert (out == out[:, :1, :1]).all()
    np.testing.assert_allclose(np.unique(out), [0, 4 / 3])
    assert (out[:, 0, 0] == 0).mean() == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 4000) ** 0.5)


def test_without_a_rate_everything_passes_and_no_key_is_needed() -> None:
    assert DropPath().apply({}, BRANCH, None) is BRANCH
    np.testing.assert_array_equal(
        DropPath().apply({}, BRANCH, 0.0, rngs={'drop_path': KEY}), BRANCH
    )


def test_bfloat16_stays() -> None:
    out = DropPath().apply({}, BRANCH.astype('bfloat16'), 0.5, rngs={'drop_path': KEY})
    assert out.dtype == 'bfloat16'


def test_a_missing_key_is_named() -> None:
    with refused('drop_path_rate', "rngs={'drop_path': key}"):
        DropPath().apply({}, BRANCH, 0.1)


def test_rates_grow_linearly() -> None:
    assert drop_path_rates(0.2, 5, train=True) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert drop_path_rates(0.2, 5, train=False) is None
    assert drop_path_rates(0.0, 5, train=True) is None
