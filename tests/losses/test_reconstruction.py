from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import explained_variance, masked_patch_error, masked_pixel_error

DRAW = np.random.default_rng(0)
PREDICTION, TARGET = DRAW.standard_normal((2, 3, 4, 6))
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0], [1, 1, 1, 0]])
HIDDEN = jnp.asarray(MASK)


def test_masked_patches_count_and_others_do_not() -> None:
    rows = [np.mean((PREDICTION[i, j] - TARGET[i, j]) ** 2) for i, j in np.argwhere(MASK)]
    found = masked_patch_error(PREDICTION, TARGET, jnp.asarray(MASK, bool))
    assert float(found) == pytest.approx(np.mean(rows), rel=1e-6)


def test_masked_pixels_are_summed_over_channels_and_counted_once() -> None:
    expected = (np.abs(PREDICTION - TARGET) * MASK[..., None]).sum() / (MASK.sum() + 1e-5) / 6
    with jax.enable_x64(True):
        found = masked_pixel_error(jnp.asarray(PREDICTION), jnp.asarray(TARGET), HIDDEN, channels=6)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_explained_variance_is_1_for_the_target_and_0_for_the_mean_image() -> None:
    mean = jnp.broadcast_to(TARGET.mean(axis=0), TARGET.shape)
    assert float(explained_variance(TARGET, TARGET, HIDDEN)) == 1
    assert float(explained_variance(mean, TARGET, HIDDEN)) == pytest.approx(0, abs=1e-6)
    half = (mean + TARGET) / 2
    assert float(explained_variance(half, TARGET, HIDDEN)) == pytest.approx(0.75, abs=1e-6)
    assert np.isfinite(explained_variance(TARGET * 0, TARGET * 0, HIDDEN))


@pytest.mark.parametrize('loss', [masked_patch_error, masked_pixel_error, explained_variance])
def test_half_precision_is_widened(loss: Callable[..., jax.Array]) -> None:
    half = jnp.asarray(PREDICTION, 'bfloat16')
    assert loss(half, jnp.zeros_like(half), MASK).dtype == 'float32'
