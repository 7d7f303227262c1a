"""An image shifted by a few pixels, its edges mirrored."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.augment.ops import resample
from jssl.augment.views import PaddedCrop
from jssl.data import Canvas
from tests.checks import refused

RAW: dict[str, Any] = {'mean': (0.0, 0.0, 0.0), 'std': (1.0, 1.0, 1.0)}
PIXELS = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)


def test_every_view_is_a_window_of_the_padded_image() -> None:
    """Of an image whose short side has the size of the view already; NumPy pads it."""
    canvas = Canvas(jax.device_put(PIXELS), jax.device_put(np.array([8, 6], np.int32)))
    policy = PaddedCrop(size=6, padding=2, flip=0.0, **RAW)
    keys = jax.random.split(jax.random.key(0), 200)
    views = np.asarray(jax.jit(jax.vmap(policy, in_axes=(0, None)))(keys, canvas))
    padded = np.pad(PIXELS, ((2, 2), (2, 2), (0, 0)), 'reflect')
    windows = {
        padded[top : top + 6, left : left + 6].tobytes(): (top, left)
        for top in range(7)
        for left in range(5)
    }
    assert {windows[view.astype(np.uint8).tobytes()] for view in views} == set(windows.values())


def test_a_mirrored_crop_is_that_of_the_resized_image() -> None:
    pixels, size = jnp.asarray(PIXELS), jnp.array([8, 6])
    whole = jnp.array([16, 12])
    image = resample.resize_and_crop(pixels, size, whole, jnp.array([0, 0]), 12)
    shifted = resample.resize_and_crop(pixels, size, whole, jnp.array([-3, 2]), 10, mirrored=True)
    expected = np.pad(image, ((3, 0), (0, 0), (0, 0)), 'reflect')[:10, 2:12]
    np.testing.assert_array_equal(shifted, expected)


def test_odd_options_are_refused() -> None:
    with refused('PaddedCrop.padding', 'less than size'):
        PaddedCrop(size=8, padding=8)
    with refused('PaddedCrop.interpolation'):
        PaddedCrop(interpolation='nearest')
    with refused('mean'):
        PaddedCrop()(jax.random.key(0), Canvas(jnp.zeros((9, 9, 1), jnp.uint8), jnp.array([9, 9])))
