from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.window_attention import (
    ShiftedWindowAttention,
    from_windows,
    pad_to_multiple,
    shift_mask,
    to_windows,
)
from tests.checks import applied, refused, well_scaled


def test_windows_are_row_major_and_come_back() -> None:
    x = jnp.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    windows = to_windows(x, 2)
    assert windows.shape == (2, 6, 4, 3)
    np.testing.assert_array_equal(windows[1, 4].reshape(2, 2, 3), x[1, 2:4, 2:4])
    np.testing.assert_array_equal(from_windows(windows, 4, 6), x)


def test_padding_is_at_the_bottom_and_right() -> None:
    padded = pad_to_multiple(jnp.ones((1, 3, 4, 2)), 4)
    assert padded.shape == (1, 4, 4, 2)
    assert padded[:, :3].all()
    assert not padded[:, 3:].any()


def test_the_mask_parts_tokens_that_the_roll_brought_together() -> None:
    rows, columns, size, shift = 8, 12, 4, 2
    mask = shift_mask(rows, columns, size, (shift, shift))
    row, column = np.meshgrid(np.arange(rows), np.arange(columns), indexing='ij')
    # A token that the roll carried round the edge belongs to no neighbour that stayed.
    wrapped = np.stack([row >= rows - shift, column >= columns - shift], -1)[None]
    windows = np.asarray(to_windows(jnp.asarray(wrapped), size))[0]
    apart = (windows[:, :, None] != windows[:, None, :]).any(-1)
    np.testing.assert_array_equal(mask, np.where(apart, -100, 0))


def attention(x: jax.Array, **options: Any) -> jax.Array:
    module = ShiftedWindowAttention(2, 4, **options)
    variables = well_scaled(jax.eval_shape(module.init, jax.random.key(0), x))
    return applied(module, variables, x)


def influences(shape: tuple[int, int], place: tuple[int, int], **options: Any) -> np.ndarray:
    """Which places of the output move when one place of the input does."""
    x = jax.random.normal(jax.random.key(0), (1, *shape, 4))
    moved = x.at[0, place[0], place[1]].add(1)
    return np.abs(attention(x, **options) - attention(moved, **options))[0].max(-1) > 1e-6


@pytest.mark.parametrize(
    ('shift', 'rows', 'columns'),
    [(False, slice(0, 4), slice(4, 8)), (True, slice(2, 6), slice(2, 6))],
)
def test_attention_stays_within_a_window(shift: bool, rows: slice, columns: slice) -> None:
    reached = influences((8, 8), (3, 5), shift=shift)
    expected = np.zeros((8, 8), bool)
    expected[rows, columns] = True
    np.testing.assert_array_equal(reached, expected)


@pytest.mark.parametrize(
    ('shifting', 'shape', 'rows', 'columns'),
    [
        ('plain', (4, 8), [0, 1, 2, 3], [0, 1, 2, 3]),  # a side of one window: no shift
        ('by_axis', (4, 8), [0, 1, 2, 3], [0, 1]),
        ('plain', (5, 5), [0, 1], [0, 1]),
        ('before_padding', (5, 5), [0, 2, 3, 4], [0, 2, 3, 4]),  # what comes round is not parted
    ],
)
def test_other_libraries_shift_in_their_own_ways(
    shifting: str, shape: tuple[int, int], rows: list[int], columns: list[int]
) -> None:
    reached = influences(shape, (0, 0), shift=True, shifting=shifting)
    expected = np.zeros(shape, bool)
    expected[np.ix_(rows, columns)] = True
    np.testing.assert_array_equal(reached, expected)


def test_the_cyclic_shift_does_not_join_opposite_borders() -> None:
    reached = influences((8, 8), (0, 0), shift=True)
    assert reached[:2, :2].all()
    assert reached.sum() == 4


def test_a_map_of_one_window_is_shifted_only_with_padding_allowed() -> None:
    assert influences((4, 4), (0, 0), shift=True).all()
    assert influences((4, 4), (0, 0), shift=True, pad_small_map=True).sum() == 4


def test_a_map_that_is_no_multiple_is_padded_and_cut_again() -> None:
    x = jax.random.normal(jax.random.key(0), (1, 5, 6, 4))
    zeros = jnp.pad(x, ((0, 0), (0, 3), (0, 2), (0, 0)))
    np.testing.assert_allclose(
        attention(x, shift=False), attention(zeros, shift=False)[:, :5, :6], atol=1e-6
    )


def test_a_map_smaller_than_a_window() -> None:
    x = jnp.ones((1, 3, 8, 4))
    with refused('3 x 8', 'window_size=4', 'pad_small_map=True'):
        attention(x, shift=False)
    assert attention(x, shift=False, pad_small_map=True).shape == x.shape
