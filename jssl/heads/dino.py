"""The projection heads of DINO and of iBOT."""

import flax.linen as nn
import jax

from jssl.checks import Checked, Count, DType, Several
from jssl.errors import JsslError
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.normalize import l2_normalize
from jssl.layers.weight_norm import WeightNormLinear
from jssl.layers.widen import PRECISION


class DINOHead(Checked, nn.Module):
    """A perceptron, the unit sphere, and a weight-normalised or plain linear layer to K logits.

    Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021, section
    3.1 and appendix C. GELU between the linear layers, a batch norm before it where asked for.

    Attributes:
      in_channels: width of the features, checked against what arrives.
      out_channels: K, at least 2: the probability of one alone is 1 whatever is learned.
      hid_channels: width of the hidden layers.
      bottleneck: width of the unit vectors.
      num_layers: linear layers before these.
      with_bn: whether a batch norm follows each hidden layer; for networks with others.
      norm_last_layer: whether the length of each column of the last layer stays 1. That is stabler;
        trained, it was better for ViT-S in long runs.
      weight_norm: whether columns have lengths of their own at all; DINOv3's last layer is a plain
        matrix.
      dtype: of the perceptron's computation; None follows the input.
    """

    in_channels: Count
    out_channels: Several = 65_536
    hid_channels: Count = 2048
    bottleneck: Count = 256
    num_layers: Count = 3
    with_bn: bool = False
    norm_last_layer: bool = True
    weight_norm: bool = True
    dtype: DType | None = None

    def __call__(self, features: jax.Array, train: bool = True) -> jax.Array:
        """Features (n, in_channels) -> logits (n, out_channels), in at least float32."""
        return self._logits(features, train, 'last_layer', self.out_channels)

    def of_patches(self, features: jax.Array, train: bool = True) -> jax.Array:
        """The same for features of patches, which may have other logits."""
        return self(features, train)

    @property
    def patch_logits(self) -> int:
        """How many logits a patch has."""
        return self.out_channels

    @nn.compact
    def _logits(self, features: jax.Array, train: bool, layer: str, channels: int) -> jax.Array:
        self._check_width(features)
        x = features
        for index in range(self.num_layers - 1):
            x = nn.gelu(self._hidden(x, index, train), approximate=False)
        last = (self.num_layers - 1) * self._stride
        x = l2_normalize(self._linear(self.bottleneck, f'mlp.{last}')(x))
        if self.weight_norm:
            return WeightNormLinear(channels, self.norm_last_layer, name=layer)(x)
        return nn.Dense(
            channels,
            use_bias=False,
            kernel_init=nn.initializers.normal(0.02),
            precision=PRECISION,
            name=layer,
        )(x)

    def _check_width(self, features: jax.Array) -> None:
        if features.shape[-1] != self.in_channels:
            raise JsslError(
                f'config.model.head.in_channels={self.in_channels}, but the backbone gives '
                f'{features.shape[-1]} channels; set '
                f'config.model.head.in_channels={features.shape[-1]}.'
            )

    @property
    def _stride(self) -> int:
        """How many modules of the reference's sequence are a layer: linear, batch norm, GELU."""
        return 3 if self.with_bn else 2

    def _hidden(self, x: jax.Array, index: int, train: bool) -> jax.Array:
        place = index * self._stride
        x = self._linear(self.hid_channels, f'mlp.{place}')(x)
        return BatchNorm(name=f'mlp.{place + 1}')(x, train) if self.with_bn else x

    def _linear(self, features: int, name: str) -> nn.Dense:
        init = nn.initializers.normal(0.02)
        return nn.Dense(features, kernel_init=init, dtype=self.dtype, name=name)

    @nn.nowrap
    def is_frozen(self, name: str) -> bool:
        """Whether the parameter `name` is not trained."""
        return self.norm_last_layer and name.endswith('.weight_g')


class IBOTHead(DINOHead):
    """DINO's head, with a last layer of their own for patches where that is asked for.

    Zhou et al., "iBOT: Image BERT Pre-Training with Online Tokenizer", ICLR 2022, section 3.2.

    Attributes:
      in_channels, out_channels, ...: as `DINOHead`.
      patch_channels: logits of a patch; None for the last layer of class tokens, the shared head.
    """

    patch_channels: Several | None = None

    @property
    def patch_logits(self) -> int:
        """How many logits a patch has."""
        return self.patch_channels or self.out_channels

    def of_patches(self, features: jax.Array, train: bool = True) -> jax.Array:
        """Features (n, in_channels) -> logits (n, patch_channels), in at least float32."""
        if self.patch_channels is None:
            return self(features, train)
        return self._logits(features, train, 'last_layer2', self.patch_channels)
