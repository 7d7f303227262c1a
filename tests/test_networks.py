"""The three passes: what each computes, and which statistics come out."""

import doctest

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl import networks
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.drop_path import DropPath
from jssl.networks import Encoder, Network, each, evaluate, forward

ROWS = np.random.default_rng(0).standard_normal((2, 6, 4)).astype('float32')


class Norm(nn.Module):
    """A batch norm as backbone, neck or head."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        return BatchNorm(name='bn')(x, train)


class Dropping(nn.Module):
    """A branch that drop path may leave out."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = True) -> jax.Array:
        return DropPath()(x, 0.5 if train else None)


NETWORK = Network(Norm(), Norm(), Norm())
VARIABLES = NETWORK.init(jax.random.key(0), ROWS[0], train=False)
PARTS = (VARIABLES['params'], VARIABLES['batch_stats'])


def test_the_example_runs() -> None:
    failed, run = doctest.testmod(networks)
    assert (failed, run > 0) == (0, True)


def test_a_forward_pass_normalises_by_the_batch_and_records_it() -> None:
    outputs, stats = forward(NETWORK, *PARTS, ROWS[0])
    np.testing.assert_allclose(outputs.mean(axis=0), 0, atol=1e-5)
    moved = 0.1 * ROWS[0].mean(axis=0)
    np.testing.assert_allclose(stats['backbone']['bn']['mean'], moved, rtol=1e-4, atol=1e-6)


def test_statistics_of_parts_that_do_not_run_stay() -> None:
    _, stats = forward(NETWORK, *PARTS, ROWS[0], method='encode')
    assert jax.tree.all(jax.tree.map(jnp.array_equal, stats['head'], PARTS[1]['head']))
    assert not jnp.array_equal(stats['neck']['bn']['var'], PARTS[1]['neck']['bn']['var'])


def test_each_passes_one_after_the_other() -> None:
    outputs, stats = each(NETWORK, *PARTS, list(ROWS), method='encode')
    first, between = forward(NETWORK, *PARTS, ROWS[0], method='encode')
    second, after = forward(NETWORK, PARTS[0], between, ROWS[1], method='encode')
    np.testing.assert_array_equal(outputs, [first, second])
    assert jax.tree.all(jax.tree.map(jnp.array_equal, stats, after))


def test_an_evaluation_uses_the_running_statistics() -> None:
    np.testing.assert_allclose(evaluate(NETWORK, *PARTS, ROWS[0]), ROWS[0], rtol=1e-4)
    encoder = Encoder(Norm(), Norm())
    np.testing.assert_allclose(evaluate(encoder, *PARTS, ROWS[1]), ROWS[1], rtol=1e-4)


def test_drop_path_needs_its_key_in_training_alone() -> None:
    found, _ = forward(Dropping(), {}, {}, ROWS[0], drop_path=jax.random.key(3))
    kept = np.isclose(np.abs(found), 2 * np.abs(ROWS[0])).all(axis=1)
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(found[~kept], 0)
    np.testing.assert_array_equal(evaluate(Dropping(), {}, {}, ROWS[0]), ROWS[0])
    with pytest.raises(Exception, match='drop_path'):
        forward(Dropping(), {}, {}, ROWS[0])
