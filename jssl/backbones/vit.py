"""Vision transformers with the reference's geometry and parameter names."""

import operator
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.backbones.arch import find_arch, make_arch
from jssl.backbones.counterpart import Counterpart
from jssl.backbones.vit_checks import RELATIVE, check_depths, check_fields, check_grid
from jssl.backbones.vit_sizes import ARCHS, Arch
from jssl.checks import (
    BelowOne,
    Checked,
    Count,
    DType,
    Natural,
    NonNegative,
    Positive,
    Side,
    Stages,
)
from jssl.errors import JsslError
from jssl.layers.attention import Implementation
from jssl.layers.drop_path import draw_subsets, drop_path_key, drop_path_rates
from jssl.layers.gather import take_tokens
from jssl.layers.layer_norm import LayerNorm, layer_norm
from jssl.layers.patches import replace_masked
from jssl.layers.position_embedding import (
    BiasInterpolation,
    Interpolation,
    resize_positions,
    sincos_positions,
)
from jssl.layers.relative_attention import RelativePositionBias
from jssl.layers.rotary import Rotation, make_rotary, rotary_tables
from jssl.layers.transformer import (
    Activation,
    FeedForwardKind,
    PatchEmbedding,
    TransformerBlock,
    TransformerInit,
    scan_blocks,
)
from jssl.reference import Reference

Places = tuple[Rotation | None, jax.Array | None]  # turns and biases, stacked over the blocks
# How the names of parameters begin that come before the blocks.
TOKENS = ('cls_token', 'register_tokens', 'mask_token')
EMBEDDING = (*TOKENS, 'pos_embed', 'patch_embed', 'rel_pos_bias')


