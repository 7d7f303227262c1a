from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jssl.components import build
from jssl.target_generators import BrightnessTokenizer
from tests.checks import refused

RNG = np.random.default_rng(0)


def expected(images: np.ndarray, patch: int, cells: int, levels: int) -> np.ndarray:
    """Patch by patch and cell by cell."""
    batch, height, width, _ = images.shape
    tokens = np.zeros((batch, height // patch, width // patch), int)
    side = patch // cells
    for b, row, column in np.ndindex(tokens.shape):
        image = (images[b] - images[b].mean()) / images[b].std()
        for i, j in np.ndindex(cells, cells):
            top, left = row * patch + i * side, column * patch + j * side
            mean = image[top : top + side, left : left + side].mean()
            level = min(max(int(np.floor(mean)) + levels // 2, 0), levels - 1)
            tokens[b, row, column] = tokens[b, row, column] * levels + level
    return tokens


@pytest.mark.parametrize(('patch', 'cells', 'levels'), [(4, 2, 4), (6, 1, 3), (2, 2, 2)])
def test_the_token_spells_the_levels_of_the_cells(patch: int, cells: int, levels: int) -> None:
    images = RNG.normal(3, 5, (2, 12, 24, 3)).repeat(2, axis=1)
    tokenizer = BrightnessTokenizer(patch, cells, levels)
    tokens = tokenizer(jnp.asarray(images))
    assert tokens.dtype == 'int32'
    np.testing.assert_array_equal(tokens, expected(images, patch, cells, levels))
    assert int(tokens.max()) < tokenizer.num_classes == levels ** (cells * cells)


def test_brightness_and_contrast_of_an_image_do_not_matter() -> None:
    images = jnp.asarray(RNG.uniform(0, 1, (2, 8, 8, 3)))
    tokens = BrightnessTokenizer()(images)
    assert len(np.unique(tokens)) > 1
    np.testing.assert_array_equal(BrightnessTokenizer()(0.3 * images + 0.5), tokens)


def test_an_even_image_has_one_token() -> None:
    assert len(np.unique(BrightnessTokenizer()(jnp.full((1, 8, 8, 3), 0.4)))) == 1


def test_a_config_names_it() -> None:
    built = build('target_generator', {'type': 'BrightnessTokenizer', 'patch_size': 8})
    assert built == BrightnessTokenizer(patch_size=8)
    assert built.num_classes == 256


@pytest.mark.parametrize(
    ('wrong', 'parts'),
    [
        ({'patch_size': 0}, ('BrightnessTokenizer.patch_size=0', 'at least 1')),
        ({'levels': 1}, ('BrightnessTokenizer.levels=1', 'between 2 and 65536')),
        ({'cells': 100_000}, ('BrightnessTokenizer.cells=100000', 'between 1 and 4')),
        ({'cells': 3}, ('target_generator.patch_size=4', 'target_generator.cells=3')),
        ({'cells': 4, 'levels': 3}, ('target_generator.levels=3', '43046721')),
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        BrightnessTokenizer(**wrong)


def test_images_that_do_not_divide_are_refused() -> None:
    with refused('10 x 8 px', 'target_generator.patch_size=4', 'token_size'):
        BrightnessTokenizer()(jnp.zeros((1, 10, 8, 3)))
