"""Whether a train state is worth keeping: from a NaN or an infinity on, a run cannot learn."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jssl.algorithm import TrainState


def not_finite(train_state: TrainState) -> list[str]:
    """The leaves that hold NaN or infinity, such as ``params['head']['bias']``.

    One program on the devices reads the state once; a truth value a leaf comes back.
    """
    leaves = {
        jax.tree_util.keystr(path).lstrip('.'): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(train_state)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    }
    verdicts = jax.device_get(_finite(tuple(leaves.values())))
    return [name for name, finite in zip(leaves, verdicts, strict=True) if not finite]


@jax.jit
def _finite(leaves: Sequence[jax.Array]) -> list[jax.Array]:
    return [jnp.isfinite(leaf).all() for leaf in leaves]
