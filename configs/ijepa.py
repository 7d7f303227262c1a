"""I-JEPA (Assran et al. 2023, arXiv 2301.08243).

    jssl train ijepa                   # embedded digits
    jssl train ijepa:imagenet          # ViT-H/14, 300 epochs
    jssl train ijepa:imagenet-448      # ViT-H/16 at 448 px

Embedded: minutes on two CPU cores; not above its untrained network, see
docs/algorithms/ijepa.md for why.
ImageNet: the authors' recipes; a linear classifier on their own weights reaches 79.3 % with
ViT-H/14 and 81.1 % with ViT-H/16 at 448 px.
"""

import functools
from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

# Both schedules count their steps from 1, and the decay grows with the rate's fall.
COUNTED: Config = dict(first_step=1, warmup_endpoint=False)
adamw = functools.partial(recipes.adamw, weight_decay=0.04, vectors=dict(decay_mult=0.0))


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    large = functools.partial(imagenet, size=448, patch=16)
    return choose(variant, embedded=embedded, imagenet=imagenet, **{'imagenet-448': large})


def embedded() -> Config:
    """A small ViT on 6,000 images of handwritten digits, in minutes on a laptop."""
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    neck = dict(embed_dims=64, predictor_embed_dims=48, depth=2, num_heads=4)
    # Two targets leave 25 of 8 x 8 patches in 97 of 100 images; four leave 12, the top rows alone.
    fields = dict(masks=dict(type='MultiBlock', targets=2, context_patches=25), base_momentum=0.99)
    # With the usual 0.02 the positions would drown patches of 48 values.
    return dict(
        model=model(arch, neck, size=32, patch=4, init_std=0.15, **fields),
        **recipes.digits(),
        views=policies.ijepa(size=32, scale=(0.5, 1.0)),
        **recipes.cosine(adamw(lr=2e-3), batch_size=64, epochs=24, warmup_epochs=3.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    width, heads = images.arch['embed_dims'], images.arch['num_heads']
    neck = dict(embed_dims=width, predictor_embed_dims=width // 2, depth=3, num_heads=heads)
    network = model(images.arch, neck, size=images.size, patch=images.patch)
    return dict(model=network, views=policies.ijepa(images.size), **images.run(adamw(images.lr)))


def imagenet(size: int = 224, patch: int = 14) -> Config:
    """ViT-H in bfloat16, with a predictor of 12 blocks."""
    growing = dict(type='WarmupCosine', min_lr=0.4, **COUNTED)
    rate = dict(warmup_epochs=40.0, warmup_factor=0.2, min_lr=1e-6, **COUNTED)
    optimizer = adamw(lr=1e-3, decay_schedule=growing)
    return dict(
        model=model('huge', {}, size=size, patch=patch),
        **recipes.imagenet_in_bfloat16(size=size, resize=size * 8 // 7),
        views=policies.ijepa(size),
        **recipes.cosine(optimizer, batch_size=2048, epochs=300, **rate),
    )


def model(
    arch: str | Config,
    neck: Config,
    *,
    size: int,
    patch: int,
    init_std: float = 0.02,
    **fields: Any,
) -> Config:
    """The algorithm."""
    backbone = dict(type='IJEPAViT', arch=arch, img_size=size, patch_size=patch, init_std=init_std)
    neck = dict(type='IJEPAPredictor', num_patches=(size // patch) ** 2, init_std=init_std, **neck)
    return dict(type='IJEPA', backbone=backbone, neck=neck, **fields)
