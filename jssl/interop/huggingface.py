"""What Hugging Face's `config.json` says of networks that are no vision transformers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


def swin_config(backbone: Any, arrays: Arrays) -> dict[str, Any]:
    """That of a `SwinTransformer`."""
    size = backbone.size
    return {
        'model_type': 'swin',
        'architectures': ['SwinModel'],
        'embed_dim': size.embed_dims,
        'depths': list(size.depths),
        'num_heads': list(size.num_heads),
        'hidden_size': size.embed_dims * 2 ** (len(size.depths) - 1),
        'window_size': backbone.window_size,
        'image_size': backbone.img_size,
        'patch_size': backbone.patch_size,
        'num_channels': arrays['patch_embed.projection.weight'].shape[1],
        'use_absolute_embeddings': backbone.use_abs_pos_embed,
        'mlp_ratio': 4.0,
        'qkv_bias': True,
        'hidden_act': 'gelu',
        'layer_norm_eps': 1e-5,
    }
