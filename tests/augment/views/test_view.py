"""One view: probabilities, order, keys, vmap, the evaluation view against Pillow, bad options."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jssl.augment.ops import color, geometry
from jssl.augment.ops.blur import gaussian_blur
from jssl.augment.views import CenterView, MultiView, View
from jssl.data import Canvas
from jssl.errors import JsslError
from tests.augment.views.canvases import SIDE, WHOLE, canvas, levels

STAGES = ('flip', 'jitter', 'gray', 'blur', 'solarize')
CHAIN = View(size=SIDE, rotate=20.0, solarize=0.2)

GREY = Canvas(jnp.zeros((SIDE, SIDE, 1), jnp.uint8), jnp.array([SIDE, SIDE]))

CERTAIN: dict[str, Callable[[jax.Array], jax.Array]] = {
    'flip': geometry.flip_horizontal,
    'gray': color.to_gray,
    'blur': partial(gaussian_blur, sigma=1.0),
    'solarize': color.solarize,
}


@pytest.fixture(scope='module')
def plain() -> np.ndarray:
    """The view without stages."""
    return np.asarray(jax.jit(WHOLE)(jax.random.key(0), canvas()))


def test_view_without_stages_is_the_crop(plain: np.ndarray) -> None:
    assert plain.dtype == np.float32
    np.testing.assert_allclose(levels(plain), canvas().pixels, atol=1e-3)


@pytest.fixture(scope='module')
def staged(plain: np.ndarray) -> dict[str, np.ndarray]:
    """For every stage, 3000 views in which it alone is on, with probability 0.3."""
    alone: dict[str, Any] = {stage: {stage: 0.3} for stage in STAGES}
    views = {stage: dataclasses.replace(WHOLE, **alone[stage]) for stage in STAGES}
    draw = jax.jit(jax.vmap(lambda key: {s: view(key, canvas()) for s, view in views.items()}))
    return jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(1), 3000)))


@pytest.mark.parametrize('stage', STAGES)
def test_stage_is_applied_with_its_probability(
    stage: str, staged: dict[str, np.ndarray], plain: np.ndarray
) -> None:
    changed = np.abs(staged[stage] - plain).max(axis=(1, 2, 3)) > 1e-3
    assert abs(changed.mean() - 0.3) < 0.03


@pytest.mark.parametrize('stage', list(CERTAIN))
def test_stage_applies_its_operation(
    stage: str, staged: dict[str, np.ndarray], plain: np.ndarray
) -> None:
    changed = np.abs(staged[stage] - plain).max(axis=(1, 2, 3)) > 1e-3
    expected = CERTAIN[stage](canvas().pixels.astype(jnp.float32))
    applied = levels(staged[stage][changed])
    np.testing.assert_allclose(applied, np.broadcast_to(expected, applied.shape), atol=1e-3)


def test_stages_come_in_the_documented_order() -> None:
    """Grey before blur, blur before solarize: other orders give other levels."""
    view = dataclasses.replace(WHOLE, flip=1.0, gray=1.0, blur=1.0, solarize=1.0)
    expected = canvas().pixels.astype(jnp.float32)
    for operation in CERTAIN.values():
        expected = operation(expected)
    image = jax.jit(view)(jax.random.key(0), canvas())
    np.testing.assert_allclose(levels(image), expected, atol=1e-3)


def test_rotation_is_uniform_to_both_sides_and_without_interpolation() -> None:
    """Every drawn view is the canvas turned by some angle of the range; the angles fill it."""
    view = dataclasses.replace(WHOLE, size=24, rotate=30.0)
    image, keys = canvas(24), jax.random.split(jax.random.key(2), 150)
    views = levels(jax.jit(jax.vmap(view, (0, None)))(keys, image))
    angles = np.linspace(-30, 30, 241, dtype=np.float32)
    turn = jax.jit(jax.vmap(geometry.rotate, (None, 0)))
    turned = np.asarray(turn(image.pixels.astype(jnp.float32), angles))
    distance = np.stack([np.abs(view - turned).mean(axis=(1, 2, 3)) for view in views])
    assert distance.min(axis=1).mean() < 2  # other pixels would differ by 85 on average
    nearest = angles[distance.argmin(axis=1)]
    quartiles = np.quantile(nearest, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(quartiles, [-15, 0, 15], atol=5)


def test_grey_by_equal_weights_comes_before_the_jitter_where_asked() -> None:
    """Jitter of the brightness alone truncates, so that the two orders give other levels."""
    weak: dict[str, Any] = {
        'jitter': 1.0,
        'contrast': 0.0,
        'saturation': 0.0,
        'hue': 0.0,
        'gray': 1.0,
    }
    view = dataclasses.replace(WHOLE, gray_weights='equal', **weak)
    images = [
        levels(jax.jit(dataclasses.replace(view, gray_first=first))(jax.random.key(3), canvas()))
        for first in (True, False)
    ]
    jitter = jax.random.split(jax.random.split(jax.random.key(3), 7)[2])[1]
    factors, order = color.draw_color_jitter(jitter, 0.8, 0.0, 0.0, 0.0)
    gray = partial(color.to_gray, weights=(1, 1, 1))
    bright = partial(color.color_jitter, factors=factors, order=order)
    pixels = canvas().pixels.astype(jnp.float32)
    np.testing.assert_allclose(images[0], bright(gray(pixels)), atol=1e-3)
    np.testing.assert_allclose(images[1], gray(bright(pixels)), atol=1e-3)
    assert np.abs(images[0] - images[1]).max() >= 1


def test_crop_samples_as_told() -> None:
    """Half the size: antialiasing weighs four pixels of a line, sampling without it but two."""
    view = dataclasses.replace(WHOLE, size=SIDE // 2)
    image = canvas()
    plain = levels(jax.jit(dataclasses.replace(view, antialias=False))(jax.random.key(0), image))
    pairs = np.asarray(image.pixels, np.float64).reshape(SIDE // 2, 2, SIDE // 2, 2, 3)
    assert np.abs(plain - pairs.mean(axis=(1, 3))).max() <= 1
    assert np.abs(levels(jax.jit(view)(jax.random.key(0), image)) - plain).max() > 5


def test_stage_of_probability_zero_is_left_out_and_moves_no_other_draw(
    staged: dict[str, np.ndarray],
) -> None:
    both = dataclasses.replace(WHOLE, flip=0.3, gray=0.3)
    keys = jax.random.split(jax.random.key(1), 3000)
    images = np.asarray(jax.jit(jax.vmap(both, (0, None)))(keys, canvas()))
    same = np.isclose(images, staged['flip'], atol=1e-5).all(axis=(1, 2, 3))
    assert abs(same.mean() - 0.7) < 0.03  # all that stay in colour are flipped alike
    lengths = [len(str(jax.make_jaxpr(view)(keys[0], canvas()))) for view in (both, WHOLE)]
    assert lengths[1] < 0.9 * lengths[0]


@pytest.fixture(scope='module')
def draw() -> Callable[[jax.Array, Canvas], dict[str, Any]]:
    """The whole chain, two copies, compiled once for canvases of side 12."""
    return jax.jit(MultiView(CHAIN, copies=2))


@pytest.fixture(scope='module')
def batch() -> Canvas:
    pixels = np.random.default_rng(3).integers(0, 256, (16, 12, 12, 3), dtype=np.uint8)
    size = np.random.default_rng(4).integers(6, 13, (16, 2)).astype(np.int32)
    return Canvas(jnp.asarray(pixels), jnp.asarray(size))


def test_batch_equals_one_image_at_a_time(
    draw: Callable[[jax.Array, Canvas], dict[str, Any]], batch: Canvas
) -> None:
    keys = jax.random.split(jax.random.key(5), 16)
    together = jax.jit(jax.vmap(MultiView(CHAIN, copies=2)))(keys, batch)['views']
    for index in range(16):
        alone = draw(keys[index], Canvas(batch.pixels[index], batch.size[index]))['views']
        for copy in range(2):
            np.testing.assert_allclose(together[copy][index], alone[copy], atol=2e-5)


def test_copies_differ_and_depend_on_the_key_alone(
    draw: Callable[[jax.Array, Canvas], dict[str, Any]], batch: Canvas
) -> None:
    image = Canvas(batch.pixels[0], batch.size[0])
    first = draw(jax.random.key(6), image)['views']
    assert [view.shape for view in first] == [(SIDE, SIDE, 3)] * 2
    assert not np.allclose(first[0], first[1])
    again = draw(jax.random.key(6), image)['views']
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    assert not np.allclose(first[0], draw(jax.random.key(7), image)['views'][0])


def test_view_ignores_the_canvas_outside_the_image(
    draw: Callable[[jax.Array, Canvas], dict[str, Any]],
) -> None:
    key, image = jax.random.key(8), canvas(12, 9, 7)
    other = image._replace(pixels=image.pixels.at[9:].set(255).at[:, 7:].set(255))
    for one, two in zip(draw(key, image)['views'], draw(key, other)['views'], strict=True):
        assert np.array_equal(one, two)


def test_views_are_float32_under_x64(batch: Canvas) -> None:
    image = Canvas(batch.pixels[0], batch.size[0])
    with jax.enable_x64(True):
        views = jax.eval_shape(MultiView(CHAIN), jax.random.key(9), image)['views']
    assert [view.dtype for view in views] == [jnp.float32] * 2


@pytest.mark.parametrize(('height', 'width'), [(30, 30), (20, 30), (30, 13)])
def test_center_view_equals_pillow(height: int, width: int) -> None:
    image = canvas(30, height, width)
    view = CenterView(size=16, resize=20)
    wide, tall = (int(20 * side / min(height, width)) for side in (width, height))
    picture = Image.fromarray(np.asarray(image.pixels[:height, :width]))
    picture = picture.resize((wide, tall), Image.Resampling.BILINEAR)
    left, top = round((wide - 16) / 2), round((tall - 16) / 2)
    expected = np.asarray(picture.crop((left, top, left + 16, top + 16)), np.float64)
    assert np.abs(levels(jax.jit(view)(image)) - expected).max() <= 1 + 1e-3


def test_center_view_takes_grey_canvases() -> None:
    image = Canvas(jnp.full((4, 4, 1), 100, jnp.uint8), jnp.array([4, 4]))
    view = CenterView(size=2, resize=2, mean=(90.0,), std=(5.0,))
    np.testing.assert_allclose(jax.jit(view)(image), np.full((2, 2, 1), 2.0), rtol=1e-6)


def test_views_are_standardized_by_their_own_numbers() -> None:
    image = canvas()
    view = dataclasses.replace(WHOLE, standardize=True)(jax.random.key(0), image)
    square = CenterView(size=SIDE, resize=SIDE, standardize=True)(image)
    pixels = np.asarray(image.pixels, np.float64)
    expected = (pixels - pixels.mean()) / np.sqrt(pixels.var() + 1)
    for got in (view, square):
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_lists_are_stored_as_tuples() -> None:
    lists: dict[str, Any] = dict(scale=[0.2, 1], sigma=[0.1, 2.0], mean=[1, 2, 3], std=[1, 1, 1])
    view = View(**lists)
    assert view == View(scale=(0.2, 1), sigma=(0.1, 2.0), mean=(1, 2, 3), std=(1, 1, 1))
    assert isinstance(hash(view), int)


@pytest.mark.parametrize(
    ('field', 'value', 'remedy'),
    [
        ('size', 0, 'at least 1'),
        ('size', 32.0, 'whole number'),
        ('size', '32', 'whole number'),
        ('flip', 1.2, 'between 0 and 1'),
        ('blur', -0.1, 'between 0 and 1'),
        ('gray', None, 'between 0 and 1'),
        ('rotate', -2, 'between 0 and 180'),
        ('gray_weights', 'luma', 'Valid names: equal, itu'),
        ('jitter', float('nan'), 'between 0 and 1'),
        ('contrast', -1, 'at least 0'),
        ('hue', 0.6, 'between 0 and 0.5'),
        ('scale', (0.0, 1.0), 'positive'),
        ('scale', (1.0, 0.08), 'smaller one first'),
        ('scale', (0.5, 2.0), 'at most 1'),
        ('ratio', (0.75,), 'two numbers'),
        ('ratio', 'wide', 'each a positive number'),
        ('sigma', (0, 2), 'positive'),
        ('interpolation', 'bilinaer', "Did you mean 'bilinear'"),
        ('mean', 0.5, 'a list of numbers'),
        ('std', (58.0, 57.0), 'as many as in mean'),
        ('std', (58.0, 57.0, 0.0), 'positive'),
    ],
)
def test_bad_option_is_refused_with_its_name_value_and_remedy(
    field: str, value: object, remedy: str
) -> None:
    with pytest.raises(JsslError) as caught:
        View(**{field: value})  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith((f'View.{field} is {value!r}', f'View.{field}={value!r}'))
    assert remedy in message
    assert '\n' not in message


@pytest.mark.parametrize(
    ('make', 'words'),
    [
        (lambda: View(interpolation='bicubic', antialias=False), "take 'bilinear'"),
        (lambda: CenterView(size=257), '256, or raise resize .--config.eval_view.resize=257 '),
        (lambda: CenterView(resize=0), 'CenterView.resize=0'),
        (lambda: WHOLE(jax.random.key(0), GREY), 'the images have 1 channel'),
        (lambda: CenterView()(GREY), 'the images have 1 channel'),
        (
            lambda: View(mean=(1,), std=(1,))(jax.random.key(0), GREY),
            'View.jitter and View.gray to 0',
        ),
    ],
)
def test_policies_refuse_what_they_cannot_do(make: Callable[[], object], words: str) -> None:
    with pytest.raises(JsslError, match=words):
        make()
