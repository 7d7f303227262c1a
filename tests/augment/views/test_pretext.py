"""Patches, quarter turns, the tokenizer's copy: places, order, distribution, statistics."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jssl.augment.ops import color
from jssl.augment.ops.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from jssl.augment.views import ImageAndTokens, Patches, Rotations, View
from jssl.augment.views.pretext import ROUNDED_MEAN, ROUNDED_STD
from jssl.data import Canvas
from tests import golden
from tests.algorithms.tiny_models import tiny_relative_loc, tiny_rotation_pred
from tests.augment.views.canvases import SIDE, WHOLE, canvas, levels
from tests.checks import refused

GREY = Canvas(jnp.zeros((SIDE, SIDE, 1), jnp.uint8), jnp.array([SIDE, SIDE]))
RAW: dict[str, Any] = {'mean': (0.0, 0.0, 0.0), 'std': (1.0, 1.0, 1.0)}
# (row, column) of the centre, then of the neighbours as the reference labels them, 0 to 7.
PLACES = [(1, 1), (0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (0, 2), (1, 2), (2, 2)]
DRAWS = 100


def gradient(side: int) -> Canvas:
    """Red tells the row, green the column."""
    line = np.arange(side, dtype=np.uint8)
    pixels = np.stack(np.broadcast_arrays(line[:, None], line, np.uint8(0)), axis=-1)
    return Canvas(jnp.asarray(pixels), jnp.array([side, side]))


@pytest.fixture(scope='module')
def corners() -> np.ndarray:
    """First row and column of the nine patches, (DRAWS, 9, 2), with the reference's sizes.

    The image has the size to which it is resized and the crop is all of it, so that levels are
    places.
    """
    policy = Patches(resize=255, crop=255, patch=64, gray=0.0, **RAW)
    draw = jax.jit(jax.vmap(lambda key: [x[0, 0] for x in policy(key, gradient(255))['views']]))
    drawn = draw(jax.random.split(jax.random.key(0), DRAWS))
    return np.stack(drawn, axis=1)[..., :2].astype(int)


def test_patches_lie_in_their_cells_with_the_references_offsets(corners: np.ndarray) -> None:
    """Offsets 0 to 22 in a cell of 85 pixels that reaches one further, 0 to 21 in the last one."""
    places = np.array(PLACES)
    offsets = corners - 85 * places
    for last, highest in [(False, 22), (True, 21)]:
        found = offsets[:, (places == 2) == last].ravel()
        assert set(found) == set(range(highest + 1))
        assert abs(found.mean() - highest / 2) < 4 * highest / np.sqrt(12 * len(found))


def test_offsets_are_independent(corners: np.ndarray) -> None:
    correlation = np.corrcoef(corners.reshape(DRAWS, 18), rowvar=False)
    assert np.abs(correlation - np.eye(18)).max() < 4.5 / np.sqrt(DRAWS)


def test_patches_come_from_a_random_crop_of_the_distorted_image() -> None:
    """The whole image is brought to a square, its aspect lost; the crop takes every place."""
    wide = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    pixels = jnp.zeros((30, 30, 3), jnp.uint8).at[:20].set(wide)
    policy = Patches(resize=10, crop=9, patch=3, gray=0.0, antialias=True, **RAW)
    keys = jax.random.split(jax.random.key(1), 64)
    drawn = jax.jit(jax.vmap(policy, (0, None)))(keys, Canvas(pixels, jnp.array([20, 30])))
    resized = np.asarray(Image.fromarray(wide).resize((10, 10), Image.Resampling.BILINEAR), float)
    shown = {(top, left): resized[top : top + 3, left : left + 3] for top, left in np.ndindex(8, 8)}
    places = [
        [place for place, patch in shown.items() if np.abs(patch - view).max() <= 1]
        for view in np.asarray(drawn['views'][1])
    ]
    assert all(len(place) == 1 for place in places)
    assert {place[0] for place in places} == set(np.ndindex(3, 3))  # 0 or 1 of crop, and of cell


def test_all_patches_of_an_image_are_grey_or_none() -> None:
    """With probability 0.66, by the mean of the channels."""
    policy = Patches(resize=SIDE, crop=6, patch=2, **RAW)
    keys = jax.random.split(jax.random.key(2), 2000)
    views = np.stack(jax.jit(jax.vmap(policy, (0, None)))(keys, canvas())['views'], axis=1)
    gray = np.ptp(views, axis=-1).max(axis=(2, 3)) == 0
    assert (gray.all(axis=1) == gray.any(axis=1)).all()
    assert abs(gray[:, 0].mean() - 0.66) < 0.04
    equal = np.asarray(color.to_gray(canvas().pixels.astype(jnp.float32), (1, 1, 1)))
    assert set(np.unique(views[gray])) <= set(np.unique(equal))


def test_quarter_turns_are_clockwise() -> None:
    views = jax.jit(Rotations(WHOLE))(jax.random.key(0), canvas())['views']
    pixels = np.asarray(canvas().pixels)
    for label, view in enumerate(views):
        np.testing.assert_allclose(levels(view), np.rot90(pixels, -label), atol=1e-3)


def test_tokens_show_the_same_crop_in_another_size() -> None:
    """Mirrored together, on the scale of the tokenizer."""
    policy = ImageAndTokens(size=16, token_size=8, scale=(0.3, 1.0), **RAW)
    pixels = np.asarray(
        Image.fromarray(np.asarray(canvas().pixels)).resize((32, 32), Image.Resampling.BICUBIC)
    )
    keys = jax.random.split(jax.random.key(3), 20)
    image = Canvas(jnp.asarray(pixels), jnp.array([32, 32]))
    views, tokens = jax.jit(jax.vmap(policy, (0, None)))(keys, image)['views']
    assert (views.shape, tokens.shape) == ((20, 16, 16, 3), (20, 8, 8, 3))
    small = np.asarray(views).reshape(20, 8, 2, 8, 2, 3).mean(axis=(2, 4))
    shown = (np.asarray(tokens) - 0.1) / 0.8 * 255
    assert np.abs(shown - small).mean() < 8
    assert np.abs(shown[:, :, ::-1] - small).mean() > 24


def test_another_tokenizer_has_another_scale() -> None:
    fields: dict[str, Any] = dict(token_mean=127.5, token_std=127.5)
    policy = ImageAndTokens(
        8, 8, token_interpolation='bicubic', mean=(0,) * 3, std=(1,) * 3, **fields
    )
    view, tokens = jax.jit(policy)(jax.random.key(0), canvas())['views']
    np.testing.assert_allclose(tokens, view / 127.5 - 1, atol=1e-5)
    assert policy.statistics[1] == (127.5, 127.5)


@golden.each('part_preprocessors')
def test_statistics_are_the_references(path: Path) -> None:
    """BGR in, what reaches the loss out: views, turns in their order, patches beside the centre."""
    with golden.whole(path) as saved:
        meta = saved.meta
        assert (tuple(meta['mean']), tuple(meta['std'])) == (IMAGENET_MEAN, IMAGENET_STD)
        assert (tuple(meta['mean_int']), tuple(meta['std_int'])) == (ROUNDED_MEAN, ROUNDED_STD)
        assert (Patches().mean, Patches().std) == (ROUNDED_MEAN, ROUNDED_STD)
        check_tokens(saved)
        draw: dict[str, Any] = {'rng': jax.random.key(0), 'state': {}}
        for number, view in enumerate(levels_of(saved, 'view')):
            found = normalize(view, View().mean, View().std)
            np.testing.assert_allclose(found, rgb(saved, f'out/views{number}'), atol=1e-6)
        turns = [normalize(x, View().mean, View().std) for x in levels_of(saved, 'rot')]
        (images,) = tiny_rotation_pred().draw(**draw, batch={'views': tuple(turns)})['views']
        np.testing.assert_allclose(images, rgb(saved, 'out/rotation'), atol=1e-6)
        of = Patches()
        patches = tuple(normalize(x, of.mean, of.std) for x in levels_of(saved, 'patch'))
        around, centres = tiny_relative_loc().draw(**draw, batch={'views': patches})['views']
        np.testing.assert_allclose(around, rgb(saved, 'out/relative0'), atol=1e-6)
        every = np.repeat(centres, len(patches) - 1, axis=0)
        np.testing.assert_allclose(every, rgb(saved, 'out/relative1'), atol=1e-6)


def check_tokens(saved: golden.File) -> None:
    """The encoder's and the tokenizer's view of whole images, through the policy itself."""
    images = levels_of(saved, 'cae')
    side = images[0].shape[1]
    policy = ImageAndTokens(side, side, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    keys = jax.random.split(jax.random.key(0), len(images[0]))
    size = jnp.full((len(images[0]), 2), side, jnp.int32)
    for view, pixels in enumerate(images):
        canvases = Canvas(jnp.asarray(pixels, jnp.uint8), size)
        found = jax.jit(jax.vmap(policy))(keys, canvases)['views'][view]
        expected = rgb(saved, f'out/cae{view}')
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def rgb(saved: golden.File, name: str) -> np.ndarray:
    """Images (B, H, W, C) of a file that has them with channels first."""
    return saved.arrays[name].transpose(0, 2, 3, 1)


def levels_of(saved: golden.File, name: str) -> list[jax.Array]:
    """All the file's inputs of this name, float32 RGB."""
    keys = sorted(key for key in saved.arrays if re.fullmatch(rf'in/{name}\d+', key))
    assert keys
    return [jnp.asarray(rgb(saved, key)[..., ::-1], jnp.float32) for key in keys]


