"""SwAV's prototypes: what the projections are compared with."""

from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, Natural, Several, Temperature, distinct
from jssl.errors import JsslError, show
from jssl.layers.initializers import torch_linear
from jssl.layers.widen import PRECISION
from jssl.reference import Reference


class SwAVHead(Checked, nn.Module):
    """Scores of projections against prototypes, and how codes are made of them.

    Attributes:
      feat_dim: width of the projections, checked against what arrives.
      num_prototypes: K, at least 2.
      epsilon: of the Sinkhorn iterations; the smaller, the harder the codes.
      sinkhorn_iterations: how many there are.
      sinkhorn_group_size: images over which the prototypes are used alike; None for the batch, as
        in the paper. The reference balances the images of each device by themselves.
      temperature: of the predictions.
      crops_for_assign: the views whose codes the others predict.
      num_crops: views of each size; their sum is how many there must be.

    Raises:
      JsslError: for a number that is not positive, or a view to assign that there is not.
    """

    feat_dim: Count
    num_prototypes: Several = 3000
    epsilon: Temperature = 0.05
    sinkhorn_iterations: Count = 3
    sinkhorn_group_size: Count | None = None
    temperature: Temperature = 0.1
    crops_for_assign: tuple[Natural, ...] = (0, 1)
    num_crops: tuple[Count, ...] = (2,)

    reference: ClassVar[Reference] = Reference(losses={'SwAVLoss': {}})

    def __post_init__(self) -> None:
        """Refuses views that there are not."""
        super().__post_init__()
        views = sum(self.num_crops)
        if not distinct(self.crops_for_assign, range(views)):
            raise JsslError(
                f'config.model.head.crops_for_assign={show(tuple(self.crops_for_assign))} must '
                f'name some of the views 0 to {views - 1}, which '
                f'config.model.head.num_crops={show(tuple(self.num_crops))} makes.'
            )

    @nn.compact
    def __call__(self, projections: jax.Array, train: bool = True) -> jax.Array:
        """Unit projections (n, feat_dim) -> scores (n, num_prototypes), in at least float32."""
        if projections.shape[-1] != self.feat_dim:
            raise JsslError(
                f'config.model.head.feat_dim={self.feat_dim}, but the neck gives '
                f'{projections.shape[-1]} channels; set '
                f'config.model.head.feat_dim={projections.shape[-1]}.'
            )
        return nn.Dense(
            self.num_prototypes,
            use_bias=False,
            kernel_init=torch_linear,
            precision=PRECISION,
            name='loss.prototypes',
        )(projections.astype(jnp.promote_types(projections.dtype, jnp.float32)))
