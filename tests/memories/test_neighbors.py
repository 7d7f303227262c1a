from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jssl.losses import nt_xent
from jssl.memories import nearest_rows, store_rows
from tests import golden
from tests.checks import refused


@golden.each('part_nnclr_bank')
def test_lightly_s_bank_and_loss(path: Path) -> None:
    """A batch that does not fit is cut; both views look at the bank before the second enters.

    The three banks of the file are one array, which the last step left.
    """
    with golden.whole(path) as saved:
        bank = jnp.asarray(saved.arrays['in/bank'])
        assert bank.shape == (saved.meta['size'], saved.meta['dim'])
        pointer, banks = jnp.zeros((), jnp.int32), []
        for step in range(3):
            arrays = jax.tree.map(jnp.asarray, saved.group(f'in/step{step}'))
            expected = saved.group(f'out/step{step}')
            neighbors = nearest_rows(bank, arrays['z0']), nearest_rows(bank, arrays['z1'])
            np.testing.assert_array_equal(neighbors[0], expected['neighbours0'])
            np.testing.assert_array_equal(neighbors[1], expected['neighbours1'])
            loss = partial(symmetric, p1=arrays['p1'], neighbors=neighbors)
            value, gradient = jax.value_and_grad(loss)(arrays['p0'])
            np.testing.assert_allclose(value, expected['loss'], rtol=1e-5)
            np.testing.assert_allclose(gradient, expected['grad_p0'], atol=1e-5)
            bank, pointer = store_rows(bank, pointer, arrays['z1'])
            banks.append(expected['bank'])
        for recorded in banks:
            np.testing.assert_array_equal(bank, recorded)


def symmetric(p0: jax.Array, p1: jax.Array, neighbors: tuple[jax.Array, jax.Array]) -> jax.Array:
    return (nt_xent(neighbors[0], p1, 0.1) + nt_xent(neighbors[1], p0, 0.1)) / 2


def test_rows_are_written_one_batch_after_the_other() -> None:
    store = jax.jit(store_rows)
    memory, pointer = jnp.zeros((4, 1)), jnp.zeros((), jnp.int32)
    for value, expected in ((1, [1, 1, 0, 0]), (2, [1, 1, 2, 2]), (3, [3, 3, 2, 2])):
        memory, pointer = store(memory, pointer, jnp.full((2, 1), float(value)))
        np.testing.assert_array_equal(memory[:, 0], expected)


def test_a_batch_longer_than_the_memory_is_refused() -> None:
    with refused('config.model.queue_len=4', 'the 5 rows', 'set it to 5 or more'):
        store_rows(jnp.zeros((4, 1)), jnp.zeros((), jnp.int32), jnp.zeros((5, 1)))
