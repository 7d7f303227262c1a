"""MAE: encode a quarter of the patches, and let a light decoder paint the rest.

He, Chen, Xie, Li, Dollár, Girshick, "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022,
arXiv 2111.06377.
"""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State, one_view
from jssl.algorithms.masked import MaskedImageModel, Reconstruction
from jssl.augment.masks import random_masking
from jssl.backbones import MAEViT
from jssl.errors import JsslError
from jssl.heads import MAEPretrainHead
from jssl.kinds import TargetGenerator
from jssl.layers.patches import enlarge_mask
from jssl.losses import explained_variance, masked_patch_error
from jssl.necks import MAEPretrainDecoder
from jssl.networks import evaluate, forward
from jssl.reference import Reference


class Autoencoder(nn.Module):
    """Encoder and decoder as one module."""

    backbone: MAEViT
    neck: MAEPretrainDecoder

    def __call__(
        self, images: jax.Array, ids_keep: jax.Array, ids_restore: jax.Array, train: bool = True
    ) -> jax.Array:
        """Images, of which the decoder sees some patches -> predictions (B, L, p * p * C).

        Args:
          images: (B, H, W, C).
          ids_keep: int (B, n), the patches that stay.
          ids_restore: int (B, L), where each patch is among those that stay and those that do not.
          train: of no effect but on drop path.
        """
        latent = self.backbone(images, train=train, ids_keep=ids_keep)
        return self.neck(latent, ids_restore)


@dataclasses.dataclass(frozen=True)
class MAE(MaskedImageModel):
    """MAE; `batch['views']` holds one array (B, H, W, C).

    Attributes:
      backbone: tokens of the patches it is given; it says how many are masked.
      neck: these tokens -> all patches.
      head: what a patch's target is.
      target_generator: images -> the images to reconstruct, as in PixMIM; None for the view itself.
    """

    predicts = 'pixels'

    backbone: MAEViT
    neck: MAEPretrainDecoder
    head: MAEPretrainHead
    target_generator: TargetGenerator | None = None

    reference: ClassVar[Reference] = Reference(types=('PixMIM',))

    @property
    def network(self) -> Autoencoder:
        """Encoder and decoder as one module."""
        return Autoencoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of both parts; there is no state."""
        images = one_view(batch, 'MAE')
        ids_keep, ids_restore, _ = self.mask(jnp.zeros((len(images), self._count_patches(images))))
        variables = self.network.init(rng, images, ids_keep, ids_restore, train=False)
        return variables['params'], {}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds the `noise` of every patch, and the `mask` (B, L) that follows from it."""
        del state
        images = one_view(batch, 'MAE')
        noise_key, key = jax.random.split(rng)
        shape = (len(images), self._count_patches(images))
        noise = jax.random.uniform(noise_key, shape, jnp.float32)
        # The loss goes by the noise, which is what the reference draws; the mask is for pictures.
        masked = {**batch, 'noise': noise, 'mask': self.mask(noise)[2]}
        return self.draw_noise(key, masked)

    def mask(self, noise: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Noise (B, L) -> which patches stay, how to undo that, the mask; see `random_masking`."""
        return random_masking(noise, self.backbone.count_visible(noise.shape[1]))

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The error of the masked patches, in pixels (section 3)."""
        images = one_view(batch, 'MAE')
        *ids, mask = self.mask(batch['noise'])
        drop_path = batch.get('drop_path')
        prediction, _ = forward(self.network, params, {}, images, *ids, drop_path=drop_path)
        target = self.head.target(self._target_images(images))
        loss = masked_patch_error(prediction, target, mask)
        return loss, (state, {'explained_variance': explained_variance(prediction, target, mask)})

    def predict(self, params: Params, state: State, batch: Batch) -> Reconstruction:
        """Reconstructs the view; see `MAEPretrainHead.to_images` for normalised patches."""
        del state
        images = one_view(batch, 'MAE')
        *ids, mask = self.mask(batch['noise'])
        prediction = evaluate(self.network, params, {}, images, *ids)
        side = self.head.patch_size
        grid = mask.reshape(len(images), images.shape[1] // side, images.shape[2] // side)
        painted = self.head.to_images(prediction, self._target_images(images))
        return Reconstruction(painted, enlarge_mask(grid, side))

    @property
    def caveat(self) -> str:
        """That normalised patches borrow from the original."""
        if not self.head.norm_pix:
            return ''
        return (
            'Mean and contrast of every hidden patch are those of the original: with norm_pix the '
            'network does not predict them, so the two numbers are no fair comparison.'
        )

    def _target_images(self, images: jax.Array) -> jax.Array:
        return images if self.target_generator is None else self.target_generator(images)

    def _count_patches(self, images: jax.Array) -> int:
        side = self.backbone.patch_size
        patches = (images.shape[1] // side) * (images.shape[2] // side)
        if self.backbone.count_visible(patches) == patches:
            raise JsslError(
                f'config.model.backbone.mask_ratio={self.backbone.mask_ratio} leaves all {patches} '
                'patches visible, so that there is nothing to predict; MAE removes 0.75.'
            )
        return patches
