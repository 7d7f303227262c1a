"""HOG against the reference, the definition in float64, and what the definition implies."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.target_generators import HOGGenerator
from tests import golden
from tests.checks import refused

SMALL = HOGGenerator(pool=4, gaussian_window=8, patch_size=8)
IMAGES = jax.random.normal(jax.random.key(0), (2, 16, 24, 3))


@golden.each('part_hog')
def test_equals_the_reference(path: Path) -> None:
    """All cells, the outer ring too: our derivatives there are exactly 0, as the reference's."""
    rules = golden.reader(path.parent)
    with jax.enable_x64(True), golden.whole(path) as saved:
        for number, case in enumerate(saved.meta['images']):
            name = case['name']
            images = rules.make_inputs({name: golden.plain(case['spec'])}, saved.meta['seed'])[name]
            tokens = saved.arrays[f'out/tokens{number}'] if case['tokens'] else None
            channels, bins = images.shape[1], case['bins']
            along = 1 if tokens is None else round((tokens.shape[-1] / channels / bins) ** 0.5)
            hog = HOGGenerator(bins, case['pool'], case['window'], patch_size=case['pool'] * along)
            channels_last = jnp.asarray(images.transpose(0, 2, 3, 1), 'float64')
            cells = np.asarray(jax.jit(hog.cells)(channels_last)).transpose(0, 3, 4, 1, 2)
            assert case['nearest_border'] > 1e-6, 'rounding decides some of its directions'
            stored = saved.arrays[f'out/cells{number}']
            np.testing.assert_allclose(cells[: len(stored)], stored, atol=2e-6)
            expected = saved.arrays[f'out/cells_row{number}']
            np.testing.assert_allclose(rules.row(cells), expected, rtol=1e-5, atol=2e-6)
            if tokens is not None:
                found = jax.jit(hog)(channels_last)
                np.testing.assert_allclose(found[: len(tokens)], tokens, atol=2e-6)


def test_hand_made_values() -> None:
    """ALGORITHMS.md, golden value 26; the total depends on the last bits of the image."""
    image = np.sin(np.float32(0.37) * np.arange(3 * 224 * 224, dtype='float32'))
    tokens = jax.jit(HOGGenerator())(image.reshape(1, 3, 224, 224).transpose(0, 2, 3, 1))
    assert tokens.shape == (1, 196, 108)
    np.testing.assert_allclose(tokens[0, 0, :4], [0.99957871, 0.99952358, 1, 1], atol=1e-5)
    assert float(tokens.sum()) == pytest.approx(2357.4648, rel=1e-4)
    window = np.asarray(HOGGenerator()._window(IMAGES[:, :16, :16]))[..., 0]
    np.testing.assert_allclose([window[0, 0], window[7, 7]], [0.00221355, 0.00531002], atol=1e-8)


def by_definition(image: np.ndarray, windowed: bool = True) -> np.ndarray:
    """Cells (rows, columns, C, bins) of one image, pixel by pixel in float64."""
    height, width, channels = image.shape
    x = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode='reflect')
    kernel = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
    place = (np.arange(SMALL.gaussian_window) - 3.5) / 4
    window = np.outer(np.exp(-0.5 * place**2), np.exp(-0.5 * place**2))
    window = window / window.sum() if windowed else np.ones_like(window)
    cells = np.zeros((height // 4, width // 4, channels, 9))
    for row, column, channel in np.ndindex(image.shape):
        patch = x[row : row + 3, column : column + 3, channel]
        gx, gy = (patch * kernel).sum(), (patch * kernel.T).sum()
        vote = int(np.floor(np.arctan2(gx, gy) / np.pi * 9)) % 9
        weight = np.hypot(gx, gy) * window[row % 8, column % 8]
        cells[row // 4, column // 4, channel, vote] += weight
    return cells / np.linalg.norm(cells, axis=-1, keepdims=True)


def test_cells_follow_the_definition_and_patches_group_them() -> None:
    cells = np.asarray(jax.jit(SMALL.cells)(IMAGES))
    np.testing.assert_allclose(cells[0], by_definition(np.asarray(IMAGES[0], 'float64')), atol=1e-5)
    tokens = np.asarray(jax.jit(SMALL)(IMAGES))
    assert tokens.shape == (2, 6, 108)
    # Patch 4 is the second of the second row; channel 2, bin 5, lower left cell.
    assert tokens[1, 4, (2 * 9 + 5) * 4 + 2] == cells[1, 3, 2, 2, 5]


def test_without_a_window_all_gradients_of_a_cell_count_alike() -> None:
    plain = dataclasses.replace(SMALL, gaussian_window=0, patch_size=4)
    images = IMAGES[:, :, 4:]  # of 20 pixels, which no window of 8 divides
    expected = by_definition(np.asarray(images[0], 'float64'), windowed=False)
    cells = np.asarray(jax.jit(plain.cells)(images))
    np.testing.assert_allclose(cells[0], expected, atol=1e-5)
    with refused('gaussian_window=-1', 'at least 0'):
        dataclasses.replace(SMALL, gaussian_window=-1)


def test_a_constant_image_has_no_directions() -> None:
    assert not np.any(SMALL(jnp.ones((1, 16, 16, 3))))


def test_what_cannot_be_divided_is_refused() -> None:
    with refused('target_generator.patch_size=12', 'target_generator.pool=8'):
        HOGGenerator(patch_size=12)
    with refused('HOGGenerator.nbins=0', 'at least 1'):
        HOGGenerator(nbins=0)
    with refused('20 x 24 px', 'target_generator.gaussian_window=8'):
        SMALL(jnp.zeros((1, 20, 24, 3)))
    with refused('24 x 16 px', 'target_generator.patch_size=16'):
        HOGGenerator(gaussian_window=8)(jnp.zeros((1, 24, 16, 3)))
