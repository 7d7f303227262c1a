"""The reference's recipes for fine-tuning on ImageNet, by the method that pre-trained."""

from jssl import recipes
from jssl.recipes import Config, policies

MEAN_OF_TOKENS = dict(avg_token=True, final_norm=False)
CAE_BLOCKS = dict(qkv_bias=False, layer_scale=0.1, use_rel_pos_bias=True, **MEAN_OF_TOKENS)
HALF = dict(mean=(127.5,) * 3, std=(127.5,) * 3)
SLOW = dict(warmup=20.0)
SWIN = dict(factor=2e-4, clip=5.0, no_decay=('.norm', '.bias', 'relative_position_bias'), **SLOW)
MOCO = dict(factor=1e-3, floor=1e-5, clip=5.0, init_std=0.02)
# Backbone; then batch size, epochs, base rate, its decay from layer to layer, and the rest.
RECIPES: dict[str, tuple[Config, tuple[int, int, float, float | None], Config]] = {
    'mae-base': (MEAN_OF_TOKENS, (1024, 100, 2e-3, 0.65), {}),
    'mae-large': (dict(arch='large', **MEAN_OF_TOKENS), (1024, 50, 4e-3, 0.75), {}),
    'mae-huge': (
        dict(arch='huge', patch_size=14, drop_path_rate=0.3, **MEAN_OF_TOKENS),
        (1024, 50, 4e-3, 0.75),
        {},
    ),
    'mae-huge-448': (
        dict(arch='huge', patch_size=14, drop_path_rate=0.3, **MEAN_OF_TOKENS),
        (256, 50, 4e-3, 0.75),
        dict(size=448, resize=512),
    ),
    'maskfeat': (MEAN_OF_TOKENS, (2048, 100, 8e-3, 0.65), dict(init_std=0.02, jitter=0.4, **SLOW)),
    'cae': (CAE_BLOCKS, (1024, 100, 8e-3, 0.65), dict(view=HALF)),
    'mocov3-base': ({}, (512, 150, 5e-4, None), MOCO),
    'mocov3-large': (dict(arch='large', drop_path_rate=0.5), (512, 100, 5e-4, None), MOCO),
    'simmim-192': (
        dict(type='SwinTransformer', window_size=6),
        (2048, 100, 5e-3, 0.9),
        dict(size=192, resize=219, **SWIN),
    ),
    'simmim-224': (dict(type='SwinTransformer', window_size=7), (2048, 100, 5e-3, 0.9), SWIN),
    'simmim-large': (
        dict(
            type='SwinTransformer',
            arch='large',
            window_size=14,
            pad_small_map=True,
            drop_path_rate=0.2,
        ),
        (2048, 100, 5e-3, 0.7),
        SWIN,
    ),
}


def recipe(name: str) -> tuple[Config, Config, Config]:
    """The backbone, the head, and all else of a config beside its model, of a key of `RECIPES`."""
    backbone, numbers, options = RECIPES[name]
    return _made(backbone, *numbers, **options)


def _made(
    backbone: Config,
    batch_size: int,
    epochs: int,
    lr: float,
    layer_decay_rate: float | None,
    *,
    size: int = 224,
    resize: int = 256,
    warmup: float = 5.0,
    factor: float = 1e-4,
    floor: float = 1e-6,
    clip: float | None = None,
    init_std: float = 2e-5,
    view: Config | None = None,
    jitter: float = 0.0,
    no_decay: tuple[str, ...] = ('.ln', '.bias', '.cls_token', '.pos_embed'),
) -> tuple[Config, Config, Config]:
    network = dict(type='VisionTransformer', arch='base', img_size=size, drop_path_rate=0.1)
    loss = dict(type='CrossEntropyLoss', label_smoothing=0.1)
    normalise = view or {}
    optimizer = dict(
        type='AdamW',
        lr=lr,
        weight_decay=0.05,
        layer_decay_rate=layer_decay_rate,
        clip=clip,
        custom_keys={key: dict(decay_mult=0.0) for key in no_decay},
    )
    rate = dict(warmup_epochs=warmup, warmup_factor=factor, min_lr=floor)
    return (
        network | backbone,
        dict(type='LinearClsHead', init_std=init_std, loss=loss, dtype='float32'),
        dict(
            **recipes.imagenet_in_bfloat16(
                size=size, resize=resize, interpolation='bicubic', **normalise
            ),
            views=policies.fine_tune(size=size, jitter=jitter, **normalise),
            **recipes.cosine(optimizer, batch_size=batch_size, epochs=epochs, **rate),
        ),
    )
