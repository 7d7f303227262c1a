"""Stochastic depth: leaving out a residual branch for some samples of a batch.

`DropPath` computes the branch for all and drops some outputs; `run_on_some` computes it for a
subset alone, which saves the others' time and memory.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.errors import JsslError
from jssl.layers.gather import put_tokens, take_tokens
from jssl.layers.rows import neighbour_groups, row_parts, split_rows


class DropPath(nn.Module):
    """Drops a residual branch per sample (Huang et al. 2016), at a rate given with the call.

    The noise comes from the random stream ``drop_path``: an algorithm draws a key into the batch
    and hands it to `apply` as ``rngs={'drop_path': key}``, which keeps its loss deterministic.
    """

    @nn.compact
    def __call__(self, branch: jax.Array, rate: jax.Array | float | None) -> jax.Array:
        """`branch` (B, ...) with samples set to 0 and the others divided by 1 - rate.

        Args:
          branch: what is added to the residual stream.
          rate: share of samples to drop; None lets all pass and needs no random stream.

        Raises:
          JsslError: if there is a rate but no random stream.
        """
        if rate is None:
            return branch
        key = drop_path_key(self)
        shape = (branch.shape[0], *(1,) * (branch.ndim - 1))
        keep = jax.random.bernoulli(key, 1.0 - rate, shape)
        return jnp.where(keep, branch / jnp.asarray(1.0 - rate, branch.dtype), 0)


def drop_path_key(module: nn.Module) -> jax.Array:
    """A key of the random stream ``drop_path``.

    Raises:
      JsslError: if none came with the call.
    """
    if not module.has_rng('drop_path'):
        raise JsslError(
            'backbone.drop_path_rate is above 0, but no key came with the call; pass rngs='
            "{'drop_path': key} to apply, with a key that the algorithm's draw puts into the "
            'batch, or set drop_path_rate=0.'
        )
    return module.make_rng('drop_path')


def draw_subsets(key: jax.Array, blocks: int, batch: int, rate: float) -> jax.Array:
    """The samples that run: int (blocks, 2, groups, kept), a set for each branch of each block.

    They are drawn among the samples of a group of neighbours, by their numbers in it, so that those
    of a device stay there, see `neighbour_groups`; the reference draws among a device's.

    Args:
      key: PRNG key.
      blocks: how many.
      batch: B, the samples that there are.
      rate: share to leave out; of a group of n, max(floor(n (1 - rate)), 1) are kept.
    """
    groups = neighbour_groups(batch)
    size = batch // groups
    kept = max(int(size * (1 - rate)), 1)

    def draw(key: jax.Array) -> jax.Array:
        return jax.random.permutation(key, size)[:kept]

    keys = jax.random.split(key, blocks * 2 * groups)
    return jax.vmap(draw)(keys).reshape(blocks, 2, groups, kept)


def run_on_some(
    branch: Callable[[jax.Array], jax.Array], x: jax.Array, rows: jax.Array
) -> jax.Array:
    """x + branch(x) for some samples alone, their branch times B / kept (DINOv2, section 5).

    Args:
      branch: (n, ...) -> the same.
      x: (B, ...).
      rows: int (groups, kept), the numbers of these samples in groups of neighbours, none of them
        twice; (kept,) for a single group.
    """
    rows = rows.reshape(-1, rows.shape[-1])
    groups, kept = rows.shape
    grouped = x.reshape(groups, len(x) // groups, -1)
    picked = take_tokens(grouped, rows).reshape(-1, *x.shape[1:])
    spare = -len(picked) % row_parts()  # computed, and left out again
    padded = jnp.pad(picked, ((0, spare), *((0, 0),) * (x.ndim - 1)))
    outputs = branch(split_rows(padded))[: groups * kept].reshape(groups, kept, -1)
    added = put_tokens(outputs, rows, grouped.shape[1]).reshape(x.shape)
    return split_rows(x + added * (grouped.shape[1] / kept))


def drop_path_rates(rate: float, depth: int, train: bool) -> list[float] | None:
    """The rate of every block, growing linearly from 0 to `rate`; None where nothing is dropped."""
    if not train or rate == 0:
        return None
    return [float(value) for value in np.linspace(0, rate, depth)]


def has_drop_path(backbone: nn.Module) -> bool:
    """Whether a backbone leaves out branches, and so needs a key for each step."""
    return getattr(backbone, 'drop_path_rate', 0) > 0


def without_drop_path(backbone: nn.Module) -> nn.Module:
    """The backbone with its rate at 0: a teacher computes all branches in training mode too."""
    return backbone.clone(drop_path_rate=0.0) if has_drop_path(backbone) else backbone
