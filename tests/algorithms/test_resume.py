"""A run that was saved and read back goes on bit by bit as if nothing had been, in each method."""

from pathlib import Path

import jax
import numpy as np
import pytest

from jssl.runs.checkpoints import Checkpoints
from tests.algorithms.runs import ALGORITHMS, advance, placed


def bits(leaf: jax.Array) -> np.ndarray:
    """The array, or the numbers of a key."""
    key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if key else leaf)


@pytest.mark.usefixtures('float64')  # only to share the step with the tests of devices
@pytest.mark.parametrize('name', ALGORITHMS)
def test_a_checkpoint_loses_nothing(name: str, tmp_path: Path) -> None:
    state, _ = advance(name, 1, placed(name, 1), range(2))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(2, state)
    checkpoints.wait()
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), state
    )
    restored = checkpoints.restore(shapes)
    checkpoints.close()
    assert restored is not None
    (expected, losses), (found, again) = (
        advance(name, 1, start, range(2, 4)) for start in (state, restored[0])
    )
    assert again == losses
    for leaf, wanted in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(bits(leaf), bits(wanted))
