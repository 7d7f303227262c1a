from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment.ops.normalize import IMAGENET_MEAN, IMAGENET_STD
from jssl.components import build
from jssl.target_generators import LowFreqTargetGenerator
from tests import golden
from tests.checks import refused


def test_follows_the_definition() -> None:
    """ALGORITHMS.md 6.5, step by step with NumPy in float64."""
    images = np.random.default_rng(0).standard_normal((2, 16, 16, 3))
    mean, std = np.array(IMAGENET_MEAN) / 255, np.array(IMAGENET_STD) / 255
    spectrum = np.fft.fftshift(np.fft.fft2(images * std + mean, axes=(1, 2)), axes=(1, 2))
    place = np.arange(16) - 7.5
    disc = place[:, None] ** 2 + place**2 <= 5**2
    expected = np.abs(np.fft.ifft2(spectrum * disc[..., None], axes=(1, 2)))
    generator = build('target_generator', {'type': 'LowFreqTargetGenerator', 'radius': 5})
    found = jax.jit(generator)(jnp.asarray(images, 'float32'))
    np.testing.assert_allclose(found, (expected - mean) / std, atol=1e-4)


@golden.each('part_pixmim_low_frequency')
def test_equals_the_reference(path: Path) -> None:
    rules = golden.reader(path.parent)
    with jax.enable_x64(True), golden.whole(path, 'out/img*', 'out/row*') as saved:
        for number, case in enumerate(saved.meta['settings']):
            if case['drawn'] is None:
                images = saved.arrays[f'in/img{number}']
            else:
                draw = rules.rng_for(case['seed'], case['drawn'])
                images = draw.standard_normal(case['shape']).astype('float32')
            assert list(images.shape) == case['shape']
            assert case['seed'] is not None
            assert case['shape'][-1] == case['img_size']
            generator = LowFreqTargetGenerator(radius=case['radius'])
            found = np.asarray(generator(jnp.asarray(images.transpose(0, 2, 3, 1), 'float64')))
            found = found.transpose(0, 3, 1, 2)
            expected = saved.arrays[f'out64/row{number}']
            np.testing.assert_allclose(rules.row(found), expected, rtol=1e-6, atol=1e-6)
            if f'out64/img{number}' in saved.arrays:
                np.testing.assert_allclose(found, saved.arrays[f'out64/img{number}'], atol=1e-6)
            kept = generator._disc(*images.shape[2:]).sum()
            np.testing.assert_array_equal(saved.arrays[f'out/ones{number}'], kept)


def test_the_disc_of_the_paper_keeps_5024_frequencies() -> None:
    assert LowFreqTargetGenerator()._disc(224, 224).sum() == 5024  # golden value 25


def test_a_smooth_image_stays_and_a_checkerboard_goes() -> None:
    generator = LowFreqTargetGenerator(radius=6, mean=(0.0,), std=(255.0,))
    rows = np.cos(2 * np.pi * np.arange(16) / 16)
    smooth = np.broadcast_to(0.5 + 0.2 * rows[:, None], (16, 16))[None, ..., None]
    checkers = 0.3 * (np.indices((16, 16)).sum(axis=0) % 2)[None, ..., None]
    found = generator(jnp.asarray(smooth + checkers, 'float32'))
    np.testing.assert_allclose(found, smooth + 0.15, atol=1e-5)


@pytest.mark.parametrize(
    ('fields', 'part'),
    [({'radius': 0}, 'LowFreqTargetGenerator.radius=0'), ({'std': (1.0,)}, '3 channels and std 1')],
)
def test_settings_that_cannot_be_are_refused(fields: dict[str, Any], part: str) -> None:
    with refused(part):
        LowFreqTargetGenerator(**fields)
