"""Stochastic depth: leaving out a residual branch for some samples of a batch."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.errors import JsslError


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
        if not self.has_rng('drop_path'):
            raise JsslError(
                'backbone.drop_path_rate is above 0, but no key came with the call; pass rngs='
                "{'drop_path': key} to apply, with a key that the algorithm's draw puts into the "
                'batch, or set drop_path_rate=0.'
            )
        shape = (branch.shape[0], *(1,) * (branch.ndim - 1))
        keep = jax.random.bernoulli(self.make_rng('drop_path'), 1.0 - rate, shape)
        return jnp.where(keep, branch / jnp.asarray(1.0 - rate, branch.dtype), 0)


def drop_path_rates(rate: float, depth: int, train: bool) -> list[float] | None:
    """The rate of every block, growing linearly from 0 to `rate`; None where nothing is dropped."""
    if not train or rate == 0:
        return None
    return [float(value) for value in np.linspace(0, rate, depth)]
