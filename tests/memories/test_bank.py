import inspect
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, use_abstract_mesh
from jax.sharding import PartitionSpec as P

from jssl.memories import SimpleMemory
from jssl.memories import bank as banks
from jssl.memories.alias import alias_table
from jssl.training import sharding
from tests.checks import matrix, refused

IMAGES, WIDTH, BATCH = 4096, 16, 16
DRAW = np.random.default_rng(0)
BANK = DRAW.standard_normal((IMAGES, WIDTH)).astype('float32')
FEATURES = DRAW.standard_normal((BATCH, WIDTH)).astype('float32')
INDEX = DRAW.permutation(IMAGES)[:BATCH].astype('int32')


@jax.jit
def use(bank: jax.Array, features: jax.Array, index: jax.Array, rows: jax.Array) -> Any:
    """Similarities, the gradient through them, and the bank after an update."""

    def total(features: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = banks.similarities(bank, features, rows)
        return jnp.sum(jnp.sin(found)), found

    grad, found = jax.grad(total, has_aux=True)(features)
    return found, grad, banks.update_rows(bank, index, features, 0.5)[0]


def drawn_rows(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, IMAGES, (BATCH, count)).astype('int32')


def test_hand_made_update() -> None:
    with jax.enable_x64(True):
        bank = banks.l2_normalize(jnp.asarray(matrix(5, 3, 0.2)))
        after, _ = banks.update_rows(bank, jnp.array([1, 3]), jnp.asarray(matrix(2, 3, 1.3)), 0.5)
    np.testing.assert_allclose(after[1], [0.71834455, 0.55250036, -0.42275815], atol=1e-8)
    np.testing.assert_allclose(after[3], [0.62445596, -0.22872070, -0.74682100], atol=1e-8)
    np.testing.assert_array_equal(after[::2], bank[::2])


def test_of_an_image_that_comes_twice_the_last_feature_counts() -> None:
    bank = banks.l2_normalize(jnp.asarray(BANK[:8]))
    index = jnp.array([3, 5, 3, 3])
    after, _ = banks.update_rows(bank, index, jnp.asarray(FEATURES[:4]), 0.25)
    alone, _ = banks.update_rows(bank, index[jnp.array([1, 3])], FEATURES[jnp.array([1, 3])], 0.25)
    np.testing.assert_array_equal(after, alone)


@pytest.mark.parametrize('count', [IMAGES // banks.WHOLE, 7])
def test_similarities_and_their_gradient(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(banks, 'CHUNK', 4)  # seven negatives in two chunks, the last one not full
    rows = drawn_rows(count)
    jax.clear_caches()
    found, grad, _ = use(BANK, FEATURES, INDEX, rows)
    exact = np.einsum('bd,bmd->bm', FEATURES.astype('float64'), BANK[rows].astype('float64'))
    np.testing.assert_allclose(found, exact, atol=1e-5)
    expected = np.einsum('bm,bmd->bd', np.cos(exact), BANK[rows].astype('float64'))
    np.testing.assert_allclose(grad, expected, atol=1e-4)


def test_a_bank_sharded_by_rows_stays_where_it_is() -> None:
    mesh = sharding.make_mesh(fsdp=4)
    split, whole = NamedSharding(mesh, P('fsdp')), sharding.replicated(mesh)
    rows = drawn_rows(IMAGES // banks.WHOLE)

    def in_context(*arrays: jax.Array) -> Any:
        with use_abstract_mesh(mesh.abstract_mesh):
            return inspect.unwrap(use)(*arrays)

    places = (split, *[sharding.batch_sharding(mesh)] * 3)
    arrays = jax.device_put((BANK, FEATURES, INDEX, rows), places)
    program = jax.jit(in_context, out_shardings=(whole, whole, split)).lower(*arrays).compile()
    gathered = re.findall(r'= \w+\[([\d,]*)\]\S* all-gather\(', str(program.as_text()))
    sizes = [np.prod([int(n) for n in shape.split(',') if n]) for shape in gathered]
    assert sizes
    assert max(sizes) < BANK.size / 4
    for ours, alone in zip(program(*arrays), use(BANK, FEATURES, INDEX, rows), strict=True):
        np.testing.assert_allclose(ours, alone, rtol=1e-6, atol=2e-6)


def test_bfloat16_rows_are_summed_in_float32() -> None:
    state = SimpleMemory(feat_dim=WIDTH, dtype='bfloat16').init(jax.random.key(0), 64)
    found, _, after = use(state['bank'], FEATURES, INDEX % 64, drawn_rows(9) % 64)
    assert (state['bank'].dtype, after.dtype, found.dtype) == ('bfloat16', 'bfloat16', 'float32')
    rows = after[INDEX % 64].astype('float32')
    np.testing.assert_allclose(jnp.linalg.norm(rows, axis=1), 1, atol=5e-3)


def test_a_fresh_bank_is_of_unit_rows_that_divide_over_devices() -> None:
    state = SimpleMemory(feat_dim=5).init(jax.random.key(0), 70)
    assert state.keys() == {'bank'}
    assert state['bank'].shape == (128, 5)
    np.testing.assert_allclose(jnp.linalg.norm(state['bank'], axis=1), 1, rtol=1e-6)


def test_uniform_negatives_are_all_rows_alike() -> None:
    drawn = banks.draw_negatives(jax.random.key(0), (50, 1000), 10)
    counts = np.bincount(drawn.reshape(-1), minlength=10)
    assert (np.abs(counts - 5000) < 5 * np.sqrt(5000)).all()


@pytest.mark.parametrize('weights', [None, [1.0, 2.0, 0.0, 1.0, 4.0]])
def test_an_image_can_be_kept_from_being_its_own_negative(weights: Any) -> None:
    table = weights and jax.tree.map(jnp.asarray, alias_table(weights))
    own = jnp.arange(5)
    drawn = banks.draw_negatives(jax.random.key(1), (5, 20_000), 5, table, own)
    shares = np.array(weights or [1.0] * 5)
    for row, excluded in zip(np.asarray(drawn), range(5), strict=True):
        left = np.where(np.arange(5) == excluded, 0, shares)
        expected = 20_000 * left / left.sum()
        counts = np.bincount(row, minlength=5)
        assert counts[excluded] == 0
        assert (np.abs(counts - expected) <= 5 * np.sqrt(expected)).all()


def test_settings_out_of_range_are_refused() -> None:
    for momentum in (0.0, 1.5):
        with refused(f'SimpleMemory.momentum={momentum}', 'positive number of at most 1'):
            SimpleMemory(momentum=momentum)
    with refused("memory_bank.dtype='float16'", 'float32 or bfloat16'):
        SimpleMemory(dtype='float16')
    with refused('2 entries for 3 images'):
        SimpleMemory(weights=[1.0, 2.0]).init(jax.random.key(0), 3)
    with refused('ensure_neg=True', 'sample 1', '75%'):
        banks.check_dominance([1.0, 3.0])
