"""A bank of one unit vector for every image of the training set.

Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR
2018, arXiv 1805.01978, section 3.2.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec as P

from jssl.checks import Checked, Count, NonNegative, Share
from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize
from jssl.layers.widen import PRECISION
from jssl.memories.alias import Table, alias_table, draw_alias
from jssl.reference import Reference

MULTIPLE = 64  # of which the bank has rows
WHOLE = 32  # a bank of up to so many rows per negative is multiplied as a whole
CHUNK = 1024  # negatives whose rows are gathered at a time where it is larger
REDRAWS = 64  # a sample with half of all the weight is then left over in one of 2^64 draws
DTYPES = ('float32', 'bfloat16')


@dataclasses.dataclass(frozen=True)
class SimpleMemory(Checked):
    """The settings of the bank of NPID.

    Attributes:
      feat_dim: D, width of a row.
      momentum: share of the new feature in an updated row, above 0 and at most 1.
      dtype: of the stored rows, 'float32' or 'bfloat16'; sums are in float32 always.
      weights: how likely each sample is drawn as a negative, up to a factor; None for uniformly.

    Raises:
      JsslError: a field is out of its range.
    """

    feat_dim: Count = 128
    momentum: Share = 0.5
    dtype: str = 'float32'
    weights: Sequence[NonNegative] | None = None

    reference: ClassVar[Reference] = Reference(fields={'length': None})  # it follows from the data

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dtype not in DTYPES:
            raise JsslError(
                f'config.model.memory_bank.dtype={self.dtype!r} is not known; choose '
                f'{" or ".join(DTYPES)}.'
            )

    def init(self, rng: jax.Array, length: int) -> dict[str, Any]:
        """A `bank` of random directions, (N, D) with N rounded up to a multiple of 64.

        There is `multinomial` too if there are weights.

        Args:
          rng: its key.
          length: N, the number of training images.

        Raises:
          JsslError: the length is not that of the weights.
        """
        # Rounded up, the rows can be split evenly over devices; those at the end are never used.
        rows = jax.random.normal(rng, (-(-length // MULTIPLE) * MULTIPLE, self.feat_dim))
        state: dict[str, Any] = {'bank': l2_normalize(rows).astype(self.dtype)}
        if self.weights is not None:
            if len(self.weights) != length:
                raise JsslError(
                    f'memory_bank.weights has {len(self.weights)} entries for {length} images; '
                    'give one weight for each image.'
                )
            state['multinomial'] = jax.tree.map(jnp.asarray, alias_table(self.weights))
        return state


def check_dominance(weights: Sequence[float] | None) -> None:
    """Refuses weights with which some sample would hardly ever have another as its negative.

    Examples:
      >>> check_dominance([1.0, 1.0, 2.0])  # the last sample has no more than half
    """
    values = np.asarray([1, 1] if weights is None else weights, np.float64)
    if values.max() > values.sum() / 2:
        raise JsslError(
            f'config.model.ensure_neg=True cannot draw others than sample {values.argmax()}, which '
            f'has {values.max() / values.sum():.0%} of memory_bank.weights; lower its weight to at '
            'most half of the sum.'
        )


def draw_negatives(
    key: jax.Array,
    shape: tuple[int, int],
    length: int,
    table: Table | None = None,
    exclude: jax.Array | None = None,
) -> jax.Array:
    """Rows of the bank that serve as negatives, with replacement.

    Args:
      key: one typed key.
      shape: (B, M).
      length: N.
      table: of `alias_table` for probabilities that differ; None draws uniformly.
      exclude: (B,), the row that is never drawn for each sample; None excludes none.

    Returns:
      int32 (B, M), each in [0, N).

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> drawn = draw_negatives(jax.random.key(0), (1, 99), length=3, exclude=jnp.array([1]))
      >>> print(drawn.shape, jnp.unique(drawn))
      (1, 99) [0 2]
    """
    if table is not None:
        drawn = draw_alias(key, table, shape)
        return drawn if exclude is None else _draw_again(key, table, drawn, exclude[:, None])
    if exclude is None:
        return jax.random.randint(key, shape, 0, length, jnp.int32)
    # Uniform among the others: those from the excluded row on are moved up by one.
    others = jax.random.randint(key, shape, 0, length - 1, jnp.int32)
    return others + (others >= exclude[:, None])


def _draw_again(key: jax.Array, table: Table, drawn: jax.Array, exclude: jax.Array) -> jax.Array:
    """Replaces what is excluded by new draws until nothing of it is left."""

    def left(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        redraws, drawn = carry
        return (redraws < REDRAWS) & (drawn == exclude).any()

    def redraw(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        redraws, drawn = carry
        fresh = draw_alias(jax.random.fold_in(key, redraws + 1), table, drawn.shape)
        return redraws + 1, jnp.where(drawn == exclude, fresh, drawn)

    return jax.lax.while_loop(left, redraw, (jnp.zeros((), jnp.int32), drawn))[1]


def similarities(bank: jax.Array, features: jax.Array, rows: jax.Array) -> jax.Array:
    """Inner products of features with chosen rows, without an array (B, M, D).

    Up to 32 rows per negative the whole bank is multiplied and the products are chosen from, which
    leaves a bank that is sharded by rows where it is. A larger bank gives its rows in chunks,
    which are gathered again for the gradient.

    Args:
      bank: (N, D); no gradient flows to it.
      features: (B, D).
      rows: int (B, M).

    Returns:
      (B, M), in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(similarities(jnp.eye(3), jnp.array([[0.6, 0.8, 0.0]]), jnp.array([[0, 2]])))
      [[0.6 0. ]]
    """
    wide = jnp.promote_types(bank.dtype, jnp.float32)
    features = features.astype(bank.dtype)
    if len(bank) <= WHOLE * rows.shape[1]:
        products = jnp.matmul(features, bank.T, precision=PRECISION, preferred_element_type=wide)
        return jnp.take_along_axis(_where_rows_are(products), rows, axis=1)

    @jax.checkpoint
    def chunk(part: jax.Array) -> jax.Array:
        return jnp.einsum(
            'bd,bmd->bm', features, bank[part], precision=PRECISION, preferred_element_type=wide
        )

    count = -(-rows.shape[1] // CHUNK)
    padded = jnp.pad(rows, ((0, 0), (0, -rows.shape[1] % count)))
    parts = padded.reshape(len(rows), count, -1).swapaxes(0, 1)
    return jax.lax.map(chunk, parts).swapaxes(0, 1).reshape(padded.shape)[:, : rows.shape[1]]


def _where_rows_are(products: jax.Array) -> jax.Array:
    """Splits products (B, N) with the rows of a bank that is sharded over the axis `fsdp`.

    Left to itself, XLA would gather the bank. What is chosen from the products is small.
    """
    mesh = jax.sharding.get_abstract_mesh()
    parts = mesh.shape.get('fsdp', 1)
    if parts == 1 or products.shape[1] % parts:
        return products
    return jax.lax.with_sharding_constraint(products, P('data', 'fsdp'))


def update_rows(
    bank: jax.Array, index: jax.Array, features: jax.Array, momentum: float
) -> tuple[jax.Array, jax.Array]:
    """Moves rows towards new features: ``l2((1 - momentum) old + momentum l2(new))``.

    Args:
      bank: (N, D).
      index: (B,), the rows; of one that comes several times the last one counts.
      features: (B, D); no gradient flows through them.
      momentum: share of the new feature.

    Returns:
      The bank, and the new rows (B, D) in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> new = jnp.array([[0.0, 5.0]])
      >>> bank, rows = update_rows(jnp.eye(2), jnp.array([0]), new, momentum=0.5)
      >>> print(bank.round(2))  # half of (1, 0) and half of (0, 1), of unit length
      [[0.71 0.71]
       [0.   1.  ]]
    """
    new = l2_normalize(jax.lax.stop_gradient(features))
    rows = l2_normalize((1 - momentum) * bank[index].astype(new.dtype) + momentum * new)
    places = last_occurrences(index, len(bank))
    return bank.at[places].set(rows.astype(bank.dtype), mode='drop'), rows


def last_occurrences(index: jax.Array, length: int) -> jax.Array:
    """`index` (B,) with all but the last of equal entries replaced by `length`, out of bounds.

    Writing to one place twice has no order on an accelerator; this gives it one.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(last_occurrences(jnp.array([2, 0, 2]), length=4))
      [4 0 2]
    """
    again = jnp.triu(index[:, None] == index, k=1).any(axis=1)
    return jnp.where(again, length, index)
