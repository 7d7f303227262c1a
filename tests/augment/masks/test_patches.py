"""Masks of patches: exact counts, their order, and that they are uniform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment import masks
from tests.checks import refused


def test_random_masking_keeps_the_least_noise_in_its_order() -> None:
    noise = np.random.default_rng(0).random((3, 16), np.float32)
    keep, restore, mask = jax.jit(masks.random_masking, static_argnums=1)(noise, 4)
    assert keep.dtype == restore.dtype == jnp.int32
    assert mask.dtype == bool
    for row in range(3):
        order = np.argsort(noise[row])
        assert np.array_equal(keep[row], order[:4])
        assert np.array_equal(order[restore[row]], np.arange(16))
        assert set(np.flatnonzero(~mask[row])) == set(order[:4])


def test_random_masking_restores_the_order_of_the_patches() -> None:
    noise = jax.random.uniform(jax.random.key(0), (196,))
    keep, restore, mask = masks.random_masking(noise, 49)
    shuffled = np.concatenate([keep, np.full(147, -1)])
    patches = shuffled[restore]
    assert np.array_equal(patches, np.where(mask, -1, np.arange(196)))
    assert int(mask.sum()) == 147


@pytest.mark.parametrize('keep', [0, 17])
def test_random_masking_refuses_a_count_out_of_range(keep: int) -> None:
    with refused(f'keep is {keep}', 'at most 16'):
        masks.random_masking(jnp.zeros(16), keep)


@pytest.fixture(scope='module')
def patches() -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), 4000)
    return np.asarray(jax.jit(jax.vmap(masks.patch_mask))(keys))


def test_patch_mask_covers_22_of_36_whole_cells(patches: np.ndarray) -> None:
    assert patches.shape == (4000, 48, 48)
    assert patches.dtype == bool
    assert (patches.sum(axis=(1, 2)) == 1408).all()
    cells = patches[:, ::8, ::8]
    assert np.array_equal(patches, cells.repeat(8, axis=1).repeat(8, axis=2))


def test_patch_mask_is_uniform_over_cells_and_pairs(patches: np.ndarray) -> None:
    cells = patches[:, ::8, ::8].reshape(4000, 36).astype(float)
    assert np.abs(cells.mean(axis=0) - 22 / 36).max() < 4 * 0.0077
    pairs = (cells.T @ cells / 4000)[~np.eye(36, dtype=bool)]
    assert np.abs(pairs - 22 * 21 / (36 * 35)).max() < 5 * 0.0077


@pytest.mark.parametrize('ratio', [-0.1, 1.5, float('nan')])
def test_patch_mask_refuses_a_ratio_out_of_range(ratio: float) -> None:
    with refused(f'ratio is {ratio!r}', 'between 0 and 1'):
        masks.patch_mask(jax.random.key(0), ratio=ratio)
