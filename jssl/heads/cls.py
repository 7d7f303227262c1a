"""Classification by one linear layer: pseudo-labels, rotations, positions."""

from typing import ClassVar

import flax.linen as nn
import jax

from jssl.checks import Checked, Count, DType, NonNegative
from jssl.errors import JsslError
from jssl.layers.pooling import Features, pool_features
from jssl.reference import ENTROPY, Reference


class ClsHead(Checked, nn.Module):
    """A linear layer from features to the logits of classes.

    Attributes:
      in_channels: width of the features, checked against what arrives.
      num_classes: how many logits there are.
      with_avg_pool: pool a backbone's maps first; False takes vectors (B, C).
      vit_backbone: take the class token of a vision transformer.
      init_std: of the initial weights, which are normal; biases start at 0.
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    num_classes: Count
    with_avg_pool: bool = False
    vit_backbone: bool = False
    init_std: NonNegative = 0.01
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(
        losses={'CrossEntropyLoss': {}}, fixed={**ENTROPY, 'loss_weight': 1.0}, initial='init_std'
    )

    @nn.compact
    def __call__(self, features: Features | jax.Array, train: bool = True) -> jax.Array:
        """Features of a backbone, or vectors (B, in_channels) -> logits (B, num_classes)."""
        del train
        x = self._vectors(features)
        if x.shape[-1] != self.in_channels:
            raise JsslError(
                f'config.model.head.in_channels={self.in_channels}, but {x.shape[-1]} channels '
                f'arrive; set config.model.head.in_channels={x.shape[-1]}.'
            )
        return nn.Dense(
            self.num_classes,
            kernel_init=nn.initializers.normal(self.init_std),
            dtype=self.dtype,
            name='fc_cls',
        )(x)

    def _vectors(self, features: Features | jax.Array) -> jax.Array:
        last = features[-1] if isinstance(features, tuple | list) else features
        if self.with_avg_pool or self.vit_backbone:
            return pool_features((last,))
        if isinstance(last, tuple) or last.ndim != 2:
            raise JsslError(
                'config.model.head.with_avg_pool=False takes vectors, and the backbone gives '
                'maps; set config.model.head.with_avg_pool=True or a neck that pools.'
            )
        return last
