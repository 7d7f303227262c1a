"""The encoder of DALL-E's discrete autoencoder: the tokenizer of BEiT and CAE."""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.checks import Checked, Count, Finite
from jssl.reference import Reference
from jssl.target_generators.frozen import FrozenGenerator

GROUPS = 4


class Convolution(Checked, nn.Module):
    """A convolution with as many pixels around it as it takes to keep the size.

    Attributes:
      channels: of the result.
      side: of the kernel in pixels, odd.
    """

    channels: Count
    side: Count

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, c) -> (B, H, W, C)."""
        init = nn.initializers.variance_scaling(1.0, 'fan_in', 'normal')
        kernel = self.param('w', init, (*[self.side] * 2, x.shape[-1], self.channels), jnp.float32)
        bias = self.param('b', nn.initializers.zeros, (self.channels,), jnp.float32)
        border = [(self.side // 2, self.side // 2)] * 2
        layout = ('NHWC', 'HWIO', 'NHWC')
        return bias + jax.lax.conv_general_dilated(
            x, kernel, (1, 1), border, dimension_numbers=layout
        )


class EncoderBlock(Checked, nn.Module):
    """x + scale * residual(x), with a projection of x where the width changes.

    Attributes:
      channels: of the result; the convolutions between have a quarter of them.
      scale: of the residual branch.
    """

    channels: Count
    scale: Finite

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, H, W, c) -> (B, H, W, C)."""
        branch, hidden = x, self.channels // 4
        for index, (channels, side) in enumerate([(hidden, 3)] * 3 + [(self.channels, 1)], 1):
            layer = Convolution(channels, side, name=f'res_path.conv_{index}')
            branch = layer(nn.relu(branch))
        if x.shape[-1] != self.channels:
            x = Convolution(self.channels, 1, name='id_path')(x)
        return x + self.scale * branch


class DALLE(FrozenGenerator):
    """Images in [0.1, 0.9] -> logits of 8192 tokens, one for each 8 x 8 pixels.

    Ramesh, Pavlov, Goh, Gray, Voss, Radford, Chen, Sutskever, "Zero-Shot Text-to-Image Generation",
    ICML 2021, arXiv 2102.12092, section 2.1 and appendix A. `ImageAndTokens` gives such images.

    Attributes:
      weights: see `FrozenGenerator`.
      n_hid: width of the first of four groups of blocks; it doubles from each to the next.
      n_blk_per_group: blocks of a group.
      vocab_size: how many tokens there are.
    """

    n_hid: Count = 256
    n_blk_per_group: Count = 2
    vocab_size: Count = 8192

    published: ClassVar[str] = (
        'https://download.openmmlab.com/mmselfsup/1.x/target_generator_ckpt/dalle_encoder.pth'
    )

    reference: ClassVar[Reference] = Reference(types=('DALL-E',), initial='weights')

    @property
    def num_classes(self) -> int:
        """How many tokens it tells apart."""
        return self.vocab_size

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """(B, H, W, 3) -> float32 (B, H / 8, W / 8, vocab_size)."""
        images = images.astype(jnp.promote_types(images.dtype, jnp.float32))
        x = Convolution(self.n_hid, 7, name='blocks.input')(images)
        scale = (GROUPS * self.n_blk_per_group) ** -2
        for group in range(GROUPS):
            for block in range(self.n_blk_per_group):
                name = f'blocks.group_{group + 1}.block_{block + 1}'
                x = EncoderBlock(self.n_hid * 2**group, scale, name=name)(x)
            if group < GROUPS - 1:
                x = nn.max_pool(x, (2, 2), (2, 2))
        return Convolution(self.vocab_size, 1, name='blocks.output.conv')(nn.relu(x))

    @nn.nowrap
    def rename(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The entries of the encoder."""
        return {key: value for key, value in weights.items() if key.startswith('blocks.')}
