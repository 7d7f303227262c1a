"""Swin transformers with the reference's geometry and parameter names."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax

from jssl.backbones.arch import check_stages, find_arch, make_arch
from jssl.backbones.counterpart import Counterpart
from jssl.checks import (
    BelowOne,
    Blocks,
    Checked,
    Count,
    DType,
    Natural,
    NonNegative,
    Side,
)
from jssl.layers.attention import Implementation
from jssl.layers.drop_path import DropPath, drop_path_rates
from jssl.layers.initializers import torch_linear, torch_linear_bias
from jssl.layers.layer_norm import layer_norm
from jssl.layers.patches import replace_masked
from jssl.layers.position_embedding import resize_positions
from jssl.layers.rows import by_rows
from jssl.layers.transformer import FeedForward, PatchEmbedding
from jssl.layers.window_attention import ShiftedWindowAttention, Shifting, pad_to_multiple
from jssl.reference import Reference

EPSILON = 1e-5  # of all layer norms


@dataclasses.dataclass(frozen=True)
class SwinArch(Checked):
    """The size of a Swin transformer.

    Attributes:
      embed_dims: width of the tokens of the first stage; each later stage doubles it.
      depths: blocks of each stage.
      num_heads: heads of the attention in each stage.
    """

    embed_dims: Count
    depths: Sequence[Blocks]
    num_heads: Sequence[Count]


ARCHS = {
    'tiny': SwinArch(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    'small': SwinArch(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    'base': SwinArch(128, (2, 2, 18, 2), (4, 8, 16, 32)),
    'large': SwinArch(192, (2, 2, 18, 2), (6, 12, 24, 48)),
}
ARCHS |= {name[0]: arch for name, arch in ARCHS.items()}  # as the reference calls them too


class SwinBlock(Checked, nn.Module):
    """x += Attention(LN(x)); x += FFN(LN(x)) on a map (Liu et al. 2021, equation 3).

    Attributes:
      num_heads: heads of the attention.
      window_size: side of a window in tokens.
      shift: whether the windows are shifted.
      pad_small_map: see `ShiftedWindowAttention`.
      shifting: see there.
      init_std: standard deviation of the initial kernels.
      implementation: of the attention.
      dtype: of the computation; None follows the input.
    """

    num_heads: Count
    window_size: Count
    shift: bool
    pad_small_map: bool = False
    shifting: Shifting = 'plain'
    init_std: NonNegative = 0.02
    implementation: Implementation = None
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array, drop_rate: jax.Array | float | None = None) -> jax.Array:
        """(B, h, w, C) -> (B, h, w, C); with `drop_rate` both branches go through `DropPath`."""
        init = nn.initializers.normal(self.init_std)
        attention = ShiftedWindowAttention(
            self.num_heads,
            self.window_size,
            self.shift,
            pad_small_map=self.pad_small_map,
            shifting=self.shifting,
            kernel_init=init,
            implementation=self.implementation,
            dtype=self.dtype,
            name='attn',
        )
        feed_forward = FeedForward(4 * x.shape[-1], init, dtype=self.dtype, name='ffn')
        x += DropPath()(attention(layer_norm('norm1', self.dtype, EPSILON)(x)), drop_rate)
        return x + DropPath()(feed_forward(layer_norm('norm2', self.dtype, EPSILON)(x)), drop_rate)


class PatchMerging(Checked, nn.Module):
    """Joins 2 x 2 tokens into one of twice the width (Liu et al. 2021, section 3.1).

    Each window is flattened channel by channel, as the reference does it; the original release has
    the position slow.

    Attributes:
      init_std: standard deviation of the initial kernel.
      dtype: of the computation; None follows the input.
    """

    init_std: NonNegative = 0.02
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, h, w, C) -> (B, ceil(h / 2), ceil(w / 2), 2 C)."""
        channels = x.shape[-1]
        x = pad_to_multiple(x, 2)
        batch, rows, columns, _ = x.shape
        x = x.reshape(batch, rows // 2, 2, columns // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
        x = layer_norm('norm', self.dtype, EPSILON)(x.reshape(*x.shape[:3], -1))
        reduction = nn.Dense(
            2 * channels,
            use_bias=False,
            kernel_init=nn.initializers.normal(self.init_std),
            dtype=self.dtype,
            name='reduction',
        )
        return by_rows(reduction, x)


class SwinTransformer(Checked, nn.Module):
    """Swin (Liu et al. 2021), images (B, H, W, C) -> tuple of maps (B, h, w, c).

    Attributes:
      arch: 'tiny', 'small', 'base', 'large', or a dict with embed_dims, depths and num_heads.
      img_size: side in pixels of the images that absolute positions are made for.
      patch_size: side of a patch in pixels.
      window_size: side of a window in tokens.
      out_indices: stages whose maps to return, from 0; each has a layer norm of its own.
      use_abs_pos_embed: whether a learned table of positions is added to the tokens.
      pad_small_map: see `ShiftedWindowAttention`.
      shifting: see there; it matters to images whose maps are not made of whole windows, or of one.
      drop_path_rate: of the last block's branches; it grows linearly from 0 at the first. Needs a
        random stream, see `DropPath`.
      init_std: standard deviation of the initial kernels of blocks and patch mergings. The usual
        one is for widths of hundreds; a narrow network needs about sqrt(1 / width) to learn well.
      remat: compute each block again in the backward pass instead of keeping its activations.
      implementation: of the attention: 'xla' or None, see `attend`.
      dtype: of the computation (parameters stay as they are); None follows the input.

    Raises:
      JsslError: at construction for an arch or out_indices that cannot be built; at a call, for
        images that do not divide into patches or are too small for the windows.
    """

    arch: str | Mapping[str, Any] = 'tiny'
    img_size: Side = 224
    patch_size: Count = 4
    window_size: Count = 7
    out_indices: Sequence[Natural] = (3,)
    use_abs_pos_embed: bool = False
    pad_small_map: bool = False
    shifting: Shifting = 'plain'
    drop_path_rate: BelowOne = 0.1
    init_std: NonNegative = 0.02
    remat: bool = False
    implementation: Implementation = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(epsilon=EPSILON)
    counterpart: ClassVar[Counterpart | None] = None

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        check_stages(self.arch, self.size, 'num_heads', self.out_indices)

    @property
    def size(self) -> SwinArch:
        """The widths and depths that `arch` names."""
        if isinstance(self.arch, str):
            return find_arch(ARCHS, self.arch)
        return make_arch(SwinArch, self.arch)

    @nn.compact
    def __call__(
        self, images: jax.Array, train: bool = True, mask: jax.Array | None = None
    ) -> tuple[jax.Array, ...]:
        """Features of `images`.

        Args:
          images: (B, H, W, C).
          train: matters to drop path alone.
          mask: (B, h, w), not 0 for patches in whose place the mask token stands; None for none.
        """
        tokens = self._hide(self._embed(images), mask)
        return self._stages(self._add_positions(tokens), train)

    def _hide(self, tokens: jax.Array, mask: jax.Array | None) -> jax.Array:
        """The tokens (B, h, w, C) with the mask token where `mask` is not 0."""
        if mask is None:
            return tokens
        init = nn.initializers.normal(0.02)
        token = self.param('mask_token', init, (1, 1, tokens.shape[-1]))
        return replace_masked(tokens, mask, token)

    def _embed(self, images: jax.Array) -> jax.Array:
        """Tokens (B, h, w, C) of the patches."""
        return PatchEmbedding(
            self.size.embed_dims,
            self.patch_size,
            norm=True,
            kernel_init=torch_linear,
            bias_init=torch_linear_bias,
            dtype=self.dtype,
            name='patch_embed',
        )(images)

    def _add_positions(self, tokens: jax.Array) -> jax.Array:
        if not self.use_abs_pos_embed:
            return tokens
        _, rows, columns, width = tokens.shape
        shape = (1, (self.img_size // self.patch_size) ** 2, width)
        table = self.param('absolute_pos_embed', nn.initializers.normal(0.02), shape)
        table = resize_positions(table, (rows, columns), extra_tokens=0)
        return tokens + table.reshape(1, rows, columns, width).astype(tokens.dtype)

    def _stages(self, x: jax.Array, train: bool) -> tuple[jax.Array, ...]:
        depths = self.size.depths
        rates = drop_path_rates(self.drop_path_rate, sum(depths), train)
        features = {}
        for stage, depth in enumerate(depths):
            before = sum(depths[:stage])
            for index in range(depth):
                rate = None if rates is None else rates[before + index]
                x = self._block(stage, index)(x, rate)
            if stage in self.out_indices:
                features[stage] = layer_norm(f'norm{stage}', self.dtype, EPSILON)(x)
            if stage + 1 < len(depths):
                name = f'stages.{stage}.downsample'
                x = PatchMerging(self.init_std, dtype=self.dtype, name=name)(x)
        return tuple(features[stage] for stage in self.out_indices)

    def _block(self, stage: int, index: int) -> nn.Module:
        block = nn.remat(SwinBlock) if self.remat else SwinBlock
        return block(
            self.size.num_heads[stage],
            self.window_size,
            shift=index % 2 == 1,
            pad_small_map=self.pad_small_map,
            shifting=self.shifting,
            init_std=self.init_std,
            implementation=self.implementation,
            dtype=self.dtype,
            name=f'stages.{stage}.blocks.{index}',
        )

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The block that each stage ends with, in order; they are counted from 1."""
        depths = enumerate(self.size.depths)
        return tuple(f'stages.{stage}.blocks.{depth - 1}' for stage, depth in depths)

    @nn.nowrap
    def get_layer_depth(self, name: str) -> tuple[int, int]:
        """The depth of the parameter `name`, and the number of depths, as in the reference.

        The patch embedding is 0, the i-th block of all i, a patch merging as the block before it,
        all else (absolute positions too) the last.
        """
        depths = self.size.depths
        last = sum(depths) + 1
        if name.startswith(('mask_token', 'patch_embed')):
            return 0, last + 1
        if not name.startswith('stages.'):
            return last, last + 1
        _, stage, part, *rest = name.split('.')
        within = int(rest[0]) + 1 if part == 'blocks' else depths[int(stage)]
        return sum(depths[: int(stage)]) + within, last + 1
