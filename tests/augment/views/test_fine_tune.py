"""The view of fine-tuning: stages and their probabilities, operations that match RandAugment's."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment.ops import color
from jssl.augment.ops.normalize import normalize
from jssl.augment.ops.rand_augment import rand_augment
from jssl.augment.views import FineTuneView
from jssl.data import Canvas
from tests.augment.views.canvases import SIDE, canvas, levels
from tests.checks import refused

WHOLE = FineTuneView(
    size=SIDE, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, operations=0, erase=0.0
)
KEYS = jax.random.split(jax.random.key(0), 2000)
GREY = Canvas(jnp.zeros((SIDE, SIDE, 1), jnp.uint8), jnp.array([SIDE, SIDE]))


def draw(view: FineTuneView, count: int = 2000) -> np.ndarray:
    return np.asarray(jax.jit(jax.vmap(view, (0, None)))(KEYS[:count], canvas()))


def test_without_stages_it_is_the_crop() -> None:
    np.testing.assert_allclose(levels(draw(WHOLE, 1)[0]), canvas().pixels, atol=1e-3)


def test_a_quarter_of_the_views_is_erased_and_half_mirrored() -> None:
    """Noise of deviation 1 replaces at most a third and nothing else changes."""
    views = levels(draw(dataclasses.replace(WHOLE, flip=0.5, erase=0.25)))
    pixels = np.asarray(canvas().pixels, float)
    changed = [
        (np.abs(views - image) > 1e-3).any(axis=-1).mean(axis=(1, 2))
        for image in (pixels, pixels[:, ::-1])
    ]
    mirrored = changed[1] < changed[0]
    assert abs(mirrored.mean() - 0.5) < 0.04
    share = np.minimum(*changed)
    assert abs((share > 0).mean() - 0.25) < 0.03
    assert share.max() < 0.45  # a third, its sides rounded to whole pixels


def test_operations_are_rand_augments() -> None:
    """On whole levels before normalising, with the view's own strength."""
    view = dataclasses.replace(WHOLE, operations=1, level=5.0, level_std=0.0)
    keys = jax.vmap(lambda key: jax.random.split(key, 5)[2])(KEYS[:64])
    image = canvas().pixels.astype(jnp.float32)
    expected = jax.jit(jax.vmap(lambda key: normalize(rand_augment(key, image, 1, 5.0, 0.0))))(keys)
    found = draw(view, 64)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert 0.3 < np.mean(np.abs(levels(found) - np.asarray(image)).max(axis=(1, 2, 3)) > 1) < 0.7


def test_jitter_changes_brightness_contrast_and_saturation_of_every_view() -> None:
    view = dataclasses.replace(WHOLE, jitter=0.4)
    keys = jax.vmap(lambda key: jax.random.split(key, 5)[3])(KEYS[:16])
    image = canvas().pixels.astype(jnp.float32)
    one = lambda key: normalize(color.random_color_jitter(key, image, 0.4, 0.4, 0.4, 0.0))  # noqa: E731
    found = draw(view, 16)
    np.testing.assert_allclose(found, jax.jit(jax.vmap(one))(keys), atol=1e-5)
    assert (np.abs(levels(found) - np.asarray(image)).max(axis=(1, 2, 3)) > 1).all()


@pytest.mark.parametrize(
    ('make', 'parts'),
    [
        (lambda: FineTuneView(operations=-1), ['FineTuneView.operations=-1', 'at least 0']),
        (lambda: FineTuneView(level=11), ['FineTuneView.level=11', 'between 0 and 10']),
        (lambda: FineTuneView(level_std=-1), ['FineTuneView.level_std=-1', 'at least 0']),
        (lambda: FineTuneView(erase=1.5), ['FineTuneView.erase=1.5', 'between 0 and 1']),
        (lambda: FineTuneView(area=(0.5, 0.1)), ['FineTuneView.area', 'smaller one first']),
        (
            lambda: FineTuneView(mean=(1,), std=(1,))(KEYS[0], GREY),
            ['has colour stages', 'FineTuneView.operations to 0'],
        ),
        (
            lambda: FineTuneView(operations=0, jitter=0.4, mean=(1,), std=(1,))(KEYS[0], GREY),
            ['has colour stages', 'FineTuneView.jitter to 0'],
        ),
        (lambda: FineTuneView(jitter=1.5), ['FineTuneView.jitter=1.5', 'between 0 and 1']),
    ],
)
def test_bad_options_are_refused(make: Callable[[], object], parts: list[str]) -> None:
    with refused(*parts):
        make()
