"""Rows of one matrix: linear layers on the tokens of all images, and where picked rows lie."""

import math
from collections.abc import Callable

import jax
from jax.sharding import PartitionSpec as P

AXES = ('data', 'fsdp')  # of the mesh, over which a batch is split
GROUP = 32  # neighbours of a batch among which `neighbour_groups` lets draw


def by_rows(layer: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """`layer` on (..., C), given to it as (N, C); the same numbers.

    XLA:CPU takes up to a third longer for the gradients of a product with more than two axes.
    """
    rows = layer(x.reshape(-1, x.shape[-1]))
    return rows.reshape(*x.shape[:-1], rows.shape[-1])


def row_parts() -> int:
    """Over how many devices the rows of a batch are split; 1 without a mesh in JAX's context."""
    shape = jax.sharding.get_abstract_mesh().shape
    return math.prod(shape.get(axis, 1) for axis in AXES)


def neighbour_groups(rows: int) -> int:
    """In how many groups of `GROUP` neighbours rows of a batch are drawn, or their patches picked.

    What is drawn and picked among neighbours stays on their device, and does not depend on how many
    devices there are. Rows that are no multiple are one group.

    Example:
      >>> print(neighbour_groups(64), neighbour_groups(40))
      2 1
    """
    return 1 if rows % GROUP else rows // GROUP


def split_rows(x: jax.Array, axis: int = 0) -> jax.Array:
    """x (N, ...) with its rows split over the devices, where N is a multiple of their number.

    The same numbers. What follows from rows that are picked out of a whole batch, XLA would
    otherwise compute on every device for all of them.

    Args:
      x: array.
      axis: that of the rows.
    """
    parts = row_parts()
    if parts == 1 or x.shape[axis] % parts:
        return x
    return jax.lax.with_sharding_constraint(x, P(*(None,) * axis, AXES))
