"""Random erasing against the reference's rule written in plain NumPy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment.ops import erase

AREA, ASPECT = (0.02, 1 / 3), (0.3, 10 / 3)
HEIGHT, WIDTH, DRAWS = 30, 44, 6000
IMAGE = jnp.full((HEIGHT, WIDTH, 3), 100.0)
KEYS = jax.random.split(jax.random.key(1), 2000)
ERASE = jax.jit(jax.vmap(erase.random_erase, (0, None, None)))


def reference_boxes(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    aspect = np.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1]), count))
    area = HEIGHT * WIDTH * rng.uniform(*AREA, count)
    height = np.minimum(np.round(np.sqrt(area * aspect)), HEIGHT).astype(int)
    width = np.minimum(np.round(np.sqrt(area / aspect)), WIDTH).astype(int)
    top = rng.integers(0, np.maximum(HEIGHT - height, 1))
    left = rng.integers(0, np.maximum(WIDTH - width, 1))
    return np.stack([top, left, height, width], axis=1)


def gap(first: np.ndarray, second: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance: the largest gap between two empirical distributions."""
    grid = np.concatenate([first, second])
    one, two = (np.searchsorted(np.sort(x), grid, 'right') / len(x) for x in (first, second))
    return float(np.abs(one - two).max())


@pytest.fixture(scope='module')
def boxes() -> np.ndarray:
    keys = jax.random.split(jax.random.key(0), DRAWS)
    draw = jax.jit(jax.vmap(lambda key: erase.erase_box(key, HEIGHT, WIDTH, AREA, ASPECT)))
    return np.asarray(draw(keys))


def test_boxes_follow_the_rule(boxes: np.ndarray) -> None:
    expected = reference_boxes(DRAWS)
    assert boxes.dtype == np.int32
    for column in range(4):
        assert gap(boxes[:, column], expected[:, column]) < 0.035  # p = 0.001
    for statistic in (lambda b: b[:, 2] * b[:, 3], lambda b: b[:, 2] / b[:, 3]):
        assert gap(statistic(boxes), statistic(expected)) < 0.035


def test_boxes_lie_inside_and_never_at_the_last_place(boxes: np.ndarray) -> None:
    space = np.array([HEIGHT, WIDTH]) - boxes[:, 2:]
    assert boxes[:, :2].min() == 0
    assert boxes[:, 2:].min() >= 1
    assert ((boxes[:, :2] < space) | (space == 0)).all()


@pytest.fixture(scope='module')
def erased() -> np.ndarray:
    return np.asarray(ERASE(KEYS, IMAGE, 0.25))


def test_a_quarter_of_the_images_is_erased(erased: np.ndarray) -> None:
    share = np.mean((erased != 100).any(axis=(1, 2, 3)))
    assert share == pytest.approx(0.25, abs=0.03)  # three standard errors


def test_noise_is_standard_normal_in_one_rectangle(erased: np.ndarray) -> None:
    noise = erased[erased != 100]
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.std() == pytest.approx(1, abs=0.02)
    for image in erased[:50]:
        hidden = (image != 100).all(axis=2)
        rows, columns = hidden.any(axis=1), hidden.any(axis=0)
        assert np.array_equal(hidden, rows[:, None] & columns)
        assert (np.diff(np.flatnonzero(rows)) == 1).all()
        assert (np.diff(np.flatnonzero(columns)) == 1).all()


def test_probability_decides_whether_and_not_what(erased: np.ndarray) -> None:
    always, never = (np.asarray(ERASE(KEYS, IMAGE, chance)) for chance in (1.0, 0.0))
    assert (always != 100).any(axis=(1, 2, 3)).all()
    assert (never == 100).all()
    chosen = (erased != 100).any(axis=(1, 2, 3))
    assert np.array_equal(erased[chosen], always[chosen])


def test_box_covers_its_pixels_only() -> None:
    expected = np.zeros((5, 6), bool)
    expected[1:4, 2:4] = True
    assert np.array_equal(erase.inside_box(jnp.array([1, 2, 3, 2]), 5, 6), expected)