class VisionTransformer(Checked, nn.Module):
    """ViT (Dosovitskiy et al. 2021), images (B, H, W, C) -> ((map (B, h, w, C), class token),).

    Without a class token it gives (map,).

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
      rotary: a dict with fields of `jssl.layers.rotary.Rotary`, {} for its defaults, to turn
        queries and keys of patches by their place.
      use_abs_pos_emb: whether there is a table of positions; None for one where there are no
        rotary ones.
      with_cls_token: whether a class token comes before the patches.
      num_registers: tokens without a position between class token and patches, which take part in
        attention and are not given out (Darcet et al. 2024); DINOv3 calls them storage tokens.
      final_norm: whether a layer norm `ln1` follows the last block.
      avg_token: give ((B, C),), the mean of patch tokens after a norm `ln2` of its own, as MAE's.
      qkv_bias: True for one bias of the joint projection; False for one of query and of value.
      mask_k_bias: leave the key out of the joint bias, see `SelfAttention`.
      attn_sub_norm: whether a layer norm stands before the last layer of the attention (sub-LN).
      ffn: the feed-forward network, 'mlp', 'swiglu' or 'swiglu_fused', see `TransformerBlock`.
      ffn_sub_norm: whether a layer norm stands before its last layer (sub-LN), as in EVA-02.
      activation: of 'mlp', 'gelu' or 'gelu_tanh', see `FeedForward`.
      swiglu_multiple: of which the width of a gated network is a multiple, see `SwiGLU`.
      layer_scale: initial value of the blocks' scales; None for none.
      norm_epsilon: of all layer norms.
      local_cls_norm: whether class token and registers of local crops have a final norm of their
        own, which no other image goes through (Simeoni et al. 2025, DINOv3).
      use_rel_pos_bias: whether each block's attention learns a bias by relative position, as BEiT
        has it; images must then have `img_size`.
      use_shared_rel_pos_bias: whether one table of such biases is that of all blocks, as in the
        pre-training of BEiT.
      bias_interpolation: of such tables, where they are loaded for images of another size, see
        `resize_biases`.
      drop_path_rate: of the last block's branches, from 0 at the first, see `DropPath`.
      drop_subsets: drop path with the same rate in every block that computes each branch for some
        of the samples alone, as in DINOv2, see `draw_subsets`.
      frozen_stages: -1 trains everything; 0 freezes patch embedding, class token and positions; i
        the first i blocks too; the number of blocks also the final norm.
      remat: compute each block again in the backward pass instead of keeping its activations.
      scan_layers: compile one block and loop over it; parameters, not exports, are then stacked.
      implementation: of the attention: 'xla', 'cudnn' or None, see `attend`.
      dtype: of the computation (parameters stay as they are); None follows the input.

    Raises:
      JsslError: at construction for an arch, an image size, frozen stages or fields that cannot go
        together; at a call, for images that do not divide into patches, or that the biases are not
        made for, for `ids_keep` with such biases, and for random rotary positions without draws.
    """

    arch: str | Mapping[str, Count] = 'base'
    img_size: Side = 224
    patch_size: Count = 16
    fixed_positions: bool = False
    interpolation: Interpolation = 'plain'
    rotary: Mapping[str, Any] | None = None
    use_abs_pos_emb: bool | None = None
    with_cls_token: bool = True
    num_registers: Natural = 0
    final_norm: bool = True
    avg_token: bool = False
    qkv_bias: bool = True
    mask_k_bias: bool = False
    attn_sub_norm: bool = False
    ffn: FeedForwardKind = 'mlp'
    ffn_sub_norm: bool = False
    activation: Activation = 'gelu'
    swiglu_multiple: Count = 8
    layer_scale: NonNegative | None = None
    norm_epsilon: Positive = 1e-6
    local_cls_norm: bool = False
    use_rel_pos_bias: bool = False
    use_shared_rel_pos_bias: bool = False
    bias_interpolation: BiasInterpolation = 'plain'
    drop_path_rate: BelowOne = 0.0
    drop_subsets: bool = False
    frozen_stages: Stages = -1
    remat: bool = False
    scan_layers: bool = False
    implementation: Implementation = None
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(fixed={'output_cls_token': True})
    counterpart: ClassVar[Counterpart | None] = None
    whole_options: ClassVar[tuple[str, ...]] = ('rotary_draws',)  # the same for all images
    columns_first: ClassVar[bool] = False  # of fixed positions, see `sincos_positions`

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        check_fields(self)

    @property
    def size(self) -> Arch:
        """The widths and the depth that `arch` names."""
        if isinstance(self.arch, str):
            return find_arch(ARCHS, self.arch)
        return make_arch(Arch, self.arch)

    @property
    def relative_field(self) -> str | None:
        """The field that gives it biases by relative position; None where it has none."""
        return next((field for field in RELATIVE if getattr(self, field)), None)

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
        subsets: jax.Array | None = None,
        rotary_draws: jax.Array | None = None,
        local: bool = False,
    ) -> Any:
        """Features of whole images, or tokens of the patches that `ids_keep` chooses.

        Args:
          images: (B, H, W, C).
          train: matters to drop path and to random rotary positions alone.
          mask: (B, h, w), not 0 for patches in whose place the mask token stands; None for none.
          ids_keep: int (B, n), the patches to compute, by their row-major number; None for all.
          subsets: of `drop_subsets`, see `draw_subsets`; None draws them.
          rotary_draws: (num_layers, 5) of random rotary positions, see `draw_rotary`.
          local: whether these are local crops, which matters to `local_cls_norm` alone.

        Returns:
          As the class says; with `ids_keep` (B, 1 + registers + n, C), class token first, patches
          in the order of `ids_keep`.
        """
        patches = self._hide(self._patch_tokens(images), mask)
        rows, columns = patches.shape[1:3]
        extra, patches = self._embed(patches)
        patches = self._keep(patches.reshape(len(images), rows * columns, -1), ids_keep)
        x = self._freeze(jnp.concatenate([extra, patches], axis=1), 0)
        moves: Any = dict(train=train, draws=rotary_draws, dtype=x.dtype)
        places = (self._rotations((rows, columns), ids_keep, **moves), self._shared_biases())
        x = self._blocks(x, train, self._subsets(len(x), train, subsets), places)
        x = self._last_norm(x, local) if self.final_norm else x
        return x if ids_keep is not None else self._outputs(x, rows, columns)

    def _last_norm(self, x: jax.Array, local: bool) -> jax.Array:
        """The tokens (B, N, C) normalised; those before the patches may have their own norm."""
        normed, own = self._norm('ln1')(x), self.with_cls_token + self.num_registers
        if not (self.local_cls_norm and (local or self.is_initializing())):
            return normed
        first = self._norm('local_cls_norm')(x[:, :own])
        return jnp.concatenate([first, normed[:, own:]], axis=1) if local else normed

    def _hide(self, patches: jax.Array, mask: jax.Array | None) -> jax.Array:
        """The patch tokens (B, h, w, C) with the mask token where `mask` is not 0."""
        if mask is None:
            return patches
        init = self.init_values.mask_token or self.init_values.token
        token = self.param('mask_token', init, (1, 1, patches.shape[-1]))
        return replace_masked(patches, mask, token)

    def _keep(self, patches: jax.Array, ids_keep: jax.Array | None) -> jax.Array:
        """The patch tokens (B, n, C) of `ids_keep` out of all (B, h w, C)."""
        if ids_keep is None:
            return patches
        if relative := self.relative_field:
            raise JsslError(
                f'config.model.backbone.{relative}=True has biases between all patches of an '
                'image, and this model hides some from the backbone; it is for fine-tuning. Leave '
                'it out.'
            )
        return take_tokens(patches, ids_keep)

    def _norm(self, name: str) -> LayerNorm:
        return layer_norm(name, self.dtype, self.norm_epsilon)

    def _freeze(self, x: jax.Array, stage: int) -> jax.Array:
        return jax.lax.stop_gradient(x) if stage <= self.frozen_stages else x

    def _embed(self, patches: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Class token and registers (B, n, C), and patch tokens (B, h, w, C), with positions."""
        batch, rows, columns, width = patches.shape
        check_grid(self, rows, columns)
        own = int(self.with_cls_token)
        has_table = self.rotary is None if self.use_abs_pos_emb is None else self.use_abs_pos_emb
        if has_table:
            options: Any = dict(extra_tokens=own, interpolation=self.interpolation)
            positions = resize_positions(self._positions(), (rows, columns), **options)
            positions = positions.astype(patches.dtype)
            patches += positions[:, own:].reshape(1, rows, columns, width)
        extra = []
        if self.with_cls_token:
            token = self.param('cls_token', self.init_values.token, (1, 1, width))
            token = token.astype(patches.dtype)
            extra.append(token + positions[:, :1] if has_table else token)
        if self.num_registers:
            shape = (1, self.num_registers, width)
            registers = self.param('register_tokens', self.init_values.token, shape)
            extra.append(registers.astype(patches.dtype))
        first = jnp.concatenate([jnp.zeros((1, 0, width), patches.dtype), *extra], axis=1)
        return jnp.broadcast_to(first, (batch, *first.shape[1:])), patches

    def _rotations(
        self, grid: tuple[int, int], ids_keep: jax.Array | None, **options: Any
    ) -> Rotation | None:
        """Sines and cosines of all blocks, (num_layers, N, d); None without rotary positions."""
        rotary, size = make_rotary(self.rotary), self.size
        if rotary is None:
            return None
        width = size.embed_dims // size.num_heads
        tables = rotary_tables(rotary, size.num_layers, grid, width, **options)
        return tables if ids_keep is None else jax.tree.map(lambda one: one[:, ids_keep], tables)

    def _shared_biases(self) -> jax.Array | None:
        """(num_layers, 1, heads, N, N), the same in all blocks; None without `use_shared_...`."""
        if not self.use_shared_rel_pos_bias:
            return None
        biases = RelativePositionBias(self.size.num_heads, self._grid, name='rel_pos_bias')()
        return jnp.broadcast_to(self._freeze(biases, 0), (self.size.num_layers, *biases.shape))

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
        """The table (1, n + tokens, C), n = 1 with a class token; a fixed one is stored too."""
        grid, width, own = self._grid, self.size.embed_dims, self.with_cls_token
        if not self.fixed_positions:
            init = nn.initializers.normal(0.02)
            return self.param('pos_embed', init, (1, own + grid * grid, width))
        fixed = sincos_positions(grid, width, cls_token=own, columns_first=self.columns_first)
        table = self.param('pos_embed', lambda key: jnp.asarray(fixed))
        return jax.lax.stop_gradient(table)

    def _subsets(self, batch: int, train: bool, given: jax.Array | None) -> jax.Array | None:
        """The samples of every branch, int (num_layers, 2, groups, kept); None for all of them."""
        if not (train and self.drop_subsets and self.drop_path_rate):
            return None
        if given is not None:
            return given
        return draw_subsets(drop_path_key(self), self.size.num_layers, batch, self.drop_path_rate)

    def _blocks(
        self, x: jax.Array, train: bool, subsets: jax.Array | None, places: Places
    ) -> jax.Array:
        depth = self.size.num_layers
        rates = drop_path_rates(self.drop_path_rate, depth, train and not self.drop_subsets)
        if self.scan_layers:
            stacked = None if rates is None else jnp.asarray(rates)
            return scan_blocks(self._block('layers'), x, depth, stacked, subsets, *places)
        for index in range(depth):
            rate = None if rates is None else rates[index]
            own = jax.tree.map(operator.itemgetter(index), (subsets, *places))
            x = self._freeze(self._block(f'layers.{index}')(x, rate, *own), index + 1)
        return x

    def _block(self, name: str) -> nn.Module:
        size = self.size
        block = nn.remat(TransformerBlock) if self.remat else TransformerBlock
        return block(
            size.num_heads,
            size.feedforward_channels,
            qkv_bias=self.qkv_bias,
            mask_k_bias=self.mask_k_bias,
            attn_sub_norm=self.attn_sub_norm,
            ffn=self.ffn,
            ffn_sub_norm=self.ffn_sub_norm,
            activation=self.activation,
            swiglu_multiple=self.swiglu_multiple,
            layer_scale=self.layer_scale,
            relative_side=self._grid if self.use_rel_pos_bias else None,
            init_values=self.init_values,
            norm_epsilon=self.norm_epsilon,
            implementation=self.implementation,
            dtype=self.dtype,
            name=name,
        )

    def _outputs(self, x: jax.Array, rows: int, columns: int) -> tuple[Any, ...]:
        patches = x[:, -rows * columns :]
        if self.avg_token:
            wide = jnp.promote_types(x.dtype, jnp.float32)
            mean = layer_norm('ln2', self.dtype, self.norm_epsilon)(
                patches.mean(axis=1, dtype=wide)
            )
            return (self._freeze(mean, self.size.num_layers),)
        patches = self._freeze(patches, self.size.num_layers)
        patches = patches.reshape(len(x), rows, columns, -1)
        if not self.with_cls_token:
            return (patches,)
        return ((patches, self._freeze(x[:, 0], self.size.num_layers)),)

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
        check_depths(stacked=self.scan_layers)
        return self._stage(name), self.size.num_layers + 2

    @nn.nowrap
    def _stage(self, name: str) -> int:
        """0 for the embedding, i for the i-th block, the number of blocks + 1 for what follows."""
        if name.startswith(EMBEDDING):
            return 0
        if name.startswith('layers.') and not self.scan_layers:
            return int(name.split('.')[1]) + 1
        return self.size.num_layers + 1
