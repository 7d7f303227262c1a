"""Crops and resizes against Pillow; the crop's box against its rule written in plain Python."""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jssl.augment.ops import resample
from tests.augment.ops.levels import noise, worst
from tests.programs import lowered, operations, products

BILINEAR, BICUBIC = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC
LANCZOS = Image.Resampling.LANCZOS
SIDE = 40
OUTPUT = 24


def boxes(count: int) -> np.ndarray:
    """Random boxes of the canvas, and the extreme ones: a pixel, a line, everything."""
    rng = np.random.default_rng(1)
    size = rng.integers(1, SIDE + 1, (count, 2))
    place = rng.integers(0, SIDE - size + 1)
    extremes = [[39, 0, 1, 1], [0, 7, 40, 1], [12, 0, 1, 40], [0, 0, 40, 40], [3, 5, 24, 24]]
    return np.concatenate([extremes, np.concatenate([place, size], axis=1)]).astype(np.int32)


def pillow_crop(pixels: np.ndarray, box: np.ndarray) -> Image.Image:
    top, left, height, width = (int(number) for number in box)
    return Image.fromarray(pixels).crop((left, top, left + width, top + height))


@pytest.mark.parametrize(
    'pixels', [noise(SIDE, SIDE, 3), noise(10, 10, 3).repeat(4, 0).repeat(4, 1)]
)
def test_bilinear_crop_equals_pillow_within_one_level(pixels: np.ndarray) -> None:
    crop = jax.jit(jax.vmap(partial(resample.crop_and_resize, size=OUTPUT), (None, 0)))
    drawn = boxes(60)
    for box, image in zip(drawn, crop(pixels, drawn), strict=True):
        expected = pillow_crop(pixels, box).resize((OUTPUT, OUTPUT), BILINEAR)
        assert worst(image, expected) <= 1, box


def test_bicubic_crop_equals_pillow_horizontally_first_within_one_level() -> None:
    pixels = noise(SIDE, SIDE, 3)
    crop = partial(resample.crop_and_resize, size=OUTPUT, interpolation='bicubic')
    drawn = boxes(60)
    for box, image in zip(drawn, jax.jit(jax.vmap(crop, (None, 0)))(pixels, drawn), strict=True):
        # Two calls fix the order of the passes, which Pillow 13 chooses by the box's shape.
        wide = pillow_crop(pixels, box).resize((OUTPUT, int(box[2])), BICUBIC)
        assert worst(image, wide.resize((OUTPUT, OUTPUT), BICUBIC)) <= 1, box


def test_lanczos_crop_equals_pillow_horizontally_first_within_one_level() -> None:
    pixels = noise(SIDE, SIDE, 3)
    crop = partial(resample.crop_and_resize, size=OUTPUT, interpolation='lanczos')
    drawn = boxes(60)
    for box, image in zip(drawn, jax.jit(jax.vmap(crop, (None, 0)))(pixels, drawn), strict=True):
        wide = pillow_crop(pixels, box).resize((OUTPUT, int(box[2])), LANCZOS)
        assert worst(image, wide.resize((OUTPUT, OUTPUT), LANCZOS)) <= 1, box


def two_taps(length: int, size: int) -> np.ndarray:
    """Bilinear weights without antialiasing, (size, length), half-pixel centres, edges repeated."""
    place = np.clip((np.arange(size) + 0.5) * length / size - 0.5, 0, length - 1)
    return np.maximum(1 - np.abs(place[:, None] - np.arange(length)), 0)


def test_crop_without_antialiasing_weighs_the_nearest_two_pixels_of_a_line() -> None:
    """As OpenCV's bilinear resize; its fixed point rounds once, ours twice: within one level."""
    pixels = noise(SIDE, SIDE, 3)
    crop = partial(resample.crop_and_resize, size=OUTPUT, antialias=False)
    drawn = boxes(60)
    for box, image in zip(drawn, jax.jit(jax.vmap(crop, (None, 0)))(pixels, drawn), strict=True):
        cut = np.asarray(pillow_crop(pixels, box), np.float64)
        rows, columns = (two_taps(length, OUTPUT) for length in cut.shape[:2])
        expected = np.einsum('oh,hwc,pw->opc', rows, cut, columns)
        assert worst(image, np.floor(expected + 0.5)) <= 1, box


