from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.rotary import (
    Rotary,
    draw_rotary,
    make_rotary,
    rotary_periods,
    rotary_table,
    rotary_tables,
    rotate,
)
from tests import golden
from tests.checks import refused

SLOTS = {'shift': (0, 1), 'jitter': (2, 3), 'rescale': (4,)}


def options_of(saved: Any) -> Rotary:
    """Our settings from those of the reference."""
    options: dict[str, Any] = {
        name: saved[f'{name}_coords'] for name in SLOTS if f'{name}_coords' in saved
    }
    if saved['base'] is not None:
        options['base'] = saved['base']
    if 'normalize_coords' in saved:
        options['coordinates'] = saved['normalize_coords']
        periods = (saved['min_period'], saved['max_period'])
        options['periods'] = None if periods == (None, None) else periods
    return Rotary(**options)


@golden.each('part_dinov3_rope')
def test_tables_and_turns_are_those_of_the_reference(path: Path) -> None:
    with golden.whole(path) as saved:
        for number, settings in enumerate(saved.meta['settings']):
            check_settings(saved, number, settings)


def check_settings(saved: golden.File, number: int, settings: Any) -> None:
    """Compares the table of one entry of `settings`; without draws periods and turns too."""
    rotary = options_of(settings)
    grid = (settings['height'], settings['width'])
    channels = settings['embed_dim'] // settings['num_heads']
    if 'train' in settings:
        number = settings['train']
        draws = placed(rotary, saved.arrays[f'in/train_draws{number}'])
        check_table(saved, f'train_{{}}{number}', rotary_table(rotary, grid, channels, draws))
        return
    np.testing.assert_allclose(
        rotary_periods(rotary, channels), saved.arrays[f'out/periods{number}'], rtol=3e-7
    )
    table = rotary_table(rotary, grid, channels)
    check_table(saved, f'{{}}{number}', table)
    x = jnp.asarray(saved.arrays[f'in/x{number}']).swapaxes(1, 2)
    turned = rotate(x, table).swapaxes(1, 2)
    np.testing.assert_allclose(turned, saved.arrays[f'out/rotated{number}'], atol=3e-5)


def placed(rotary: Rotary, recorded: np.ndarray) -> jax.Array:
    """All five draws; the reference takes those alone whose option is on."""
    on = [name for name in SLOTS if getattr(rotary, name)]
    draws = np.full(5, np.nan)
    draws[[slot for name in on for slot in SLOTS[name]]] = recorded
    return jnp.asarray(np.where(np.isnan(draws), 0.5, draws), 'float32')


def check_table(saved: golden.File, name: str, table: Any) -> None:
    for kind, ours in (('sin', table.sine), ('cos', table.cosine)):
        np.testing.assert_allclose(ours, saved.arrays[f'out/{name.format(kind)}'], atol=2e-5)


def test_tokens_before_the_patches_stay_and_the_product_knows_the_distance_alone() -> None:
    x = jnp.tile(jax.random.normal(jax.random.key(0), (1, 1, 2, 16)), (1, 2 + 12, 1, 1))
    turned = rotate(x, rotary_table(Rotary(), (3, 4), 16))
    np.testing.assert_array_equal(turned[:, :2], x[:, :2])
    patches = turned[0, 2:].reshape(3, 4, 2, 16)
    products = jnp.einsum('ijhd,klhd->ijklh', patches, patches)
    np.testing.assert_allclose(products[0, 0, 1, 2], products[1, 1, 2, 3], atol=1e-4)
    assert np.abs(products[0, 0, 1, 2] - products[0, 0, 1, 3]).max() > 1e-2


def test_patches_are_counted_on_a_grid_of_reference_and_neighbours_turn_together() -> None:
    rotary = Rotary(base=10000.0, reference=16, adjacent=True)
    table = rotary_table(rotary, (2, 4), 8)
    # Rows are 0 and 8, columns 0, 4, 8 and 12; angles u and u / 100 of each axis.
    expected = np.array([8, 0.08, 12, 0.12])
    np.testing.assert_allclose(table.sine[-1], np.tile(np.sin(expected), 2), atol=1e-5)
    x = jax.random.normal(jax.random.key(0), (1, 9, 1, 8))
    turned = rotate(x, table)
    pairs = np.asarray(x[0, -1, 0]).reshape(4, 2) @ [1, 1j] * np.exp(1j * expected)
    np.testing.assert_allclose(turned[0, -1, 0], [*pairs.real, *pairs.imag], atol=1e-5)
    np.testing.assert_array_equal(turned[0, 0, 0], [*x[0, 0, 0, ::2], *x[0, 0, 0, 1::2]])


def test_tables_of_blocks_move_in_training_alone() -> None:
    rotary = Rotary(rescale=2.0)
    draws = draw_rotary(jax.random.key(0), 3)
    assert draws.shape == (3, 5)
    options: Any = dict(draws=draws, dtype=jnp.float32)
    moved, still = (
        rotary_tables(rotary, 3, (2, 2), 8, train=train, **options).sine for train in (True, False)
    )
    np.testing.assert_array_equal(still[0], still[2])
    assert np.abs(moved[0] - moved[1]).max() > 1e-2
    alone = rotary_table(rotary, (2, 2), 8, draws[1])
    np.testing.assert_allclose(moved[1], alone.sine, atol=1e-6)
    with refused('rotary is random', 'rotary_draws=jssl.layers.rotary.draw_rotary'):
        rotary_tables(rotary, 3, (2, 2), 8, train=True, draws=None, dtype=jnp.float32)


def test_settings_that_cannot_be_are_refused() -> None:
    assert make_rotary(None) is None
    assert make_rotary({}) == Rotary()
    with refused('rotary', "'bass'", "Did you mean 'base'?"):
        make_rotary({'bass': 10.0})
    with refused('base', '-1'):
        make_rotary({'base': -1.0})
    with refused('multiple of 4', 'not 6', 'num_heads'):
        rotary_periods(Rotary(), 6)


@pytest.mark.parametrize('dtype', ['bfloat16', 'float32'])
def test_the_type_of_what_is_turned_stays(dtype: str) -> None:
    x = jnp.ones((1, 4, 1, 8), dtype)
    assert rotate(x, rotary_table(Rotary(), (2, 2), 8)).dtype == dtype
