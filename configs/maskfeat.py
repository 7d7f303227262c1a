"""MaskFeat with HOG targets (Wei et al. 2022, arXiv 2112.09133).

    jssl train maskfeat             # embedded digits
    jssl train maskfeat:imagenet    # ViT-B/16, 300 epochs

Embedded: minutes on two CPU cores; what it reaches is in docs/reference/results.md.
ImageNet: the reference's recipe for 8 GPUs; fine-tuned its own runs reach 83.4 %.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

NO_DECAY = ('ln', 'bias', 'pos_embed', 'mask_token', 'cls_token')
adamw = functools.partial(recipes.adamw_of_transformers, no_decay=NO_DECAY)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, imagenet=imagenet)


def embedded() -> Config:
    """A small ViT on 6,000 images of handwritten digits, in minutes on a laptop."""
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    network = dict(arch=arch, img_size=32, patch_size=8, fixed_positions=True, init_std=0.1)
    neck = dict(in_channels=64, out_channels=27)
    # Histograms over fewer than 8 x 8 of these noisy pixels are of the noise, and what lies two
    # patches away says nothing of them: few are masked, and seldom side by side.
    return dict(
        model=model(network, neck, dict(pool=8, patch_size=8), masked_patches=3, smallest_block=1),
        **recipes.digits(),
        views=policies.mae(size=32, flip=0.0),
        **recipes.cosine(adamw(lr=4e-3, clip=1.0), batch_size=32, epochs=34, warmup_epochs=2.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    patch, pool = images.patch, min(images.patch, 8)
    backbone = dict(arch=images.arch, img_size=images.size, patch_size=patch)
    neck = dict(in_channels=images.arch['embed_dims'], out_channels=27 * (patch // pool) ** 2)
    hog = dict(pool=pool, gaussian_window=2 * pool, patch_size=patch)
    network = model(backbone, neck, hog, masked_patches=78, smallest_block=15)
    views = policies.mae(images.size, scale=(0.5, 1.0))
    return dict(model=network, views=views, **images.run(adamw(images.lr, clip=1.0)))


def imagenet() -> Config:
    """ViT-B/16 in bfloat16; 78 of 196 patches are masked in blocks of at least 15."""
    backbone = dict(arch='base')
    neck = dict(in_channels=768, out_channels=108, init_std=0.02)
    # The reference decays the class token and the positions.
    optimizer = adamw(lr=1.6e-3, clip=0.02, no_decay=('ln', 'bias', 'mask_token'))
    rate = dict(warmup_epochs=30.0, warmup_factor=1e-6)
    return dict(
        model=model(backbone, neck, dict(patch_size=16), masked_patches=78, smallest_block=15),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic'),
        views=policies.mae(size=224, scale=(0.5, 1.0)),
        **recipes.cosine(optimizer, batch_size=2048, epochs=300, **rate),
    )


def model(backbone: Config, neck: Config, hog: Config, **mask: int) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='MaskFeat',
        backbone=dict(type='MaskFeatViT', **backbone),
        neck=dict(type='LinearNeck', with_avg_pool=False, **neck),
        head=dict(type='MaskFeatPretrainHead'),
        target_generator=dict(type='HOGGenerator', **hog),
        **mask,
    )