def test_crop_samples_nothing_outside_the_box() -> None:
    pixels = np.full((SIDE, SIDE, 3), 255, np.uint8)
    pixels[10:20, 5:33] = 7
    crop = partial(resample.crop_and_resize, size=OUTPUT, interpolation='bicubic')
    image = jax.jit(crop)(pixels, jnp.array([10, 5, 10, 28]))
    assert worst(image, np.full((OUTPUT, OUTPUT, 3), 7)) == 0


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
def test_center_crop_equals_pillow_resize_then_crop(interpolation: str) -> None:
    resize, size = 21, 16
    operation = jax.jit(
        partial(
            resample.resize_and_center_crop, resize=resize, size=size, interpolation=interpolation
        )
    )
    for height, width in [(21, 21), (16, 40), (40, 16), (40, 40), (33, 40), (9, 25), (38, 37)]:
        canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
        canvas[:height, :width] = noise(height, width, 3, seed=height)
        short = min(height, width)
        tall, wide = (int(resize * side / short) for side in (height, width))
        method = BILINEAR if interpolation == 'bilinear' else BICUBIC
        picture = Image.fromarray(canvas[:height, :width]).resize((wide, height), method)
        top, left = (round((side - size) / 2) for side in (tall, wide))
        expected = picture.resize((wide, tall), method).crop((left, top, left + size, top + size))
        assert worst(operation(canvas, jnp.array([height, width])), expected) <= 1


def forms(pixels: jax.Array, box: jax.Array) -> tuple[jax.Array, ...]:
    """Levels in float32 and in bfloat16, and the weights of rows and columns."""
    matrix = partial(
        resample._resize_matrix,
        resized=OUTPUT,
        lines=jnp.arange(OUTPUT, dtype=jnp.int32),
        interpolation='bicubic',
    )
    rows, columns = (matrix(SIDE, start=box[i], extent=box[i + 2]) for i in (0, 1))
    both = (resample._resample_in_float32, resample._resample_in_bfloat16)
    return (*(form(pixels, rows, columns) for form in both), rows, columns)


def exact_levels(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """What float64 makes of the same weights, before the last rounding."""
    lines = np.clip(np.einsum('hwc,pw->hpc', pixels, columns, dtype=np.float64), 0, 255)
    nearest = np.floor(lines + 0.5)
    lines = np.where(np.abs(lines - nearest) < resample.NO_TIE, nearest, lines)
    return np.clip(np.einsum('hpc,oh->opc', lines, rows, dtype=np.float64), 0, 255)


def test_levels_in_bfloat16_are_those_of_float32_but_for_ties() -> None:
    """Within rounding of a tie float32 itself cannot tell; nowhere else do levels differ."""
    pixels, drawn = noise(SIDE, SIDE, 3), boxes(200)
    found = jax.jit(jax.vmap(forms, (None, 0)))(pixels, drawn)
    in_float32, in_bfloat16, rows, columns = (np.asarray(array) for array in found)
    exact = np.stack([exact_levels(pixels, *pair) for pair in zip(rows, columns, strict=True)])
    decided = np.abs(exact - np.floor(exact) - 0.5) > 1e-4
    assert decided.mean() > 0.99
    np.testing.assert_array_equal(in_bfloat16[decided], np.floor(exact + 0.5)[decided])
    # One value in many lies within rounding of where the first product's ties begin.
    assert np.mean(in_bfloat16[decided] != in_float32[decided]) < 1e-5
    assert np.abs(in_bfloat16 - in_float32).max() <= 1


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_products_for_an_accelerator_are_of_bfloat16(platform: str) -> None:
    crop = jax.vmap(partial(resample.crop_and_resize, size=OUTPUT), (None, 0))
    shapes = jax.ShapeDtypeStruct((SIDE, SIDE, 3), 'uint8'), jax.ShapeDtypeStruct((2, 4), 'int32')
    program = lowered(crop, *shapes, platform=platform)
    assert products(program) == {('bf16', 'bf16', 'f32', 'DEFAULT'): 7}
    assert operations(program)['reduce_precision'] == 7  # else XLA would take the parts for zeros
    on_cpu = products(lowered(crop, *shapes, platform='cpu'))
    assert on_cpu == {('f32', 'f32', 'f32', 'HIGHEST'): 2}


def attempt_rule(rng: np.random.Generator, height: int, width: int, count: int) -> np.ndarray:
    """The attempts that fit, `count` of them, for an image in which one of ten always does."""
    area = rng.uniform(0.08, 1.0, 2 * count) * height * width
    aspect = np.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3), 2 * count))
    size = np.round(np.sqrt([area / aspect, area * aspect])).astype(int).T
    size = size[(size <= [height, width]).all(axis=1)][:count]
    return np.concatenate([rng.integers(0, np.array([height, width]) - size + 1), size], axis=1)


