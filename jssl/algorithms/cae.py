"""CAE: regress the latents of masked patches from the visible ones, and decode them to tokens.

Chen, Ding, Wang, Xin, Mo, Wang, Han, Luo, Zeng, Wang, "Context Autoencoder for Self-Supervised
Representation Learning", IJCV 2023, arXiv 2202.03026.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State
from jssl.algorithms.masked import MaskedImageModel
from jssl.augment.masks import block_mask
from jssl.backbones import CAEViT
from jssl.checks import Count, Fraction
from jssl.errors import JsslError
from jssl.heads import CAEHead
from jssl.kinds import TargetGenerator
from jssl.losses import cross_entropy, latent_alignment
from jssl.memories.teacher import init_teacher, update_teacher
from jssl.necks import CAENeck
from jssl.networks import evaluate, forward
from jssl.reference import Hook, Reference, as_dict, take_blocks
from jssl.target_generators.frozen import generate, init_generator


class ContextAutoencoder(nn.Module):
    """Encoder, regressor and decoder as one module."""

    backbone: CAEViT
    neck: CAENeck

    def __call__(
        self, images: jax.Array, ids_visible: jax.Array, ids_masked: jax.Array, train: bool = True
    ) -> tuple[jax.Array, jax.Array]:
        """Images and the numbers of their patches -> logits (B, n, K), latents (B, n, C)."""
        latent = self.backbone(images, train=train, ids_keep=ids_visible)
        return self.neck(latent, ids_visible, ids_masked)


def _of_release_0(fields: dict[str, Any]) -> dict[str, Any]:
    """A model of release 0.x, whose head has the tokenizer and the weight of its loss."""
    head = as_dict('head', fields.get('head'))
    init = dict(type='Pretrained', checkpoint=head.pop('tokenizer_path', 'dalle_encoder.pth'))
    head['loss'] = dict(type='CAELoss', lambd=head.pop('lambd', 2.0))
    return fields | dict(head=head, target_generator=dict(type='DALL-E', init_cfg=init))


@dataclasses.dataclass(frozen=True)
class CAE(MaskedImageModel):
    """CAE; `batch['views']` holds images (B, H, W, C) and the tokenizer's copies of them.

    Attributes:
      backbone: tokens of the patches it is given.
      neck: these tokens -> logits and latents of the masked patches; it says how many these are.
      head: the weight of the latents, and what it takes for tokens.
      target_generator: the second view -> tokens (B, h, w) or their logits, such as `DALLE`.
      base_momentum: share of the teacher that stays at an update; 0 makes it a copy of the encoder
        as it was one step ago.
      smallest_block: least area of a masked block in patches.

    Raises:
      JsslError: for a momentum that is none, or a neck with another number of tokens than the
        target generator.
    """

    predicts = 'tokens'

    backbone: CAEViT
    neck: CAENeck
    head: CAEHead
    target_generator: TargetGenerator
    base_momentum: Fraction = 0.0
    smallest_block: Count = 16

    reference: ClassVar[Reference] = Reference(
        keys={'teacher.params.backbone': 'teacher', 'target_generator': 'target_generator'},
        releases={'0.x': _of_release_0},
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be trained, before any compute is spent."""
        super().__post_init__()
        classes = getattr(self.target_generator, 'num_classes', self.neck.num_classes)
        if classes != self.neck.num_classes:
            raise JsslError(
                f'config.model.neck.num_classes={self.neck.num_classes}, but the target generator '
                f'tells {classes} tokens apart; set config.model.neck.num_classes={classes}.'
            )

    @property
    def network(self) -> ContextAutoencoder:
        """Encoder, regressor and decoder as one module."""
        return ContextAutoencoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters; the state holds the `teacher` and the target generator's weights if any."""
        images, token_images = _two_sizes(batch)
        key, token_key = jax.random.split(rng)
        ids = self._split(jnp.zeros((len(images), self._grid(images) ** 2), bool))
        params = self.network.init(key, images, *ids, train=False)['params']
        teacher = init_teacher(params, parts=('backbone',))
        tokenizer = init_generator(self.target_generator, token_key, token_images)
        return params, {'teacher': teacher, **tokenizer}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds the `mask` (B, h, w) of the patches, True where they are masked."""
        del state
        images, _ = _two_sizes(batch)
        draw_one = functools.partial(
            block_mask,
            grid=self._grid(images),
            count=self.neck.mask_tokens_num,
            smallest=self.smallest_block,
        )
        return self.draw_masks(rng, batch, len(images), draw_one)

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The error of tokens and latents of the masked patches (section 3.3)."""
        images, token_images = _two_sizes(batch)
        visible, masked = ids = self._split(batch['mask'].reshape(len(images), -1) != 0)
        noise = batch.get('drop_path')
        (logits, latent), _ = forward(self.network, params, {}, images, *ids, drop_path=noise)
        # The teacher sees the masked patches alone; its first output is the class token.
        slow, teacher = state['teacher']['params']['backbone'], state['teacher']
        target = evaluate(self.backbone, slow, {}, images, ids_keep=masked)[:, 1:]
        outputs = generate(self.target_generator, state, token_images)
        tokens = self.head.tokens(outputs, visible.shape[1] + masked.shape[1])
        tokens = jnp.take_along_axis(tokens, masked, axis=1)
        main = cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens.reshape(-1))
        align = self.head.align_weight * latent_alignment(latent, target)
        accuracy = jnp.mean(jnp.argmax(logits, axis=-1) == tokens)
        metrics = {'main': main, 'align': align, 'accuracy': accuracy}
        # It has been used before it follows, so that the encoder is a step ahead of it.
        teacher = update_teacher(teacher, params, {}, self.base_momentum, copy_first=False)
        return main + align, ({**state, 'teacher': teacher}, metrics)

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """The likeliest tokens of the masked patches, row-major: int32 (B, n), in eval mode."""
        del state
        images, _ = _two_sizes(batch)
        ids = self._split(batch['mask'].reshape(len(images), -1) != 0)
        logits, _ = evaluate(self.network, params, {}, images, *ids)
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)

    def extract_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        """The mean of the patch tokens (B, C): the regressor never sees the class token."""
        weights, _ = self.kept(params, state)
        features = evaluate(self.backbone, weights['backbone'], {}, images)
        patches, _ = features[-1]
        wide = jnp.promote_types(patches.dtype, jnp.float32)
        return patches.mean(axis=(1, 2), dtype=wide)

    @classmethod
    def mask_settings(cls, mask: Hook) -> dict[str, Any]:
        """The fields that the mask generator of a pipeline of the reference sets."""
        count, fewest = take_blocks(mask, 4)
        return {'neck': {'mask_tokens_num': count}, 'smallest_block': fewest}

    def _split(self, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The numbers of visible and of masked patches, each in order, from a mask (B, L)."""
        order = jnp.argsort(mask, axis=1, stable=True)
        visible = mask.shape[1] - self.neck.mask_tokens_num
        return order[:, :visible], order[:, visible:]

    def _grid(self, images: jax.Array) -> int:
        """Patches along a side.

        Raises:
          JsslError: if the images are no squares, or all of their patches are masked.
        """
        height, width = images.shape[1:3]
        if height != width:
            raise JsslError(
                f'CAE masks blocks of square images, not of {height} x {width} px; set a size of '
                'one number in config.views.'
            )
        grid = height // self.backbone.patch_size
        if self.neck.mask_tokens_num >= grid**2:
            raise JsslError(
                f'config.model.neck.mask_tokens_num={self.neck.mask_tokens_num} masks all of the '
                f'{grid**2} patches of an image; the reference masks 75 of 196.'
            )
        return grid


def _two_sizes(batch: Batch) -> tuple[jax.Array, jax.Array]:
    """The encoder's images and the tokenizer's, each (B, H, W, C)."""
    if len(batch['views']) != 2:
        raise JsslError(
            f"CAE needs an image and the tokenizer's copy of it, and got {len(batch['views'])} "
            'views; set config.views to ImageAndTokens.'
        )
    images, token_images = batch['views']
    return images, token_images
