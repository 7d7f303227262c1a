"""Images of random levels, and how far two are apart."""

import jax
import numpy as np


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def worst(image: jax.Array, reference: object) -> float:
    """The largest difference in levels; the image must hold whole levels."""
    levels = np.asarray(image)
    assert levels.dtype == np.float32
    assert np.array_equal(levels, np.round(levels))
    return float(np.abs(levels - np.asarray(reference, np.float32)).max())