@pytest.mark.parametrize(
    ('make', 'parts'),
    [
        (lambda: Patches(crop=300), ['Patches.crop is 300', 'at most resize, which is 292']),
        (lambda: Patches(patch=90), ['Patches.patch is 90', 'at most 85']),
        (lambda: Patches(resize=0), ['Patches.resize=0']),
        (lambda: Patches(gray=2), ['Patches.gray=2', 'between 0 and 1']),
        (lambda: Patches(std=(1.0,)), ['Patches.std', 'as many as in mean']),
        (lambda: Rotations('view'), ["Rotations.view is 'view'", 'give a policy']),  # type: ignore[arg-type]
        (lambda: ImageAndTokens(token_size=0), ['ImageAndTokens.token_size=0']),
        (
            lambda: ImageAndTokens(token_interpolation='lanczoz'),
            ['ImageAndTokens.token_interpolation', "Did you mean 'lanczos'"],
        ),
        (lambda: ImageAndTokens(scale=(1, 0.5)), ['ImageAndTokens.scale', 'smaller one first']),
        (lambda: ImageAndTokens(flip=-1), ['ImageAndTokens.flip=-1']),
        (lambda: ImageAndTokens(token_std=0), ['ImageAndTokens.token_std=0', 'positive']),
        (lambda: Patches()(jax.random.key(0), GREY), ['Patches.mean', '1 channel']),
        (
            lambda: Patches(mean=(1,), std=(1,))(jax.random.key(0), GREY),
            ['Patches has colour stages', 'Patches.gray to 0'],
        ),
        (lambda: ImageAndTokens()(jax.random.key(0), GREY), ['ImageAndTokens.mean']),
    ],
)
def test_what_cannot_be_drawn_is_refused(make: Callable[[], object], parts: list[str]) -> None:
    with refused(*parts):
        make()
