"""Vision transformers with the reference's geometry and parameter names."""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.backbones.arch import find_arch, make_arch
from jssl.backbones.counterpart import Counterpart
from jssl.checks import BelowOne, Checked, Count, DType, NonNegative, Stages
from jssl.errors import JsslError
from jssl.layers.attention import Implementation
from jssl.layers.drop_path import drop_path_rates
from jssl.layers.patches import replace_masked
from jssl.layers.position_embedding import Interpolation, resize_positions, sincos_positions
from jssl.layers.transformer import (
    PatchEmbedding,
    TransformerBlock,
    TransformerInit,
    layer_norm,
    scan_blocks,
)
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class Arch(Checked):
    """The size of a vision transformer.

    Attributes:
      embed_dims: width of the tokens.
      num_layers: number of blocks.
      num_heads: heads of the attention.
      feedforward_channels: hidden width of the feed-forward networks.
    """

    embed_dims: Count
    num_layers: Count
    num_heads: Count
    feedforward_channels: Count


ARCHS = {
    'small': Arch(384, 12, 12, 1536),
    'deit-small': Arch(384, 12, 6, 1536),
    'base': Arch(768, 12, 12, 3072),
    'large': Arch(1024, 24, 16, 4096),
    'huge': Arch(1280, 32, 16, 5120),
}
# What the reference calls them too. Its 's' is left out: another network for every class there.
ARCHS |= {'mocov3-small': ARCHS['small'], 'deit-s': ARCHS['deit-small']}
ARCHS |= {'b': ARCHS['base'], 'l': ARCHS['large'], 'h': ARCHS['huge']}


