from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.position_embedding import (
    Interpolation,
    resize_biases,
    resize_map,
    resize_positions,
    sincos_positions,
)
from tests import golden
from tests.checks import refused


@golden.each('part_sincos')
def test_the_tables_of_the_reference(path: Path) -> None:
    with golden.whole(path) as saved:
        assert saved.meta['tables']
        for number, options in enumerate(saved.meta['tables']):
            grid = options['grid']
            table = sincos_positions(
                grid if isinstance(grid, int) else tuple(grid),
                options['dim'],
                temperature=options['temperature'],
                cls_token=options['cls_token'],
            )
            assert table.dtype == np.float32
            np.testing.assert_allclose(table, saved.arrays[f'out/table{number}'], atol=2e-6)


def test_rows_come_before_columns_and_the_class_token_is_0() -> None:
    table = sincos_positions(3, 8)[0]
    np.testing.assert_array_equal(table[0], 0)
    by_place = table[1:].reshape(3, 3, 8)
    assert (by_place[..., :4] == by_place[:, :1, :4]).all()
    assert (by_place[..., 4:] == by_place[:1, :, 4:]).all()


def test_a_width_that_does_not_divide_is_refused() -> None:
    with refused('multiple of 4', '30'):
        sincos_positions(4, 30)


@pytest.mark.parametrize('grid', [(7, 7), (3, 8), (14, 2)])
def test_resizing_is_that_of_torch(grid: tuple[int, int]) -> None:
    torch = pytest.importorskip('torch')
    table = np.random.default_rng(0).standard_normal((1, 1 + 25, 6)).astype('float32')
    square = torch.from_numpy(table[:, 1:]).reshape(1, 5, 5, 6).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(square, grid, mode='bicubic', align_corners=False)
    resized = resize_positions(jnp.asarray(table), grid)
    np.testing.assert_array_equal(resized[:, 0], table[:, 0])
    ours = np.asarray(resized[0, 1:]).reshape(*grid, 6)
    np.testing.assert_allclose(ours, expected[0].permute(1, 2, 0), atol=1e-5)


@pytest.mark.parametrize('grid', [(2, 3), (5, 7)])
def test_maps_are_resized_as_by_torch(grid: tuple[int, int]) -> None:
    torch = pytest.importorskip('torch')
    maps = np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype('float32')
    resized = resize_map(jnp.asarray(maps), grid)
    channels = torch.from_numpy(maps).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(channels, grid, mode='bicubic')
    np.testing.assert_allclose(resized, expected.permute(0, 2, 3, 1), atol=1e-5)
    assert resize_map(resized, grid) is resized


@golden.each('part_dino_pos_interpolation', 'part_dinov2_pos_interpolation')
def test_the_interpolations_of_the_reference(path: Path) -> None:
    with golden.whole(path) as saved:
        for number, options in enumerate(saved.meta['settings']):
            patch, side = options['patch'], options['grid']
            grid = (options['height'] // patch, options['width'] // patch)
            antialiased = 'interpolate_antialias' in options and options['interpolate_antialias']
            offset = options.get('interpolate_offset', 0.1)
            assert offset in (0.0, 0.1)
            mode: Interpolation = 'offset' if offset else 'plain'
            table = saved.arrays[f'in/pos_embed{number}']
            assert table.shape[1] == 1 + side * side
            compare_tables(saved, number, table, grid, 'antialiased' if antialiased else mode)


def compare_tables(
    saved: golden.File,
    number: int,
    table: np.ndarray,
    grid: tuple[int, int],
    interpolation: Interpolation,
) -> None:
    """Compares in float32, and in float64 where the file has it."""
    resized = resize_positions(jnp.asarray(table), grid, interpolation=interpolation)
    np.testing.assert_allclose(resized, saved.arrays[f'out/pos_embed{number}'], atol=2e-5)
    if f'out64/pos_embed{number}' in saved.arrays:
        with jax.enable_x64(True):
            wide = jnp.asarray(table, jnp.float64)
            resized = resize_positions(wide, grid, interpolation=interpolation)
        np.testing.assert_allclose(resized, saved.arrays[f'out64/pos_embed{number}'], atol=1e-12)


@pytest.mark.parametrize('grid', [(2, 3), (9, 5)])
def test_antialiasing_is_that_of_torch(grid: tuple[int, int]) -> None:
    torch = pytest.importorskip('torch')
    table = np.random.default_rng(0).standard_normal((1, 25, 6)).astype('float32')
    square = torch.from_numpy(table).reshape(1, 5, 5, 6).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(square, grid, mode='bicubic', antialias=True)
    ours = resize_positions(
        jnp.asarray(table), grid, extra_tokens=0, interpolation='antialiased'
    ).reshape(*grid, 6)
    np.testing.assert_allclose(ours, expected[0].permute(1, 2, 0), atol=1e-5)


@pytest.mark.parametrize('interpolation', ['plain', 'offset', 'antialiased'])
def test_gradients_flow_through_the_interpolation(interpolation: Interpolation) -> None:
    def total(table: jax.Array) -> jax.Array:
        return resize_positions(table, (2, 3), interpolation=interpolation)[0, 1:, 0].sum()

    # What each old position contributes to the new ones: their weights sum to 1.
    gradients = jax.grad(total)(jnp.ones((1, 1 + 16, 2)))
    assert float(gradients[0, 0].sum()) == 0
    assert float(gradients[..., 0].sum()) == pytest.approx(6, abs=1e-4)
    assert float(jnp.abs(gradients[0, 1:, 0]).min()) > 0


def test_the_same_grid_and_a_table_without_class_token() -> None:
    table = jnp.arange(36.0).reshape(1, 9, 4)
    assert resize_positions(table, (3, 3), extra_tokens=0) is table
    assert resize_positions(table, (2, 4), extra_tokens=0).shape == (1, 8, 4)


def test_a_table_that_is_no_square_is_refused() -> None:
    with refused('8 patch positions', 'no square'):
        resize_positions(jnp.zeros((1, 9, 4)), (3, 3))


def biases(side: int) -> np.ndarray:
    """A table of one head, entry (i, j) of which is i + 10 j counted from the centre, and three."""
    places = np.arange(2 * side - 1.0) - (side - 1)
    table = places[:, None] + 10 * places
    return np.concatenate([table.reshape(-1, 1), [[7.0], [8.0], [9.0]]])


def test_biases_are_stretched_linearly_or_by_growing_distances() -> None:
    assert resize_biases(biases(3), 28, 'geometric').shape == (28, 1)
    wide = resize_biases(biases(3), 9 * 9 + 3, 'linear')
    assert wide[-3:, 0].tolist() == [7, 8, 9]
    # The centre stays; half of four is where a step of the five places is 5 / 9 of what it was.
    np.testing.assert_allclose(wide[40], 0, atol=1e-6)
    np.testing.assert_allclose(wide[41] - wide[40], 10 * 5 / 9, rtol=1e-6)
    grown = resize_biases(biases(3), 9 * 9 + 3, 'geometric')[:81, 0].reshape(9, 9)
    # The neighbours are as far as they were, and the last of two steps, 1 and q, is the fourth.
    np.testing.assert_allclose(grown[4, 4:6], [0, 10], atol=1e-5)
    assert 15 < grown[4, 8] <= 20.001
    np.testing.assert_array_equal(resize_biases(biases(3), 28, 'linear'), biases(3))
