"""What masked image models predict."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count
from jssl.errors import JsslError
from jssl.layers.patches import enlarge_mask, patchify, unpatchify
from jssl.reference import Reference

EPSILON = 1e-6  # added to a patch's variance


@dataclasses.dataclass(frozen=True)
class MAEPretrainHead(Checked):
    """The pixels of masked patches, each patch normalised by itself or not (He et al. 2022, 3).

    Attributes:
      norm_pix: whether a patch is standardised by its own mean and (unbiased) deviation.
      patch_size: side of a patch in pixels.

    Raises:
      JsslError: if the patch size is not positive.
    """

    norm_pix: bool = False
    patch_size: Count = 16

    reference: ClassVar[Reference] = Reference(
        losses={'MAEReconstructionLoss': {}, 'PixelReconstructionLoss': {}},
        fixed={'criterion': 'L2', 'channel': None},
    )

    def target(self, images: jax.Array) -> jax.Array:
        """Normalised images (B, H, W, C) -> what is to be predicted, (B, L, p * p * C)."""
        patches = patchify(images, self.patch_size)
        if not self.norm_pix:
            return patches
        if patches.shape[-1] < 2:
            raise JsslError(
                'config.model.head.norm_pix=True divides by the deviation of a patch, and patches '
                'of one grey pixel have none; set config.model.head.norm_pix=False or a larger '
                'head.patch_size.'
            )
        mean, deviation = patch_statistics(patches)
        return (patches - mean) / deviation

    def to_images(self, prediction: jax.Array, images: jax.Array) -> jax.Array:
        """Predictions (B, L, p * p * C) as images (B, H, W, C), normalised as `images` are.

        Where patches were normalised by themselves, their mean and deviation are taken from
        `images`, the originals: what a prediction does not contain cannot come from it.
        """
        if self.norm_pix:
            mean, deviation = patch_statistics(patchify(images, self.patch_size))
            prediction = prediction * deviation + mean
        return unpatchify(prediction, self.patch_size, *images.shape[1:3])


@dataclasses.dataclass(frozen=True)
class SimMIMHead(Checked):
    """The pixels below masked tokens (Xie et al. 2022, sections 3.4 and 3.5).

    Attributes:
      patch_size: pixels along each side of an entry of the mask.
      encoder_in_channels: of the images; divides the loss.

    Raises:
      JsslError: if the patch size is not positive.
    """

    patch_size: Count = 4
    encoder_in_channels: Count = 3

    reference: ClassVar[Reference] = Reference(
        losses={
            'SimMIMReconstructionLoss': {},
            'PixelReconstructionLoss': {'channel': 'encoder_in_channels'},
        },
        fixed={'criterion': 'L1'},
    )

    def hidden(self, mask: jax.Array) -> jax.Array:
        """A mask in tokens (B, h, w) -> one in pixels (B, H, W)."""
        return enlarge_mask(mask, self.patch_size)


@dataclasses.dataclass(frozen=True)
class MaskFeatPretrainHead:
    """Nothing to be set: MaskFeat's loss is the squared distance (Wei et al. 2022, section 3.1)."""

    reference: ClassVar[Reference] = Reference(
        losses={'PixelReconstructionLoss': {}}, fixed={'criterion': 'L2', 'channel': None}
    )


def patch_statistics(patches: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and deviation, each (B, L, 1), of patches (B, L, D)."""
    mean = jnp.mean(patches, axis=-1, keepdims=True)
    variance = jnp.var(patches, axis=-1, keepdims=True, ddof=1)
    return mean, jnp.sqrt(variance + EPSILON)
