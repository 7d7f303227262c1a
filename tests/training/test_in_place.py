"""Donated memories are updated where they are, read off the compiled program."""

import re
from typing import Any

import jax
import numpy as np
import pytest

from jssl.memories.bank import similarities, update_rows
from jssl.training import sharding
from jssl.training.step import in_place
from tests.algorithms import runs
from tests.conftest import PLAIN_LOOPS

# What of the state is written a batch at a time. NPID's bank has a test of its own: with the quick
# compilation of tests a CPU writes its rows in a loop, which copies it; in real runs it does not.
MEMORIES = {
    'MoCo': ['queue'],
    'SymmetricMoCo': ['queue'],
    'DenseCL': ['queue', 'queue2'],
    'NNCLR': ['queue'],
    'ODC': ['memory'],
    'SwAV': ['feature_queue'],
}


def copies(program: jax.stages.Compiled, shape: tuple[int, ...]) -> int:
    """How often the program copies an array of that shape, or one of the rings that it holds."""
    whole, ring = (','.join(map(str, sides)) for sides in (shape, (1, *shape[1:])))
    found = rf'\[{whole}\]\S* copy\(' + (rf'|\[{ring}\]\S* slice\(' if len(shape) > 2 else '')
    return len(re.findall(found, program.as_text() or ''))


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('name', MEMORIES)
def test_no_memory_is_copied_whole(name: str) -> None:
    state, mesh = runs.placed(name, 1), sharding.make_mesh(devices=1)
    step: Any = runs.step(name, 1)
    compiled = step.lower(state, sharding.put_batch(runs.batch(0), mesh)).compile()
    memories = jax.tree.leaves([state.state[entry] for entry in MEMORIES[name]])
    shapes = {leaf.shape for leaf in memories if leaf.ndim > 1}
    assert shapes
    assert {shape: copies(compiled, shape) for shape in shapes} == dict.fromkeys(shapes, 0)


@pytest.mark.usefixtures('float64')
def test_devices_gather_a_batch_and_not_the_queue() -> None:
    state, mesh = runs.placed('SwAV', 8), sharding.make_mesh(devices=8)
    step: Any = runs.step('SwAV', 8)
    text = step.lower(state, sharding.put_batch(runs.batch(0), mesh)).compile().as_text()
    sides = ','.join(map(str, state.state['feature_queue'].shape))
    assert 'all-gather(' in text
    assert not re.search(rf'\[{sides}\]\S* all-gather\(', text)


def test_a_bank_is_not_copied() -> None:
    def step(bank: jax.Array, w: jax.Array, index: jax.Array) -> tuple[jax.Array, jax.Array]:
        def loss(w: jax.Array) -> tuple[jax.Array, jax.Array]:
            negatives = (index[:, None] + jax.numpy.arange(1, 9)) % len(bank)
            cosines = similarities(bank, w, negatives)
            return jax.nn.logsumexp(cosines), update_rows(bank, index, w, 0.5)[0]

        grads, written = jax.grad(loss, has_aux=True)(w)
        return written, grads

    given = np.ones((4096, 16), 'float32'), np.ones((64, 16), 'float32'), np.arange(64)
    as_in_runs = in_place('cpu') | ({'xla_cpu_use_fusion_emitters': True} if PLAIN_LOOPS else {})
    jitted = jax.jit(step, donate_argnums=0, compiler_options=as_in_runs)
    compiled = jitted.lower(*given).compile()
    assert copies(compiled, (4096, 16)) == 0
    planned: Any = compiled.memory_analysis()
    assert planned.alias_size_in_bytes >= given[0].nbytes


def test_without_the_option_of_cpus_a_queue_is_copied() -> None:
    """Else the test above would show nothing."""

    def step(queue: jax.Array, w: jax.Array) -> tuple[jax.Array, jax.Array]:
        def loss(w: jax.Array) -> tuple[jax.Array, jax.Array]:
            rows = jax.lax.stop_gradient(w)
            return jax.nn.logsumexp(w @ queue.T), queue.at[:2].set(rows)

        grads, written = jax.grad(loss, has_aux=True)(w)
        return written, grads

    given = np.ones((64, 8), 'float32'), np.ones((2, 8), 'float32')

    def count(options: dict[str, bool]) -> int:
        compiled = jax.jit(step, donate_argnums=0, compiler_options=options).lower(*given).compile()
        return copies(compiled, (64, 8))

    assert count({}) > 0
    assert in_place('cpu')
    assert count(in_place('cpu')) == 0
    assert in_place('tpu') == {}
    assert in_place('gpu') == in_place('cuda') != in_place('cpu')
