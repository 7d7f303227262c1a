"""MAE (He et al. 2022, arXiv 2111.06377).

    jssl train mae                         # embedded digits
    jssl train mae:imagenet                # ViT-B/16, 400 epochs
    jssl train mae:imagenet-large-1600e    # ViT-L/16

Embedded: minutes on two CPU cores; what it reaches is in docs/reference/results.md.
ImageNet: the reference's recipes for 8 GPUs; fine-tuned (linear) its own runs reach
base 300e 82.8 (60.8), 400e 83.3 (62.5), 800e 83.3 (65.1), 1600e 83.5 (67.1) %; large 400e 85.2
(70.7), 800e 85.4 (73.7), 1600e 85.7 (75.5) %; huge 1600e 86.9 %.
"""

import functools
from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

# AdamW as the paper has it (appendix A.1).
NO_DECAY = ('ln', 'bias', 'pos_embed', 'mask_token', 'cls_token')
adamw = functools.partial(recipes.adamw_of_transformers, no_decay=NO_DECAY, betas=(0.9, 0.95))
EPOCHS = {'base': (300, 400, 800, 1600), 'large': (300, 400, 800, 1600), 'huge': (1600,)}
WIDTHS = {'base': 768, 'large': 1024, 'huge': 1280}


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    lengths = [(arch, epochs) for arch in EPOCHS for epochs in EPOCHS[arch]]
    real = {f'imagenet-{a}-{n}e': functools.partial(imagenet, a, n) for a, n in lengths}
    return choose(variant, embedded=embedded, imagenet=real['imagenet-base-400e'], **real)


def embedded() -> Config:
    """A small ViT on 6,000 images of handwritten digits, in minutes on a laptop."""
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    decoder = dict(decoder_embed_dim=48, decoder_depth=1, decoder_num_heads=4)
    return dict(
        # Pixels as they are: to standardise patches of noisy background would amplify the noise.
        model=model(arch, size=32, patch=4, norm_pix=False, decoder=decoder | dict(embed_dim=64)),
        **recipes.digits(),
        views=policies.mae(size=32, scale=(0.5, 1.0), flip=0.0),
        **recipes.cosine(adamw(lr=2e-3), batch_size=32, epochs=16, warmup_epochs=3.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    width, heads = images.arch['embed_dims'], images.arch['num_heads']
    decoder = dict(decoder_embed_dim=width // 2, decoder_depth=2, decoder_num_heads=heads)
    shape: Config = dict(size=images.size, patch=images.patch, norm_pix=True)
    network = model(images.arch, decoder=decoder | dict(embed_dim=width), **shape)
    return dict(model=network, views=policies.mae(images.size), **images.run(adamw(images.lr)))


def imagenet(arch: str, epochs: int) -> Config:
    """ViT-B/16, L/16 or H/14 in bfloat16, with AdamW."""
    decoder = dict(embed_dim=WIDTHS[arch])
    patch = 14 if arch == 'huge' else 16
    rate = dict(warmup_epochs=40.0, warmup_factor=1e-9 if epochs == 800 else 1e-4)
    return dict(
        model=model(arch, size=224, patch=patch, norm_pix=True, decoder=decoder),
        **recipes.imagenet_in_bfloat16(interpolation='bicubic'),
        views=policies.mae(size=224),
        **recipes.cosine(adamw(lr=2.4e-3), batch_size=4096, epochs=epochs, **rate),
    )


def model(
    arch: str | Config, *, size: int, patch: int, norm_pix: bool, decoder: Config, **backbone: Any
) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    patches = dict(num_patches=(size // patch) ** 2, patch_size=patch)
    return dict(
        type='MAE',
        backbone=dict(type='MAEViT', arch=arch, img_size=size, patch_size=patch, **backbone),
        neck=dict(type='MAEPretrainDecoder', **patches, **decoder),
        head=dict(type='MAEPretrainHead', norm_pix=norm_pix, patch_size=patch),
    )
