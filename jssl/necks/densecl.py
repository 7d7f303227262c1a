"""The two projections of DenseCL: of the image and of every cell of its map."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType
from jssl.errors import JsslError
from jssl.layers.initializers import torch_linear, torch_linear_bias
from jssl.layers.pooling import Features, adaptive_average_pool, pool_features
from jssl.necks.linear import linear
from jssl.necks.nonlinear import check_width


class DenseCLNeck(Checked, nn.Module):
    """An MLP on the pooled map, and one of 1x1 convolutions on the map itself.

    Wang, Zhang, Shen, Kong, Li, "Dense Contrastive Learning for Self-Supervised Visual
    Pre-Training", CVPR 2021, section 3.2.

    Attributes:
      in_channels: width of the features, checked against what arrives.
      hid_channels: width of both hidden layers.
      out_channels: width of all three outputs.
      num_grid: side S that the map is pooled to before its convolutions; None keeps its own.
      dtype: of the computation; None follows the input.
    """

    in_channels: Count
    hid_channels: Count
    out_channels: Count
    num_grid: Count | None = None
    dtype: DType | None = None

    @nn.compact
    def __call__(
        self, features: Features, train: bool = True
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The backbone's features -> projections of images, of cells, and the mean over cells.

        Returns:
          (B, out_channels); (B, S * S, out_channels), cells row by row; (B, out_channels).

        Raises:
          JsslError: if the backbone gives no map.
        """
        cells = features[-1]
        if isinstance(cells, tuple) or cells.ndim != 4:
            raise JsslError(
                'DenseCLNeck projects every cell of a map, but the backbone gives none; use a '
                'ResNet, whose last output is (B, h, w, C).'
            )
        check_width(self, cells)
        x = nn.relu(linear(self.hid_channels, pool_features(features), self.dtype, 'mlp.0'))
        image = linear(self.out_channels, x, self.dtype, 'mlp.2')
        if self.num_grid is not None:
            cells = adaptive_average_pool(cells, self.num_grid)
        cells = nn.relu(self._convolve(self.hid_channels, cells, 'mlp2.0'))
        cells = self._convolve(self.out_channels, cells, 'mlp2.2')
        wide = jnp.promote_types(cells.dtype, jnp.float32)
        return image, cells.reshape(len(cells), -1, self.out_channels), cells.mean((1, 2), wide)

    def _convolve(self, channels: int, x: jax.Array, name: str) -> jax.Array:
        return nn.Conv(
            channels,
            (1, 1),
            kernel_init=torch_linear,
            bias_init=torch_linear_bias(x.shape[-1]),
            dtype=self.dtype,
            name=name,
        )(x)
