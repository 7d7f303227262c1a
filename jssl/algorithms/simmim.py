"""SimMIM: mask patches of an image, and predict their pixels with one linear layer.

Xie, Zhang, Cao, Lin, Bao, Yao, Dai, Hu, "SimMIM: A Simple Framework for Masked Image Modeling",
CVPR 2022, arXiv 2111.09886.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State, one_view
from jssl.algorithms.masked import MaskedImageModel, Reconstruction
from jssl.augment.masks import patch_mask
from jssl.backbones import SimMIMSwinTransformer
from jssl.checks import Count, Share
from jssl.errors import JsslError
from jssl.heads import SimMIMHead
from jssl.losses import explained_variance, masked_pixel_error
from jssl.networks import Encoder, evaluate, forward
from jssl.reference import Hook


@dataclasses.dataclass(frozen=True)
class SimMIM(MaskedImageModel):
    """SimMIM; `batch['views']` holds one array (B, H, W, C).

    Attributes:
      backbone: images with masked tokens -> maps.
      neck: the last map -> images.
      head: the patches of the mask, and the channels of the images.
      mask_patch_size: side in pixels of the cells that are masked or not.
      mask_ratio: share of the cells that is masked, rounded up to whole cells.

    Raises:
      JsslError: at construction, for a cell that is no multiple of the backbone's patch; at a call,
        for images that do not divide into cells.
    """

    predicts = 'pixels'

    backbone: SimMIMSwinTransformer
    head: SimMIMHead
    mask_patch_size: Count = 32
    mask_ratio: Share = 0.6

    def __post_init__(self) -> None:
        """Refuses cells that are not made of patches."""
        super().__post_init__()
        side = self.backbone.patch_size
        if self.mask_patch_size % side:
            raise JsslError(
                f'config.model.mask_patch_size={self.mask_patch_size} must be a multiple of '
                f'config.model.backbone.patch_size={side}; SimMIM has 32 pixels on patches of 4.'
            )

    @property
    def network(self) -> Encoder:
        """Backbone and neck as one module: images (B, H, W, C) and a `mask` -> images."""
        return Encoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; there is no state."""
        images = one_view(batch, 'SimMIM')
        side = self.backbone.patch_size
        mask = jnp.zeros((len(images), images.shape[1] // side, images.shape[2] // side), bool)
        return self.network.init(rng, images, train=False, mask=mask)['params'], {}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds the `mask` (B, h, w) of the tokens, True where they are masked (section 3.3)."""
        del state
        images = one_view(batch, 'SimMIM')
        draw_one = functools.partial(
            patch_mask,
            grid=self._grid(images),
            cell=self.mask_patch_size // self.backbone.patch_size,
            ratio=self.mask_ratio,
        )
        return self.draw_masks(rng, batch, len(images), draw_one)

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The absolute error of the masked pixels (section 3.5)."""
        images, mask = one_view(batch, 'SimMIM'), batch['mask']
        drop_path = batch.get('drop_path')
        prediction, _ = forward(self.network, params, {}, images, drop_path=drop_path, mask=mask)
        self._check(prediction, images)
        hidden = self.head.hidden(mask)
        loss = masked_pixel_error(prediction, images, hidden, self.head.encoder_in_channels)
        return loss, (state, {'explained_variance': explained_variance(prediction, images, hidden)})

    def predict(self, params: Params, state: State, batch: Batch) -> Reconstruction:
        """Reconstructs the view."""
        del state
        images = one_view(batch, 'SimMIM')
        prediction = evaluate(self.network, params, {}, images, mask=batch['mask'])
        return Reconstruction(prediction, self.head.hidden(batch['mask']) != 0)

    @classmethod
    def mask_settings(cls, mask: Hook) -> dict[str, Any]:
        """The fields that the mask generator of a pipeline of the reference sets."""
        mask.ignore('input_size', 'model_patch_size')  # the views and the backbone say them
        side, ratio = mask.take('mask_patch_size', 32), mask.take('mask_ratio', 0.6)
        return {'mask_patch_size': side, 'mask_ratio': ratio}

    def _check(self, prediction: jax.Array, images: jax.Array) -> None:
        """Refuses a neck that gives images of another size."""
        if prediction.shape != images.shape:
            raise JsslError(
                f'The neck gives images of shape {prediction.shape[1:]} for those of '
                f'{images.shape[1:]}; neck.encoder_stride must be backbone.patch_size doubled once '
                'for each stage after the first.'
            )

    def _grid(self, images: jax.Array) -> int:
        height, width = images.shape[1:3]
        if height != width or height % self.mask_patch_size:
            raise JsslError(
                f'Images of {height} x {width} px do not divide into cells of '
                f'config.model.mask_patch_size={self.mask_patch_size}; change it or the views.'
            )
        return height // self.mask_patch_size
