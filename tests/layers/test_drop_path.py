import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import use_abstract_mesh

from jssl.layers.drop_path import DropPath, draw_subsets, drop_path_rates, run_on_some
from jssl.training import sharding
from tests.checks import applied, refused

BRANCH = jnp.ones((4000, 2, 3))
KEY = jax.random.key(0)


def test_a_sample_is_dropped_whole_and_the_others_scaled() -> None:
    out = np.asarray(DropPath().apply({}, BRANCH, 0.25, rngs={'drop_path': KEY}))
    assert (out == out[:, :1, :1]).all()
    np.testing.assert_allclose(np.unique(out), [0, 4 / 3])
    assert (out[:, 0, 0] == 0).mean() == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 4000) ** 0.5)


def test_without_a_rate_everything_passes_and_no_key_is_needed() -> None:
    assert DropPath().apply({}, BRANCH, None) is BRANCH
    np.testing.assert_array_equal(
        DropPath().apply({}, BRANCH, 0.0, rngs={'drop_path': KEY}), BRANCH
    )


def test_bfloat16_stays() -> None:
    out = applied(DropPath(), {}, BRANCH.astype('bfloat16'), 0.5, rngs={'drop_path': KEY})
    assert out.dtype == 'bfloat16'


def test_a_missing_key_is_named() -> None:
    with refused('drop_path_rate', "rngs={'drop_path': key}"):
        DropPath().apply({}, BRANCH, 0.1)


def test_rates_grow_linearly() -> None:
    assert drop_path_rates(0.2, 5, train=True) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert drop_path_rates(0.2, 5, train=False) is None
    assert drop_path_rates(0.0, 5, train=True) is None


@pytest.mark.parametrize(
    ('batch', 'rate', 'groups', 'kept'),
    [(10, 0.3, 1, 7), (8, 0.4, 1, 4), (2, 0.9, 1, 1), (64, 0.3, 2, 22)],
)
def test_subsets_hold_as_many_samples_whatever_the_draw(
    batch: int, rate: float, groups: int, kept: int
) -> None:
    sets = np.asarray(draw_subsets(KEY, 3, batch, rate))
    assert sets.shape == (3, 2, groups, kept)
    assert all(len(set(rows)) == kept for rows in sets.reshape(-1, kept))
    assert sets.min() >= 0
    assert sets.max() < batch // groups


def test_subsets_of_all_branches_differ_and_every_sample_is_as_likely() -> None:
    sets = np.asarray(draw_subsets(KEY, 500, 8, 0.5))
    assert len({tuple(rows) for rows in sets.reshape(-1, 4)}) > 500
    counts = np.bincount(sets.ravel(), minlength=8) / 1000
    np.testing.assert_allclose(counts, 0.5, atol=5 * 0.5 / 1000**0.5)


def test_a_branch_runs_on_some_and_is_scaled_by_how_many_there_are() -> None:
    seen = []

    def branch(x: jax.Array) -> jax.Array:
        seen.append(x)
        return 2 * x

    x = jnp.arange(12.0).reshape(4, 3)
    out = run_on_some(branch, x, jnp.array([3, 0, 1]))
    np.testing.assert_array_equal(seen[0], x[jnp.array([3, 0, 1])])
    factors = jnp.array([1 + 8 / 3, 1 + 8 / 3, 1, 1 + 8 / 3])
    np.testing.assert_allclose(out, x * factors[:, None], rtol=1e-6)


@pytest.mark.parametrize('batch', [32, 256])
def test_on_several_devices_each_computes_its_share_of_the_branch(batch: int) -> None:
    mesh = sharding.make_mesh(devices=8, fsdp=2)
    x = jax.random.normal(KEY, (batch, 4, 16))
    weights = jnp.full((16, 16), 0.1)
    rows = draw_subsets(KEY, 1, batch, 0.3)[0, 0]
    assert rows.shape == (batch // 32, 22)

    def branch(x: jax.Array) -> jax.Array:
        return jnp.tanh(x @ weights) @ weights

    def alone(x: jax.Array, rows: jax.Array) -> jax.Array:
        return jax.grad(lambda x: jnp.square(run_on_some(branch, x, rows)).sum())(x)

    def split(x: jax.Array, rows: jax.Array) -> jax.Array:
        with use_abstract_mesh(mesh.abstract_mesh):
            return alone(x, rows)

    placed = jax.device_put(x, sharding.batch_sharding(mesh))
    given = jax.device_put(rows, sharding.replicated(mesh))
    whole = jax.jit(alone).lower(x, rows).compile()
    shared = jax.jit(split).lower(placed, given).compile()
    np.testing.assert_allclose(shared(placed, given), whole(x, rows), rtol=1e-4, atol=1e-5)
    analyses: list[Any] = [program.cost_analysis() for program in (shared, whole)]
    work, all_of_it = (found['flops'] for found in analyses)
    assert work < all_of_it / 4  # an eighth, and what moves the samples
    if batch > 32:  # as many groups as devices: no sample leaves its own
        text = shared.as_text() or ''
        assert 'fusion' in text
        assert not re.findall(r'all-(?:gather|to-all|reduce)|collective-permute', text)
