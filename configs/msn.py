"""MSN (Assran et al. 2022, arXiv 2204.07141).

    jssl train msn             # embedded digits
    jssl train msn:imagenet    # ViT-S/16, 800 epochs

Embedded: minutes on two CPU cores; what it reaches is in docs/reference/results.md.
ImageNet: the authors' recipe; not yet run with jssl.
PMSN (arXiv 2210.07277) is --config.model.prior_exponent=0.25 --config.model.sinkhorn_iterations=0.
"""

from typing import Any

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, OwnImages, policies

EPOCHS = 800
# Rate and decay follow cosines that are a quarter longer than the run; steps count from 1.
RATE: Config = dict(warmup_epochs=15.0, warmup_factor=0.2, warmup_endpoint=False)
LONGER: Config = dict(first_step=1, cosine_epochs=1.25 * EPOCHS)


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    return choose(variant, embedded=embedded, imagenet=imagenet)


def embedded() -> Config:
    """A small vision transformer on 6,000 images of handwritten digits."""
    arch = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
    sizes = dict(img_size=24, patch_size=4, init_std=0.1)
    # Positions relative to each other: a table tells at once where the digit is.
    backbone = dict(type='DINOViT', arch=arch, rotary={}, **sizes)
    head = dict(out_channels=64, hid_channels=128, bottleneck=64)
    focal: Config = dict(focal_size=16, focal_scale=(0.35, 0.5), focal_copies=1)
    return dict(
        model=model(backbone, 64, head) | dict(base_momentum=0.99),
        **recipes.digits(size=24, resize=24, standardize=True),
        views=policies.msn(**focal, **recipes.no_light()),
        **recipes.cosine(adamw(2e-3), batch_size=64, epochs=40, warmup_epochs=3.0),
    )


def own(images: OwnImages) -> Config:
    """The user's own images: what `--data=folder:photos` trains on."""
    sizes = dict(img_size=images.size, patch_size=images.patch)
    backbone = dict(type='VisionTransformer', arch=images.arch, **sizes)
    network = model(backbone, images.arch['embed_dims'], {}) | dict(base_momentum=0.99)
    views = policies.msn(images.size, images.size // 2, focal_copies=4)
    return dict(model=network, views=views, **images.run(adamw(images.lr)))


def imagenet() -> Config:
    """ViT-S/16, whose position table is resized plainly."""
    backbone = dict(type='DINOViT', arch='deit-small', interpolation='plain')
    growing = dict(type='WarmupCosine', min_lr=0.4, **LONGER)
    rate = RATE | LONGER | dict(cosine_epochs=1.25 * EPOCHS - 15, min_lr=1e-6)
    optimizer = adamw(1e-3, decay_schedule=growing)
    return dict(
        model=model(backbone, 384, {}),
        **recipes.imagenet_in_bfloat16(),
        views=policies.msn(),
        **recipes.cosine(optimizer, batch_size=1024, epochs=EPOCHS, **rate),
    )


def model(backbone: Config, width: int, head: Config) -> Config:
    """The algorithm."""
    sizes = dict(type='DINOHead', in_channels=width, out_channels=1024, with_bn=True)
    return dict(type='MSN', backbone=backbone, head=sizes | head)


def adamw(lr: float, **fields: Any) -> Config:
    """AdamW that decays neither prototypes nor vectors."""
    keys = dict(last_layer=dict(decay_mult=0.0))
    own = dict(weight_decay=0.04, clip=3.0, vectors=dict(decay_mult=0.0), custom_keys=keys)
    return recipes.adamw(lr, **(own | fields))
