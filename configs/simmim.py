"""SimMIM (Xie et al. 2022, arXiv 2111.09886).

    jssl train simmim                        # embedded digits
    jssl train simmim:imagenet               # Swin-B, 100 epochs
    jssl train simmim:imagenet-large-800e    # Swin-L, 800 epochs

Embedded: minutes on two CPU cores; what it reaches is in docs/reference/results.md.
ImageNet: the reference's recipes for 16 GPUs at 192 pixels; fine-tuned its own runs reach Swin-B
100e 83.5 %, 800e 83.7 %, Swin-L 800e 84.8 %.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

# The mask token is decayed, as in the reference.
NO_DECAY = ('norm', 'bias', 'relative_position_bias_table')
adamw = functools.partial(recipes.adamw_of_transformers, no_decay=NO_DECAY, clip=5.0)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    runs = [('base', 100), ('base', 800), ('large', 800)]
    real = {f'imagenet-{a}-{n}e': functools.partial(imagenet, a, n) for a, n in runs}
    return choose(variant, embedded=embedded, imagenet=real['imagenet-base-100e'], **real)


def embedded() -> Config:
    """A small Swin on 6,000 images of handwritten digits, in minutes on a laptop."""
    arch = dict(embed_dims=48, depths=(2, 2), num_heads=(3, 6))
    size = dict(img_size=32, patch_size=4, window_size=4, out_indices=(1,))
    backbone = dict(arch=arch, drop_path_rate=0.0, init_std=0.1, **size)
    return dict(
        model=model(backbone, dict(in_channels=96, encoder_stride=8), mask_patch_size=4),
        **recipes.digits(),
        views=policies.simmim(size=32, scale=(0.5, 1.0), flip=0.0),
        **recipes.cosine(adamw(lr=4e-3), batch_size=32, epochs=17, warmup_epochs=1.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    side, stages = images.scaled(192), images.stages
    width, stride = images.base_channels * 3 // 2, 2 ** (stages + 1)
    arch = dict(embed_dims=width, depths=(2, 2, 6, 2)[:stages], num_heads=(3, 6, 12, 24)[:stages])
    shape = dict(img_size=side, patch_size=4, window_size=6, out_indices=(stages - 1,))
    neck = dict(in_channels=width * stride // 4, encoder_stride=stride)
    network = model(dict(arch=arch, **shape), neck, mask_patch_size=stride)
    return dict(model=network, views=policies.simmim(side), **images.run(adamw(images.lr), side))


def imagenet(arch: str, epochs: int) -> Config:
    """Swin-B with windows of 6 tokens or Swin-L with windows of 12, in bfloat16."""
    large = arch == 'large'
    window = dict(window_size=12, pad_small_map=True) if large else dict(window_size=6)
    backbone = dict(arch=arch, img_size=192, **window)
    neck = dict(in_channels=1536 if large else 1024, encoder_stride=32)
    optimizer = adamw(lr=8e-4 if epochs == 100 else 4e-4)
    run: Config = dict(batch_size=2048, epochs=epochs, warmup_epochs=10.0, warmup_factor=0.005)
    one_step = recipes.steps(optimizer, milestones=(710,), gamma=0.1, **run)  # towards the end
    return dict(
        model=model(backbone, neck, mask_patch_size=32),
        **recipes.imagenet_in_bfloat16(size=192, resize=219),
        views=policies.simmim(size=192),
        **(recipes.cosine(optimizer, min_lr=4e-5, **run) if epochs == 100 else one_step),
    )


def model(backbone: Config, neck: Config, mask_patch_size: int) -> Config:
    """The algorithm, in the shape MMSelfSup's users know."""
    return dict(
        type='SimMIM',
        backbone=dict(type='SimMIMSwinTransformer', **backbone),
        neck=dict(type='SimMIMNeck', **neck),
        head=dict(type='SimMIMHead', patch_size=4),
        mask_patch_size=mask_patch_size,
    )
