"""MaskFeat: mask blocks of an image, and predict features of what they hide, such as HOG.

Wei, Fan, Xie, Wu, Yuille, Feichtenhofer, "Masked Feature Prediction for Self-Supervised Visual
Pre-Training", CVPR 2022, arXiv 2112.09133.
"""

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Batch, Metrics, Params, State, one_view
from jssl.algorithms.masked import MaskedImageModel
from jssl.augment.masks import block_mask
from jssl.backbones import MaskFeatViT
from jssl.checks import Count
from jssl.errors import JsslError
from jssl.heads import MaskFeatPretrainHead
from jssl.kinds import TargetGenerator
from jssl.layers.pooling import pool_features
from jssl.losses import explained_variance, masked_patch_error
from jssl.networks import Encoder, evaluate, forward
from jssl.reference import Hook, Reference, as_dict, take_blocks
from jssl.target_generators.clip import CLIPTargets
from jssl.target_generators.frozen import generate, init_generator


class TokenPredictor(Encoder):
    """An encoder whose neck sees every patch token by itself."""

    def __call__(self, images: jax.Array, train: bool = True, **options: Any) -> jax.Array:
        """Images (B, H, W, C) and the `mask` of patches (B, h, w) -> predictions (B, L, D)."""
        tokens, _ = self.backbone(images, train=train, **options)[-1]
        rows = self.neck((tokens.reshape(-1, tokens.shape[-1]),), train=train)
        return rows.reshape(len(images), -1, rows.shape[-1])


def _of_release_0(fields: dict[str, Any]) -> dict[str, Any]:
    """A model of release 0.x: its neck is in the head, its targets are `hog_para`."""
    head = as_dict('head', fields.get('head'))
    width = dict(in_channels=head.pop('embed_dim', 768), out_channels=head.pop('hog_dim', 108))
    neck = dict(type='LinearNeck', with_avg_pool=False, init_std=0.02, **width)
    hog = as_dict('hog_para', fields.get('hog_para', {}))
    rest = {key: value for key, value in fields.items() if key != 'hog_para'}
    return rest | dict(head=head, neck=neck, target_generator=dict(type='HOGGenerator') | hog)


def _of_mmpretrain(fields: dict[str, Any]) -> dict[str, Any]:
    """A model of MMPretrain, where the heads of several methods have one name."""
    head = as_dict('head', fields.get('head'))
    if str(head.get('type')).rpartition('.')[2] == 'MIMHead':
        head['type'] = 'MaskFeatPretrainHead'
    return fields | {'head': head}


@dataclasses.dataclass(frozen=True)
class MaskFeat(MaskedImageModel):
    """MaskFeat; `batch['views']` holds one array (B, H, W, C).

    Attributes:
      backbone: images with masked patches -> tokens.
      neck: tokens (N, C) -> predictions (N, D), such as `LinearNeck` without pooling.
      head: the loss of the masked patches.
      target_generator: images -> targets (B, L, D), such as `HOGGenerator`, or `CLIPGenerator`, of
        which the features of the patches are taken.
      masked_patches: how many patches of an image are masked.
      smallest_block: least area of a masked block in patches.
    """

    predicts = 'features'

    backbone: MaskFeatViT
    head: MaskFeatPretrainHead
    target_generator: TargetGenerator
    masked_patches: Count = 78
    smallest_block: Count = 15

    reference: ClassVar[Reference] = Reference(
        keys={'target_generator': 'target_generator'},
        releases={'0.x': _of_release_0, 'mmpretrain': _of_mmpretrain},
    )

    @property
    def network(self) -> TokenPredictor:
        """Backbone and neck as one module."""
        return TokenPredictor(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; the state is the target generator's weights, if any."""
        images = one_view(batch, 'MaskFeat')
        grid = self._grid(images)
        key, generator_key = jax.random.split(rng)
        mask = jnp.zeros((len(images), grid, grid), bool)
        params = self.network.init(key, images, train=False, mask=mask)['params']
        return params, init_generator(self.target_generator, generator_key, images)

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds the `mask` (B, h, w) of the patches, True where they are masked."""
        del state
        images = one_view(batch, 'MaskFeat')
        draw_one = functools.partial(
            block_mask,
            grid=self._grid(images),
            count=self.masked_patches,
            smallest=self.smallest_block,
        )
        return self.draw_masks(rng, batch, len(images), draw_one)

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The squared error of the masked patches' features (section 3.1)."""
        images, mask = one_view(batch, 'MaskFeat'), batch['mask']
        drop_path = batch.get('drop_path')
        prediction, _ = forward(self.network, params, {}, images, drop_path=drop_path, mask=mask)
        target = _of_patches(generate(self.target_generator, state, images))
        _check(prediction, target)
        masked = mask.reshape(len(images), -1)
        loss = masked_patch_error(prediction, target, masked)
        return loss, (state, {'explained_variance': explained_variance(prediction, target, masked)})

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """What the network predicts of all patches, hidden or not: (B, L, D), in eval mode."""
        del state
        images = one_view(batch, 'MaskFeat')
        return evaluate(self.network, params, {}, images, mask=batch['mask'])

    def extract_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        """The mean of the patch tokens (B, D): no loss looks at the class token here."""
        weights, _ = self.kept(params, state)
        features = evaluate(self.backbone, weights['backbone'], {}, images)
        return pool_features(features[-1][:1])

    @classmethod
    def mask_settings(cls, mask: Hook) -> dict[str, Any]:
        """The fields that the mask generator of a pipeline of the reference sets."""
        count, fewest = take_blocks(mask, 15 if mask.name.startswith('MaskFeat') else 4)
        return {'masked_patches': count, 'smallest_block': fewest}

    def _grid(self, images: jax.Array) -> int:
        height, width = images.shape[1:3]
        if height != width:
            raise JsslError(
                f'MaskFeat masks blocks of square images, not of {height} x {width} px; set a size '
                'of one number in config.views.'
            )
        return height // self.backbone.patch_size


def _of_patches(targets: Any) -> jax.Array:
    """Targets (B, L, D), without that of a class token."""
    return targets.tokens[:, 1:] if isinstance(targets, CLIPTargets) else targets


def _check(prediction: jax.Array, target: jax.Array) -> None:
    """Refuses a neck or a target generator that gives other patches, or wider ones."""
    if prediction.shape != target.shape:
        raise JsslError(
            f'The target generator gives {target.shape[1]} patches of {target.shape[2]} '
            f'numbers, the neck {prediction.shape[1]} of {prediction.shape[2]}; set '
            f'config.model.neck.out_channels={target.shape[2]}, and '
            'target_generator.patch_size to that of the backbone.'
        )