def gap(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance: the largest gap between two empirical distributions."""
    grid = np.concatenate([first, second])
    one, two = (np.searchsorted(np.sort(x), grid, 'right') / len(x) for x in (first, second))
    return float(np.abs(one - two).max())


@pytest.fixture(scope='module')
def draw_boxes() -> Callable[[jax.Array, jax.Array], jax.Array]:
    return jax.jit(jax.vmap(resample.random_resized_crop_box, (0, None)))


def test_crop_boxes_follow_the_rule(
    draw_boxes: Callable[[jax.Array, jax.Array], jax.Array],
) -> None:
    height, width, count = 60, 80, 20_000
    keys = jax.random.split(jax.random.key(3), count)
    drawn = np.asarray(draw_boxes(keys, jnp.array([height, width])))
    assert drawn.dtype == np.int32
    expected = attempt_rule(np.random.default_rng(4), height, width, count)
    for column in range(4):
        assert gap(drawn[:, column], expected[:, column]) < 0.02
    for statistic in (lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 3] / b[:, 2]):
        assert gap(statistic(drawn), statistic(expected)) < 0.02
        assert statistic(drawn).mean() == pytest.approx(statistic(expected).mean(), rel=0.02)
        assert statistic(drawn).std() == pytest.approx(statistic(expected).std(), rel=0.03)


@pytest.mark.parametrize('size', [(60, 80), (5, 7), (1, 1), (200, 11)])
def test_crop_boxes_lie_inside_the_image(
    draw_boxes: Callable[[jax.Array, jax.Array], jax.Array], size: tuple[int, ...]
) -> None:
    keys = jax.random.split(jax.random.key(5), 20_000)
    drawn = np.asarray(draw_boxes(keys, jnp.array(size)))
    assert drawn[:, :2].min() >= 0
    assert drawn[:, 2:].min() >= 1
    assert (drawn[:, :2] + drawn[:, 2:] <= np.array(size)).all()


def test_crop_offsets_are_uniform_and_include_both_ends() -> None:
    keys = jax.random.split(jax.random.key(6), 4000)
    rule = partial(resample.random_resized_crop_box, scale=(9 / 16, 9 / 16), ratio=(1.0, 1.0))
    drawn = np.asarray(jax.jit(jax.vmap(rule, (0, None)))(keys, jnp.array([4, 4])))
    corners, counts = np.unique(drawn, axis=0, return_counts=True)
    assert corners.tolist() == [[0, 0, 3, 3], [0, 1, 3, 3], [1, 0, 3, 3], [1, 1, 3, 3]]
    assert np.abs(counts - 1000).max() < 120


def test_crop_falls_back_to_the_central_box() -> None:
    usual = (3 / 4, 4 / 3)
    cases = [
        ((10, 100), usual, [0, 43, 10, 13]),
        ((100, 10), usual, [43, 0, 13, 10]),
        ((100, 100), (2.0, 2.0), [25, 0, 50, 100]),
        ((1, 1), (3.0, 3.0), [0, 0, 1, 1]),
    ]

    def draw(key: jax.Array, sizes: jax.Array) -> list[jax.Array]:
        ratios = [ratio for _, ratio, _ in cases]
        rule = partial(resample.random_resized_crop_box, key, scale=(1.0, 1.0))
        return [rule(size, ratio=ratio) for size, ratio in zip(sizes, ratios, strict=True)]

    drawn = jax.jit(draw)(jax.random.key(0), jnp.array([size for size, _, _ in cases]))
    assert [box.tolist() for box in drawn] == [box for _, _, box in cases]
