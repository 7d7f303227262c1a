"""Masks of masked image modelling: which patches of an image a model does not get to see.

Boolean with True for masked, or the numbers of patches, drawn on the device with shapes that do not
depend on the draw. What is for one image is vectorised by `jax.vmap`.
"""

from jssl.augment.masks.blocks import block_mask, complete_mask
from jssl.augment.masks.multi_block import MultiBlock, first_patches
from jssl.augment.masks.patches import patch_mask, random_masking
from jssl.augment.masks.ratios import ratio_mask, scattered_mask
from jssl.augment.masks.stratified import (
    completed_masks,
    masked_patches,
    most_masked,
    stratified_masks,
)

__all__ = [
    'MultiBlock',
    'block_mask',
    'complete_mask',
    'completed_masks',
    'first_patches',
    'masked_patches',
    'most_masked',
    'patch_mask',
    'random_masking',
    'ratio_mask',
    'scattered_mask',
    'stratified_masks',
]
