"""What Hugging Face's `config.json` says of networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.interop.layouts.resnet import check_stem

Arrays = Mapping[str, np.ndarray]
STRIDES = ((1, 2, 2, 2), (2, 2, 2, 2))  # of the stages of residual networks
ACTIVATIONS = {'gelu': 'gelu', 'gelu_tanh': 'gelu_pytorch_tanh'}


def vit_config(backbone: Any, arrays: Arrays) -> dict[str, Any]:
    """What is said of every `VisionTransformer`."""
    size = backbone.size
    return {
        'hidden_size': size.embed_dims,
        'num_hidden_layers': size.num_layers,
        'num_attention_heads': size.num_heads,
        'image_size': backbone.img_size,
        'patch_size': backbone.patch_size,
        'num_channels': arrays['patch_embed.projection.weight'].shape[1],
        'layer_norm_eps': backbone.norm_epsilon,
        'hidden_act': ACTIVATIONS[backbone.activation],
    }


def siglip_config(backbone: Any, arrays: Arrays) -> dict[str, Any]:
    """That of a `SigLIPViT`."""
    return vit_config(backbone, arrays) | {
        'model_type': 'siglip_vision_model',
        'architectures': ['SiglipVisionModel'],
        'intermediate_size': backbone.size.feedforward_channels,
    }


def beit_config(backbone: Any, arrays: Arrays) -> dict[str, Any]:
    """What is said of a BEiT beside `vit_config`."""
    return {
        'intermediate_size': backbone.size.feedforward_channels,
        'use_mask_token': 'mask_token' in arrays,
        'use_absolute_position_embeddings': 'pos_embed' in arrays,
        'use_relative_position_bias': backbone.use_rel_pos_bias,
        'use_shared_relative_position_bias': backbone.use_shared_rel_pos_bias,
        'use_mean_pooling': backbone.avg_token,
    }


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


def convnext_config(backbone: Any, arrays: Arrays) -> dict[str, Any]:
    """That of a `ConvNeXt`.

    Raises:
      JsslError: it has both what the second version has and scales, as in neither of them.
    """
    if backbone.use_grn and backbone.layer_scale:
        raise JsslError(
            f'Hugging Face has no ConvNeXt with use_grn=True and layer_scale='
            f'{backbone.layer_scale}; export it as timm or safetensors.'
        )
    size = backbone.size
    kind = ('convnextv2', 'ConvNextV2Model') if backbone.use_grn else ('convnext', 'ConvNextModel')
    config = {
        'model_type': kind[0],
        'architectures': [kind[1]],
        'depths': list(size.depths),
        'hidden_sizes': list(size.channels),
        'num_stages': len(size.depths),
        'patch_size': backbone.stem_patch_size,
        'num_channels': arrays['downsample_layers.0.0.weight'].shape[1],
        'hidden_act': 'gelu',
        'layer_norm_eps': backbone.norm_epsilon,
    }
    scales = {'layer_scale_init_value': backbone.layer_scale or 0.0}
    return config | ({} if backbone.use_grn else scales)


def resnet_config(backbone: Any, arrays: Arrays) -> dict[str, Any]:
    """That of a `ResNet`.

    Raises:
      JsslError: it is of another kind, or strides otherwise than theirs.
    """
    if 'conv1.weight' in arrays:
        check_stem(backbone, dict(arrays))
    kind, strides = type(backbone).__name__, tuple(backbone.strides)
    if kind != 'ResNet' or strides not in STRIDES:
        raise JsslError(
            f'The residual networks of Hugging Face are ResNets with strides '
            f'{" or ".join(map(str, STRIDES))}, and this is a {kind} with strides={strides}; '
            'export it as timm or safetensors.'
        )
    bottleneck = 'layer1.0.conv3.weight' in arrays
    blocks = {tuple(key.split('.')[:2]) for key in arrays if key.startswith('layer')}
    names = [stage for stage, _ in blocks]
    last = 'conv3' if bottleneck else 'conv2'
    return {
        'model_type': 'resnet',
        'architectures': ['ResNetModel'],
        'num_channels': arrays['conv1.weight'].shape[1],
        'embedding_size': arrays['conv1.weight'].shape[0],
        'hidden_sizes': [arrays[f'layer{n}.0.{last}.weight'].shape[0] for n in range(1, 5)],
        'depths': [names.count(f'layer{n}') for n in range(1, 5)],
        'layer_type': 'bottleneck' if bottleneck else 'basic',
        'hidden_act': 'relu',
        'downsample_in_first_stage': backbone.strides[0] == 2,
        'downsample_in_bottleneck': bottleneck and backbone.style == 'caffe',
    }
