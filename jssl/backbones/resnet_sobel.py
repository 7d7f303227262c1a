"""A ResNet that sees the edges of an image in place of its colours."""

from functools import partial

import jax

from jssl.backbones.resnet import ResNet
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.sobel import sobel, sobel_filters

LAYERS = ('sobel_layer.sobel.0', 'sobel_layer.sobel.1')


class ResNetSobel(ResNet):
    """ResNet on the two Sobel gradients of the mean colour (Caron et al. 2018, section 3.3).

    The filters are not trained. They stand beside the batch statistics, because the reference saves
    them, and after an initialisation of its own they are not always Sobel's.

    Attributes:
      depth, base_channels, ...: as `ResNet`.
    """

    def _stem(self, images: jax.Array, norm: partial[BatchNorm], train: bool) -> jax.Array:
        first, second = (
            self.variable('batch_stats', name, lambda fixed=fixed: fixed).value
            for name, fixed in zip(LAYERS, sobel_filters(images.shape[-1]), strict=True)
        )
        return super()._stem(sobel(images, (first, second)), norm, train)
