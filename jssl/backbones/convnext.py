"""ConvNeXt, of the first version and of the second, with MMPretrain's parameter names."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jssl.backbones.arch import check_stages, find_arch, make_arch
from jssl.checks import (
    BelowOne,
    Blocks,
    Checked,
    Count,
    DType,
    Natural,
    NonNegative,
    Positive,
)
from jssl.layers.drop_path import DropPath, drop_path_rates
from jssl.layers.layer_norm import layer_norm
from jssl.layers.rows import by_rows
from jssl.reference import Reference

GROUP = 3  # blocks that have one learning rate where it decays by layer


@dataclasses.dataclass(frozen=True)
class ConvNeXtArch(Checked):
    """The size of a ConvNeXt.

    Attributes:
      depths: blocks of each stage.
      channels: width of each stage.
    """

    depths: Sequence[Blocks]
    channels: Sequence[Count]


def _arch(first: int, *depths: int) -> ConvNeXtArch:
    return ConvNeXtArch(depths, tuple(first * 2**stage for stage in range(len(depths))))


ARCHS = {
    'atto': _arch(40, 2, 2, 6, 2),
    'femto': _arch(48, 2, 2, 6, 2),
    'pico': _arch(64, 2, 2, 6, 2),
    'nano': _arch(80, 2, 2, 8, 2),
    'tiny': _arch(96, 3, 3, 9, 3),
    'small': _arch(96, 3, 3, 27, 3),
    'base': _arch(128, 3, 3, 27, 3),
    'large': _arch(192, 3, 3, 27, 3),
    'xlarge': _arch(256, 3, 3, 27, 3),
    'huge': _arch(352, 3, 3, 27, 3),
}


class ResponseNorm(nn.Module):
    """Global response normalisation (Woo et al. 2023, equations 1 to 3).

    How much a channel answers to the whole image, over what all answer on average, scales it.
    """

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """(B, h, w, C) -> the same."""
        gamma, beta = (
            self.param(name, nn.initializers.zeros, (x.shape[-1],)) for name in ('gamma', 'beta')
        )
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        rows = wide.reshape(len(x), -1, x.shape[-1])
        norms = optax.safe_norm(rows, 0.0, axis=1, keepdims=True)[:, None]
        share = norms / (norms.mean(axis=-1, keepdims=True) + 1e-6)
        return (wide + gamma * (wide * share) + beta).astype(x.dtype)


class ConvNeXtBlock(Checked, nn.Module):
    """x += gamma FFN(LN(DepthwiseConv(x))) on a map (Liu et al. 2022, figure 4).

    Attributes:
      use_grn: whether `ResponseNorm` stands in the feed-forward network.
      layer_scale: initial value of the scales gamma; None or 0 for a block without them.
      init_std: standard deviation of the initial kernels.
      dtype: of the computation; None follows the input.
    """

    use_grn: bool
    layer_scale: NonNegative | None
    init_std: NonNegative = 0.02
    dtype: DType | None = None

    @nn.compact
    def __call__(self, x: jax.Array, drop_rate: jax.Array | float | None = None) -> jax.Array:
        """(B, h, w, C) -> the same; with `drop_rate` the branch goes through `DropPath`."""
        width = x.shape[-1]
        init: Any = dict(kernel_init=nn.initializers.normal(self.init_std), dtype=self.dtype)
        y = nn.Conv(
            width, (7, 7), padding=3, feature_group_count=width, name='depthwise_conv', **init
        )(x)
        y = layer_norm('norm', self.dtype)(y)
        y = by_rows(nn.Dense(4 * width, name='pointwise_conv1', **init), y)
        y = nn.gelu(y, approximate=False)
        y = ResponseNorm(name='grn')(y) if self.use_grn else y
        y = by_rows(nn.Dense(width, name='pointwise_conv2', **init), y)
        if self.layer_scale:
            gamma = self.param('gamma', nn.initializers.constant(self.layer_scale), (width,))
            y *= gamma.astype(y.dtype)
        return x + DropPath()(y, drop_rate)


class ConvNeXt(Checked, nn.Module):
    """ConvNeXt (Liu et al. 2022), images (B, H, W, C) -> tuple of vectors or maps.

    Attributes:
      arch: 'atto', 'femto', 'pico', 'nano', 'tiny', 'small', 'base', 'large', 'xlarge', 'huge', or
        a dict with depths and channels.
      stem_patch_size: side of a patch in pixels; what is left over at the border is cut off.
      out_indices: stages whose outputs to return, from 0; each has a layer norm of its own.
      gap_before_final_norm: return the normalised means (B, c) of the maps, as classifiers take
        them, and not normalised maps (B, h, w, c).
      final_norm: whether outputs are normalised; else they are the maps as they are, as of a
        network that was pre-trained without norms (Woo et al. 2023, FCMAE).
      use_grn: whether blocks have `ResponseNorm`, which makes it the second version.
      layer_scale: initial value of the scales of blocks; None or 0 for none.
      norm_epsilon: of the norms of the outputs; that of all others is 1e-6.
      drop_path_rate: of the last block; it grows linearly from 0 at the first. Needs a random
        stream, see `DropPath`.
      init_std: standard deviation of the initial kernels. The usual one is for widths of hundreds;
        a narrow network needs about sqrt(1 / width) to learn well.
      remat: compute each block again in the backward pass instead of keeping its activations.
      dtype: of the computation (parameters stay as they are); None follows the input.

    Raises:
      JsslError: at construction for an arch or out_indices that cannot be built.
    """

    arch: str | Mapping[str, Any] = 'tiny'
    stem_patch_size: Count = 4
    out_indices: Sequence[Natural] = (3,)
    gap_before_final_norm: bool = True
    final_norm: bool = True
    use_grn: bool = False
    layer_scale: NonNegative | None = 1e-6
    norm_epsilon: Positive = 1e-6
    drop_path_rate: BelowOne = 0.0
    init_std: NonNegative = 0.02
    remat: bool = False
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(
        fields={'layer_scale_init_value': 'layer_scale'},
        fixed={'in_channels': 3, 'frozen_stages': 0, 'linear_pw_conv': True},
        epsilon=1e-6,
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        check_stages(self.arch, self.size, 'channels', self.out_indices)

    @property
    def size(self) -> ConvNeXtArch:
        """The widths and depths that `arch` names."""
        if isinstance(self.arch, str):
            return find_arch(ARCHS, self.arch)
        return make_arch(ConvNeXtArch, self.arch)

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array, ...]:
        """Features of `images`; `train` matters to drop path alone."""
        depths = self.size.depths
        rates = drop_path_rates(self.drop_path_rate, sum(depths), train)
        outputs, x = {}, images
        for stage, depth in enumerate(depths):
            x = self._downsample(x, stage)
            before = sum(depths[:stage])
            for index in range(depth):
                x = self._block(stage, index)(x, None if rates is None else rates[before + index])
            if stage in self.out_indices:
                outputs[stage] = self._output(x, stage)
        return tuple(outputs[stage] for stage in self.out_indices)

    def _downsample(self, x: jax.Array, stage: int) -> jax.Array:
        """The map (B, h, w, c) at the begin of a stage, of patches or of the map before."""
        name, side = f'downsample_layers.{stage}', 2 if stage else self.stem_patch_size
        if stage:
            x = layer_norm(f'{name}.0', self.dtype)(x)
        x = nn.Conv(
            self.size.channels[stage],
            (side, side),
            strides=side,
            padding='VALID',
            kernel_init=nn.initializers.normal(self.init_std),
            dtype=self.dtype,
            name=f'{name}.{1 if stage else 0}',
        )(x)
        return x if stage else layer_norm(f'{name}.1', self.dtype)(x)

    def _block(self, stage: int, index: int) -> nn.Module:
        block = nn.remat(ConvNeXtBlock) if self.remat else ConvNeXtBlock
        return block(
            self.use_grn,
            self.layer_scale,
            init_std=self.init_std,
            dtype=self.dtype,
            name=f'stages.{stage}.{index}',
        )

    def _output(self, x: jax.Array, stage: int) -> jax.Array:
        if not self.final_norm:
            return x
        if self.gap_before_final_norm:
            x = x.mean(axis=(1, 2), dtype=jnp.promote_types(x.dtype, jnp.float32))
        return layer_norm(f'norm{stage}', self.dtype, self.norm_epsilon)(x)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The block that each stage ends with, in order; they are counted from 1."""
        depths = enumerate(self.size.depths)
        return tuple(f'stages.{stage}.{depth - 1}' for stage, depth in depths)

    @nn.nowrap
    def get_layer_depth(self, name: str) -> tuple[int, int]:
        """The depth of the parameter `name`, and the number of depths (Liu et al. 2022, A.2).

        The stem is 0; three blocks that follow each other in a stage share one, of which the first
        has what is before the stage too; the last one is that of all else.
        """
        groups = [-(-depth // GROUP) for depth in self.size.depths]
        last = sum(groups) + 1
        kind, stage, *rest = name.split('.')
        if kind == 'downsample_layers' and stage == '0':
            return 0, last + 1
        if kind not in ('downsample_layers', 'stages'):
            return last, last + 1
        block = int(rest[0]) if kind == 'stages' else 0
        return sum(groups[: int(stage)]) + block // GROUP + 1, last + 1
