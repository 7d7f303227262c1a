"""The picture of a config's views: what its cells show, masks, other channels, the command line."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jssl.algorithm import Algorithm
from jssl.augment.views import CenterView, ImageAndTokens, MultiCrop, MultiView, View
from jssl.data.sources import Arrays
from jssl.fitting import pictures
from jssl.optim.optimizers import AdamW
from jssl.training.experiment import Experiment
from tests.checks import refused

PLAIN = View(size=16, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0, jitter=0.0, gray=0.0, blur=0.0)
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), dtype=np.uint8)


@dataclasses.dataclass(frozen=True)
class Masked(Algorithm):
    """Hides the lower half of each image, on a grid of two by two, flattened or not."""

    flat: bool = False

    def init(self, rng: jax.Array, batch: Any) -> tuple[Any, Any]:
        """No parameters; the state says which row is hidden."""
        return {}, {'row': jnp.array([0, 1])}

    def draw(self, rng: jax.Array, state: Any, batch: Any) -> Any:
        mask = jnp.broadcast_to(state['row'][:, None], (len(batch['index']), 2, 2))
        return {**batch, 'mask': mask.reshape(len(mask), 4) if self.flat else mask}


def subject(views: Any, algorithm: Algorithm | None = None, **fields: Any) -> Experiment:
    options = {
        'algorithm': algorithm or Masked(),
        'data': Arrays(PIXELS),
        'views': views,
        'optimizer': AdamW(lr=1e-3),
        'batch_size': 8,
        'epochs': 1,
        'canvas': 16,
        'eval_view': CenterView(size=16, resize=16),
    }
    return Experiment(**(options | fields))


def cell(picture: Image.Image, row: int, column: int, side: int = 96) -> np.ndarray:
    """One cell as float (side, side, 3); the first column is set apart."""
    left, top = column * (side + 2) + 4 * (column > 0), row * (side + 2)
    return np.asarray(picture.convert('RGB').crop((left, top, left + side, top + side)), float)


def enlarged(image: np.ndarray, factor: int = 6) -> np.ndarray:
    return image.repeat(factor, axis=0).repeat(factor, axis=1).astype(float)


@pytest.mark.parametrize('flat', [False, True])
def test_a_row_shows_the_image_and_its_first_view_under_the_mask(flat: bool) -> None:
    picture = pictures.draw_picture(subject(MultiView(PLAIN), Masked(flat)), images=4)
    assert picture.size == (3 * 98 - 2 + 4, 4 * 98 - 2)
    for row, index in enumerate([0, 5, 10, 15]):
        image = enlarged(PIXELS[index])
        assert np.array_equal(cell(picture, row, 0), image)
        assert np.array_equal(cell(picture, row, 2), image)
        first = cell(picture, row, 1)
        assert np.array_equal(first[:48], image[:48])
        assert np.abs(first[48:] - (0.8 * 128 + 0.2 * image[48:])).max() <= 1


def test_views_of_two_sizes_are_on_one_scale() -> None:
    small = dataclasses.replace(PLAIN, size=8)
    policy = MultiCrop(PLAIN, small, large_copies=1, small_copies=1)
    shown = cell(pictures.draw_picture(subject(policy, Plain()), images=1), 0, 2)
    assert (shown[:24] == 255).all()
    assert (shown[:, 72:] == 255).all()
    inside = Image.fromarray(PIXELS[0]).resize((8, 8), Image.Resampling.BILINEAR)
    assert np.abs(shown[24:72, 24:72] - enlarged(np.asarray(inside))).max() <= 1


@dataclasses.dataclass(frozen=True)
class Plain(Algorithm):
    """Draws nothing."""

    def init(self, rng: jax.Array, batch: Any) -> tuple[Any, Any]:
        return {}, {}


def test_each_view_is_shown_by_its_own_statistics() -> None:
    policy = ImageAndTokens(16, 16, scale=(1.0, 1.0), ratio=(1.0, 1.0), flip=0.0)
    picture = pictures.draw_picture(subject(policy, Plain()), images=1)
    for column in (1, 2):
        assert np.array_equal(cell(picture, 0, column), enlarged(PIXELS[0]))


def test_a_tall_image_is_shown_whole_and_grey_ones_as_grey() -> None:
    tall = np.full((8, 20, 10, 1), 90, np.uint8)
    view = dataclasses.replace(PLAIN, mean=(100.0,), std=(10.0,))
    center = CenterView(size=16, resize=16, mean=(100.0,), std=(10.0,))
    fields = {'data': Arrays(tall), 'channels': 1, 'eval_view': center, 'canvas': 20}
    picture = pictures.draw_picture(subject(MultiView(view, 1), Plain(), **fields), images=1)
    original = cell(picture, 0, 0)
    assert (original[:, 24:72] == 90).all()
    assert (original[:, :24] == 255).all()
    assert (cell(picture, 0, 1) == 90).all()


def no_views(key: jax.Array, canvas: Any) -> dict[str, Any]:
    """A policy of a user that forgot its key."""
    return {'images': (canvas.pixels,)}


def own_views(key: jax.Array, canvas: Any) -> dict[str, Any]:
    """A policy of a user, normalised as the evaluation is."""
    return {'views': (PLAIN(key, canvas),)}


def test_a_policy_of_ones_own_is_shown_by_the_statistics_of_evaluation() -> None:
    picture = pictures.draw_picture(subject(own_views, Plain()), images=2)
    assert np.array_equal(cell(picture, 1, 1), enlarged(PIXELS[10]))


def test_a_policy_without_views_and_no_images_are_refused() -> None:
    with refused('gives no views', '`views`'):
        pictures.draw_picture(subject(no_views, Plain()), images=1)
    with refused('images=0', 'at least 1'):
        pictures.draw_picture(subject(own_views), images=0)


@dataclasses.dataclass(frozen=True)
class Paired(Masked):
    """Replaces the views by one that holds each of them twice, as pairs of patches are made."""

    def draw(self, rng: jax.Array, state: Any, batch: Any) -> Any:
        return {**batch, 'views': (jnp.concatenate(batch['views'] * 2),)}


def test_views_are_shown_as_the_policy_made_them() -> None:
    views = MultiView(PLAIN, copies=2)
    shown = pictures.draw_picture(subject(views, Paired()), 3)
    assert shown.size == pictures.draw_picture(subject(views, Masked()), 3).size
