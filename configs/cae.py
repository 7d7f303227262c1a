"""CAE (Chen et al. 2022, arXiv 2202.03026).

    jssl train cae             # embedded digits
    jssl train cae:imagenet    # ViT-B/16, 300 epochs

Embedded: a tokenizer without weights; minutes on two CPU cores, results in
docs/reference/results.md. ImageNet: the reference's recipe for 16 GPUs with DALL-E's tokenizer,
whose weights docs/algorithms/cae.md says how to get; fine-tuned its own runs reach 83.2 %.
"""

import functools
from typing import Any

from jssl import recipes
from jssl.augment.views.pretext import ROUNDED_MEAN, ROUNDED_STD
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

# As in the reference these keys leave the scales of `ln1` and `ln2` to be decayed.
NO_DECAY = ('norm', 'bias', 'gamma')
adamw = functools.partial(recipes.adamw_of_transformers, no_decay=NO_DECAY, clip=3.0)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, imagenet=imagenet)


def embedded() -> Config:
    """A small ViT on 6,000 images of handwritten digits, in minutes on a laptop."""
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    backbone = dict(arch=arch, img_size=32, patch_size=8, init_std=0.15)
    depths = dict(regressor_depth=1, decoder_depth=1)
    neck = dict(num_classes=256, embed_dims=64, num_heads=4, mask_tokens_num=8, **depths)
    return dict(
        model=model(backbone, neck, recipes.brightness_tokenizer(8), smallest_block=2),
        **recipes.digits(),
        views=policies.cae(size=32, token_size=32, scale=(0.5, 1.0), flip=0.0),
        **recipes.cosine(adamw(lr=2e-3), batch_size=64, epochs=30, warmup_epochs=2.0),
        evaluate=dict(every_epochs=6),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    arch, patch = images.arch, images.patch
    width, depths = arch['embed_dims'], dict(regressor_depth=2, decoder_depth=2)
    backbone = dict(arch=arch, img_size=images.size, patch_size=patch)
    neck = dict(num_classes=256, embed_dims=width, num_heads=arch['num_heads'], **depths)
    network = model(backbone, neck, recipes.brightness_tokenizer(patch))
    views = policies.cae(images.size, token_size=images.size)
    return dict(model=network, views=views, **images.run(adamw(images.lr)))


def imagenet() -> Config:
    """ViT-B/16 in bfloat16, with DALL-E's 8192 tokens; 75 of 196 patches are masked."""
    statistics = dict(mean=ROUNDED_MEAN, std=ROUNDED_STD)
    tokenizer = dict(type='DALLE', weights='weights/dalle_encoder.safetensors')
    rate = dict(warmup_epochs=10.0, warmup_factor=1e-4, min_lr=1e-5)
    return dict(
        model=model(dict(arch='base'), {}, tokenizer),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic', **statistics),
        views=policies.cae(size=224, token_size=112),
        **recipes.cosine(adamw(lr=1.5e-3), batch_size=2048, epochs=300, **rate),
    )


def model(backbone: Config, neck: Config, tokenizer: Config, **fields: Any) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='CAE',
        backbone=dict(type='CAEViT', **backbone),
        neck=dict(type='CAENeck', **neck),
        head=dict(type='CAEHead', align_weight=2.0),
        target_generator=tokenizer,
        base_momentum=0.0,
        **fields,
    )
