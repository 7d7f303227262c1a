"""What the losses become on accelerators, and that it is precise enough there."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import barlow_twins, cross_correlation, cross_entropy, info_nce, nt_xent
from jssl.memories.bank import similarities
from tests.programs import lowered, operations, products

ROWS = jax.ShapeDtypeStruct((4, 8), 'float32')
Loss = Callable[..., jax.Array]


def queue_loss(query: jax.Array, queue: jax.Array) -> jax.Array:
    return info_nce(query, query[::-1], queue, temperature=0.07)


def labelled(logits: jax.Array) -> jax.Array:
    return cross_entropy(logits, jnp.arange(len(logits)))


def correlated(first: jax.Array, second: jax.Array) -> jax.Array:
    return barlow_twins(cross_correlation(first, second))


@pytest.mark.parametrize('loss', [nt_xent, queue_loss, correlated, labelled])
def test_no_loss_picks_by_a_scatter_nor_asks_for_more_than_three_passes(loss: Loss) -> None:
    rows = [ROWS] if loss is labelled else [ROWS, ROWS]
    program = lowered(jax.grad(loss), *rows)
    assert not operations(program)['scatter']
    assert {kinds[-1] for kinds in products(program)} <= {'HIGH'}


def test_the_bank_of_npid_is_multiplied_in_three_passes() -> None:
    index = jax.ShapeDtypeStruct((4, 8), 'int32')
    program = lowered(
        jax.grad(lambda x, bank, rows: similarities(bank, x, rows).sum()), ROWS, ROWS, index
    )
    assert {kinds[-1] for kinds in products(program)} == {'HIGH'}


def unit(rows: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(rows, 128))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def rounded(x: jax.Array, bits: int) -> jax.Array:
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=bits)


def in_tf32(first: jax.Array, second: jax.Array) -> jax.Array:
    return rounded(first, 10) @ rounded(second, 10)


def in_three_passes(first: jax.Array, second: jax.Array) -> jax.Array:
    (a, b), (c, d) = (_halves(x) for x in (first, second))
    return a @ c + (a @ d + b @ c)


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    high = rounded(x, 7)
    return high, rounded(x - high, 7)


def loss_with(product: Loss, query: jax.Array) -> jax.Array:
    """MoCo's loss of queries that are near their keys, of which `product` multiplies the queue."""
    positive, negative = (query * unit(16, 0)).sum(1), product(query, jnp.asarray(unit(512, 2)).T)
    logits = jnp.concatenate([positive[:, None], negative], axis=1) / 0.07
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - logits[:, 0])


@pytest.mark.parametrize(('product', 'bound'), [(in_three_passes, 1e-5), (in_tf32, 5e-4)])
def test_rounding_of_factors_moves_gradients_less_than_features_in_bfloat16_do(
    product: Loss, bound: float
) -> None:
    """What HIGH is on a TPU and on a GPU, with exact sums."""
    near = unit(16, 0) + unit(16, 1)
    with jax.enable_x64(True):
        query = jnp.asarray(near / np.linalg.norm(near, axis=1, keepdims=True))
        exact = jax.grad(loss_with, 1)(jnp.matmul, query)
        found = jax.grad(loss_with, 1)(product, query)
        narrow = jax.grad(loss_with, 1)(jnp.matmul, rounded(query, 7))
    gaps = [np.asarray(other) - np.asarray(exact) for other in (found, narrow)]
    off, of_features = (float(np.linalg.norm(gap) / np.linalg.norm(exact)) for gap in gaps)
    assert off < bound
    assert off < of_features / 4
