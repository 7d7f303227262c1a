"""I-JEPA: predict what a teacher says of blocks of an image from one other block of it.

Assran, Duval, Misra, Bojanowski, Vincent, Rabbat, LeCun, Ballas, "Self-Supervised Learning from
Images with a Joint-Embedding Predictive Architecture", CVPR 2023, arXiv 2301.08243.
"""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State, one_view
from jssl.algorithms.masked import MaskedImageModel, check_no_average
from jssl.augment.masks import MultiBlock
from jssl.checks import Fraction
from jssl.errors import JsslError
from jssl.layers.normalize import feature_std
from jssl.layers.pooling import pool_features
from jssl.layers.widen import widen
from jssl.losses import smooth_l1
from jssl.memories.teacher import init_teacher, linear_momentum, update_teacher
from jssl.necks import IJEPAPredictor
from jssl.networks import evaluate, forward
from jssl.reference import Reference


class BlockPredictor(nn.Module):
    """Encoder and predictor as one module."""

    backbone: nn.Module
    neck: IJEPAPredictor

    def __call__(
        self, images: jax.Array, context: jax.Array, targets: jax.Array, train: bool = True
    ) -> jax.Array:
        """Images, of which the encoder sees the contexts -> predictions (B * K, T, m, C).

        Args:
          images: (B, H, W, C).
          context: int (B, K, n), the patches of K contexts.
          targets: int (B, T, m), the patches of T blocks.
          train: of no effect but on drop path.
        """
        contexts, count = context.shape[1:]
        images, targets = (jnp.repeat(x, contexts, axis=0) for x in (images, targets))
        context = context.reshape(-1, count)
        latent = self.backbone(images, train=train, ids_keep=context)
        return self.neck(latent, context, targets)


@dataclasses.dataclass(frozen=True)
class IJEPA(MaskedImageModel):
    """I-JEPA; `batch['views']` holds one array (B, H, W, C).

    Attributes:
      backbone: tokens of the patches it is given, without a class token, such as `IJEPAViT`.
      neck: these tokens -> tokens of target blocks.
      masks: how contexts and targets are drawn, and how many patches of them count.
      base_momentum: of the teacher at the first step; it grows linearly to 1.

    Raises:
      JsslError: for a backbone that is no vision transformer, or gives other tokens than those of
        patches; a class token no loss would train.
    """

    keeps = 'teacher'

    neck: IJEPAPredictor
    masks: MultiBlock = dataclasses.field(default_factory=MultiBlock)
    base_momentum: Fraction = 0.996

    reference: ClassVar[Reference] = Reference(
        keys={'teacher.params.backbone': 'target_encoder', 'teacher.steps': 'teacher.steps'}
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be trained, before any compute is spent."""
        super().__post_init__()
        check_no_average(self.backbone, 'I-JEPA')
        registers: int = getattr(self.backbone, 'num_registers', 0)
        if registers or not hasattr(self.backbone, 'with_cls_token'):
            raise JsslError(
                'I-JEPA is for vision transformers whose tokens are those of patches, and '
                f'config.model.backbone is {type(self.backbone).__name__}; set '
                'config.model.backbone.type=IJEPAViT with num_registers=0.'
            )
        if self.backbone.with_cls_token:
            raise JsslError(
                'I-JEPA predicts patches alone, and nothing would train the class token of its '
                'backbone; set config.model.backbone.with_cls_token=False.'
            )

    @property
    def network(self) -> BlockPredictor:
        """Encoder and predictor as one module."""
        return BlockPredictor(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters; the state holds the `teacher` of the encoder."""
        images = one_view(batch, 'I-JEPA')
        blocks = self.masks.draw(rng, len(images), self._grid(images))
        params = self.network.init(rng, images, *blocks, train=False)['params']
        return params, {'teacher': init_teacher(params, parts=('backbone',))}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds the patches of `context` (B, K, n) and of the `blocks` to predict (B, T, m)."""
        del state
        images = one_view(batch, 'I-JEPA')
        mask_key, key = jax.random.split(rng)
        context, blocks = self.masks.draw(mask_key, len(images), self._grid(images))
        return self.draw_noise(key, {**batch, 'context': context, 'blocks': blocks})

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The distance of predicted and of normalised target tokens (section 3, "loss")."""
        images, context, blocks = one_view(batch, 'I-JEPA'), batch['context'], batch['blocks']
        noise = batch.get('drop_path')
        prediction, _ = forward(self.network, params, {}, images, context, blocks, drop_path=noise)
        slow = state['teacher']['params']['backbone']
        tokens = evaluate(self.backbone, slow, {}, images)[-1]
        target = jax.nn.standardize(widen(tokens).reshape(len(images), -1, tokens.shape[-1]))
        target = jax.vmap(lambda image, ids: image[ids])(target, blocks)
        target = jnp.repeat(target, context.shape[1], axis=0)  # all contexts predict the same
        loss = smooth_l1(prediction, jax.lax.stop_gradient(target))
        return loss, (state, {'feature_std': feature_std(pool_features((tokens,)))})

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """The teacher follows the encoder, fixed positions included."""
        momentum = linear_momentum(step, self.known_run.steps, base=self.base_momentum)
        teacher = update_teacher(state['teacher'], params, {}, momentum, copy_first=False)
        return params, {**state, 'teacher': teacher}

    def _grid(self, images: jax.Array) -> int:
        """Patches along a side.

        Raises:
          JsslError: if the images are no squares, or the predictor is made for others.
        """
        height, width = images.shape[1:3]
        if height != width:
            raise JsslError(
                f'I-JEPA draws blocks of square images, not of {height} x {width} px; set a size '
                'of one number in config.views.'
            )
        grid = height // self.backbone.patch_size
        if grid**2 != self.neck.num_patches:
            raise JsslError(
                f'config.model.neck.num_patches={self.neck.num_patches}, but an image has '
                f'{grid**2} patches; set config.model.neck.num_patches={grid**2}.'
            )
        return grid