class VisionTransformer(Checked, nn.Module):
    """ViT (Dosovitskiy et al. 2021), images (B, H, W, C) -> ((map (B, h, w, C), class token),).

    What masked models need is in its call: a token in place of hidden patches (`mask`), or no
    compute for them at all (`ids_keep`). The vision transformers of the algorithms are this one
    with other defaults and initial values.

    Attributes:
      arch: 'small' (that of MoCo v3, with 12 heads), 'deit-small', 'base', 'large', 'huge', or a
        dict with embed_dims, num_layers, num_heads and feedforward_channels.
      img_size: side in pixels of the images that the position table is made for.
      patch_size: side of a patch in pixels.
      fixed_positions: sine-cosine positions that are not trained, in place of learned ones.
      interpolation: of the position table for images of another size, see `resize_positions`.
      final_norm: whether a layer norm `ln1` follows the last block.
      avg_token: give ((B, C),), the mean of the patch tokens after a layer norm `ln2` of its own,
        as the fine-tuning of MAE has it.
      qkv_bias: True for one bias of the joint projection; False for one of query and of value.
      layer_scale: initial value of the blocks' scales; None for none.
      use_rel_pos_bias: whether each block's attention learns a bias by relative position, as BEiT
        has it; images must then have `img_size`.
      drop_path_rate: of the last block's branches; it grows linearly from 0 at the first. Needs a
        random stream, see `DropPath`.
      frozen_stages: -1 trains everything; 0 freezes patch embedding, class token and positions; i
        the first i blocks too; the number of blocks also the final norm.
      remat: compute each block again in the backward pass instead of keeping its activations.
      scan_layers: compile one block and loop over it. Parameters are then stacked, under `layers`;
        exported weights are not.
      implementation: of the attention: 'xla', 'cudnn' or None for JAX's choice.
      dtype: of the computation (parameters stay as they are); None follows the input.

    Raises:
      JsslError: at construction for an arch, an image size or frozen stages that cannot be built;
        at a call, for images that do not divide into patches, or that the biases are not made for,
        and for `ids_keep` with such biases.
    """

    arch: str | Mapping[str, Count] = 'base'
    img_size: Count = 224
    patch_size: Count = 16
    fixed_positions: bool = False
    interpolation: Interpolation = 'plain'
    final_norm: bool = True
    avg_token: bool = False
    qkv_bias: bool = True
    layer_scale: NonNegative | None = None
    use_rel_pos_bias: bool = False
    drop_path_rate: BelowOne = 0.0
    frozen_stages: Stages = -1
    remat: bool = False
    scan_layers: bool = False
    implementation: Implementation = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(fixed={'output_cls_token': True})
    counterpart: ClassVar[Counterpart | None] = None

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        _ = self.size
        if self.img_size % self.patch_size:
            raise JsslError(
                f'config.model.backbone.img_size={self.img_size} is no multiple of '
                f'config.model.backbone.patch_size={self.patch_size}; change one of them.'
            )
        self._check_frozen_stages()

    def _check_frozen_stages(self) -> None:
        depth = self.size.num_layers
        if self.frozen_stages > depth:
            raise JsslError(
                f'config.model.backbone.frozen_stages={self.frozen_stages} must be -1 (none) to '
                f'{depth} (all).'
            )
        if self.scan_layers and 0 < self.frozen_stages < depth:
            raise JsslError(
                f'config.model.backbone.frozen_stages={self.frozen_stages} freezes some of the '
                'blocks, which config.model.backbone.scan_layers=True holds in one parameter; set '
                'it to False.'
            )

    @property
    def size(self) -> Arch:
        """The widths and the depth that `arch` names."""
        if isinstance(self.arch, str):
            return find_arch(ARCHS, self.arch)
        return make_arch(Arch, self.arch)

    @property
    def init_values(self) -> TransformerInit:
        """How patch projection, tokens and blocks begin."""
        return TransformerInit(ffn_bias=nn.initializers.normal(1e-6))

    @property
    def _grid(self) -> int:
        """Patches along a side of the images that the tables are made for."""
        return self.img_size // self.patch_size

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        train: bool = True,
        mask: jax.Array | None = None,
        ids_keep: jax.Array | None = None,
    ) -> Any:
        """Features of whole images, or tokens of the patches that `ids_keep` chooses.

        Args:
          images: (B, H, W, C).
          train: matters to drop path alone.
          mask: (B, h, w), not 0 for patches in whose place the mask token stands; None for none.
          ids_keep: int (B, n), the patches to compute, by their row-major number; None for all.

        Returns:
          As the class says; with `ids_keep` (B, 1 + n, C), class token first, patches in the order
          of `ids_keep`.
        """
        patches = self._hide(self._patch_tokens(images), mask)
        rows, columns = patches.shape[1:3]
        cls_token, patches = self._embed(patches)
        patches = self._keep(patches.reshape(len(images), rows * columns, -1), ids_keep)
        x = self._transform(jnp.concatenate([cls_token, patches], axis=1), train)
        return x if ids_keep is not None else self._outputs(x, rows, columns)

    def _hide(self, patches: jax.Array, mask: jax.Array | None) -> jax.Array:
        """The patch tokens (B, h, w, C) with the mask token where `mask` is not 0."""
        if mask is None:
            return patches
        token = self.param('mask_token', self.init_values.token, (1, 1, patches.shape[-1]))
        return replace_masked(patches, mask, token)

    def _keep(self, patches: jax.Array, ids_keep: jax.Array | None) -> jax.Array:
        """The patch tokens (B, n, C) of `ids_keep` out of all (B, h w, C)."""
        if ids_keep is None:
            return patches
        if self.use_rel_pos_bias:
            raise JsslError(
                'config.model.backbone.use_rel_pos_bias=True has biases between all patches of an '
                'image, and this model hides some from the backbone; it is for fine-tuning. Leave '
                'it out.'
            )
        return jnp.take_along_axis(patches, ids_keep[..., None], axis=1)

    def _transform(self, x: jax.Array, train: bool) -> jax.Array:
        """The blocks and the final norm: tokens (B, N, C) -> (B, N, C)."""
        x = self._blocks(self._freeze(x, 0), train)
        return layer_norm('ln1', self.dtype)(x) if self.final_norm else x

    def _freeze(self, x: jax.Array, stage: int) -> jax.Array:
        return jax.lax.stop_gradient(x) if stage <= self.frozen_stages else x

    def _embed(self, patches: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Class tokens (B, 1, C) and patch tokens (B, h, w, C), both with their positions."""
        batch, rows, columns, width = patches.shape
        self._check_grid(rows, columns)
        positions = resize_positions(
            self._positions(), (rows, columns), interpolation=self.interpolation
        ).astype(patches.dtype)
        cls_token = self.param('cls_token', self.init_values.token, (1, 1, width))
        cls_token = cls_token.astype(patches.dtype) + positions[:, :1]
        patches += positions[:, 1:].reshape(1, rows, columns, width)
        return jnp.broadcast_to(cls_token, (batch, 1, width)), patches

    def _check_grid(self, rows: int, columns: int) -> None:
        if self.use_rel_pos_bias and (rows, columns) != (self._grid, self._grid):
            raise JsslError(
                f'config.model.backbone.use_rel_pos_bias=True has biases for {self._grid} x '
                f'{self._grid} patches, and the images have {rows} x {columns}; set '
                f'config.model.backbone.img_size={rows * self.patch_size}, to whose grid loaded '
                'weights are resized.'
            )

    def _patch_tokens(self, images: jax.Array) -> jax.Array:
        return PatchEmbedding(
            self.size.embed_dims,
            self.patch_size,
            kernel_init=self.init_values.patch,
            bias_init=self.init_values.patch_bias,
            dtype=self.dtype,
            name='patch_embed',
        )(images)

    def _positions(self) -> jax.Array:
        """The position table (1, 1 + tokens, C); a fixed one is stored, as in the reference."""
        grid, width = self._grid, self.size.embed_dims
        if not self.fixed_positions:
            init = nn.initializers.normal(0.02)
            return self.param('pos_embed', init, (1, 1 + grid * grid, width))
        table = self.param('pos_embed', lambda key: jnp.asarray(sincos_positions(grid, width)))
        return jax.lax.stop_gradient(table)

    def _blocks(self, x: jax.Array, train: bool) -> jax.Array:
        depth = self.size.num_layers
        rates = drop_path_rates(self.drop_path_rate, depth, train)
        if self.scan_layers:
            stacked = None if rates is None else jnp.asarray(rates)
            return scan_blocks(self._block('layers'), x, depth, stacked)
        for index in range(depth):
            block = self._block(f'layers.{index}')
            x = self._freeze(block(x, None if rates is None else rates[index]), index + 1)
        return x

    def _block(self, name: str) -> nn.Module:
        size = self.size
        block = nn.remat(TransformerBlock) if self.remat else TransformerBlock
        return block(
            size.num_heads,
            size.feedforward_channels,
            qkv_bias=self.qkv_bias,
            layer_scale=self.layer_scale,
            relative_side=self._grid if self.use_rel_pos_bias else None,
            init_values=self.init_values,
            implementation=self.implementation,
            dtype=self.dtype,
            name=name,
        )

    def _outputs(self, x: jax.Array, rows: int, columns: int) -> tuple[Any, ...]:
        patches = x[:, -rows * columns :]
        if self.avg_token:
            wide = jnp.promote_types(x.dtype, jnp.float32)
            mean = layer_norm('ln2', self.dtype)(patches.mean(axis=1, dtype=wide))
            return (self._freeze(mean, self.size.num_layers),)
        cls_token = self._freeze(x[:, 0], self.size.num_layers)
        patches = self._freeze(patches, self.size.num_layers)
        return ((patches.reshape(len(x), rows, columns, -1), cls_token),)

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The blocks, in order; they are counted from 1."""
        return tuple(f'layers.{index}' for index in range(self.size.num_layers))

    @nn.nowrap
    def is_frozen(self, name: str) -> bool:
        """Whether the parameter `name`, such as ``layers.0.ln1.scale``, is not trained."""
        stage = min(self._stage(name), self.size.num_layers)
        return stage <= self.frozen_stages or (self.fixed_positions and name == 'pos_embed')

    @nn.nowrap
    def get_layer_depth(self, name: str) -> tuple[int, int]:
        """The depth of the parameter `name`, and the number of depths (Bao et al. 2022, BEiT).

        The embedding is 0, the i-th block i, all else the last.

        Raises:
          JsslError: where the layers are stacked in one parameter.
        """
        if self.scan_layers:
            raise JsslError(
                'optimizer.layer_decay_rate needs a learning rate of its own for every layer, and '
                'config.model.backbone.scan_layers=True stacks them in one parameter; set it to '
                'False.'
            )
        return self._stage(name), self.size.num_layers + 2

    @nn.nowrap
    def _stage(self, name: str) -> int:
        """0 for the embedding, i for the i-th block, the number of blocks + 1 for what follows."""
        if name.startswith(('cls_token', 'mask_token', 'pos_embed', 'patch_embed')):
            return 0
        if name.startswith('layers.') and not self.scan_layers:
            return int(name.split('.')[1]) + 1
        return self.size.num_layers + 1
