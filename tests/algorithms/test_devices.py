"""The same step on one device and on eight, the state whole or split, for every method.

In float64, so that no ReLU and no match near its edge falls on the other side by rounding.
"""

from typing import Any

import jax
import numpy as np
import pytest

from jssl.algorithm import TrainState
from jssl.training import sharding
from tests.algorithms.runs import ALGORITHMS, advance, batch, placed, step

STEPS = range(5)
FSDP = 2  # of eight devices
QUICK = ('MoCo', 'NPID')  # a teacher and a queue, a bank of all images
# The others in minutes: pytest -m slow tests/algorithms/test_devices.py
NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS
]


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('name', ALGORITHMS)
def test_eight_devices_give_the_losses_of_one(name: str) -> None:
    one, losses = advance(name, 1, placed(name, 1), STEPS)
    eight, found = advance(name, 8, placed(name, 8), STEPS)
    assert len(set(losses)) == len(STEPS)
    np.testing.assert_allclose(found, losses, rtol=1e-10, atol=1e-12)
    assert_same_state(eight, one)


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('name', NAMES)
def test_a_split_state_gives_the_losses_of_a_whole_one(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters, optimizer, teachers and memories over two devices, the batch over all eight."""
    whole, losses = advance(name, 1, placed(name, 1), STEPS)
    monkeypatch.setattr(sharding, 'SMALLEST_SHARDED', 16)
    split, found = advance(name, 8, placed(name, 8, FSDP), STEPS, fsdp=FSDP)
    for part in (split.params, split.opt_state, *split.state.values()):
        wide = [leaf for leaf in jax.tree.leaves(part) if is_wide(leaf)]
        assert not any(leaf.sharding.is_fully_replicated for leaf in wide)
    np.testing.assert_allclose(found, losses, rtol=1e-10, atol=1e-12)
    assert_same_state(split, whole)


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('name', NAMES)
def test_eight_devices_share_the_work(name: str) -> None:
    """A device computes about an eighth: what is computed for all of the batch is little."""
    if name == 'ODC':
        pytest.skip('its clusters, in a branch of some steps, are most of so small a step')
    work = []
    for devices in (1, 8):
        mesh = sharding.make_mesh(devices=devices)
        train: Any = step(name, devices)
        given = placed(name, devices), sharding.put_batch(batch(0), mesh)
        work.append(train.trace(*given).lower().compile().cost_analysis()['flops'])
    assert work[1] < 0.25 * work[0]


def is_wide(leaf: jax.Array) -> bool:
    """Whether an array is one that the rule splits."""
    return leaf.size >= sharding.SMALLEST_SHARDED and any(s % FSDP == 0 for s in leaf.shape)


def assert_same_state(found: TrainState, expected: TrainState) -> None:
    """Parameters, optimizer and memories are the same but for rounding."""
    for part in ('params', 'opt_state', 'state'):
        pairs = (jax.tree.leaves_with_path(getattr(tree, part)) for tree in (found, expected))
        for (path, leaf), (_, wanted) in zip(*pairs, strict=True):
            name = f'{part}{jax.tree_util.keystr(path)}'
            np.testing.assert_allclose(leaf, wanted, rtol=1e-8, atol=1e-10, err_msg=name)
