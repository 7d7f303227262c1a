"""A network in a folder that `from_pretrained` of transformers takes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jssl.errors import JsslError
from jssl.files import replace_file
from jssl.interop.companions import CONFIG, IMAGES, RESAMPLE
from jssl.interop.exporters import Parcel
from jssl.interop.huggingface import (
    beit_config,
    convnext_config,
    resnet_config,
    siglip_config,
    swin_config,
    vit_config,
)
from jssl.interop.layouts import beit, convnext, huggingface, resnet, siglip, swin
from jssl.interop.layouts.vit import rotary_base
from jssl.interop.outgoing import MODEL, MOMENTS, PYTORCH, evaluated, fitting_layout, named
from jssl.layers.swiglu import gated_width
from jssl.weights.files import write_weights

HELP = "a folder for Hugging Face's transformers, of a vision transformer, Swin, ConvNeXt or ResNet"
ENDING = ''
USE = """In transformers:

```python
import transformers
from PIL import Image

network = transformers.AutoModel.from_pretrained({name!r})
images = transformers.AutoImageProcessor.from_pretrained({name!r})
outputs = network(**images(Image.open('a.jpg'), return_tensors='pt'){other_size})
```"""
LARGEST_RATIO = 64
ARCHITECTURES = {
    'vit': 'ViTModel',
    'ijepa': 'IJepaModel',
    'dinov2': 'Dinov2Model',
    'dinov2_with_registers': 'Dinov2WithRegistersModel',
    'dinov3_vit': 'DINOv3ViTModel',
    'beit': 'BeitModel',
}
LAYOUTS = {
    'vit': huggingface.VIT,
    'ijepa': huggingface.VIT,
    'dinov2': huggingface.DINOV2,
    'dinov2_with_registers': huggingface.DINOV2_REGISTERS,
    'dinov3_vit': huggingface.DINOV3,
    'beit': beit.HF_BEIT,
}
# Of other networks, and what their config.json says.
OTHERS = (
    (siglip.HF_SIGLIP, siglip_config),
    (swin.HUGGING_FACE, swin_config),
    (convnext.HUGGING_FACE, convnext_config),
    (resnet.HUGGING_FACE, resnet_config),
)


def write(path: Path, parcel: Parcel) -> None:
    """Writes the folder; each file of it is whole or as it was."""
    backbone: Any = parcel.backbone
    layout = fitting_layout(backbone, *(found for found, _ in OTHERS), huggingface.VIT)
    if layout is huggingface.VIT:
        kind = model_type(backbone)
        layout, config = LAYOUTS[kind], _config(backbone, kind, parcel.arrays)
        config |= {'model_type': kind, 'architectures': [ARCHITECTURES[kind]]}
    else:
        config = dict(OTHERS)[layout](backbone, parcel.arrays)
    arrays = named(parcel, layout)
    path.mkdir(parents=True, exist_ok=True)
    write_weights(path / MODEL, arrays, PYTORCH | dict(parcel.metadata))
    replace_file(path / CONFIG, json.dumps(config, indent=2).encode())
    images = _images(evaluated(parcel.metadata))
    replace_file(path / IMAGES, json.dumps(images, indent=2).encode())


def facts(parcel: Parcel) -> dict[str, str]:
    """What the network is to be told with images that are not of the size of its table."""
    backbone: Any = parcel.backbone
    kinds = {kind.__name__ for kind in type(backbone).__mro__}
    asks = siglip.HF_SIGLIP.kind in kinds or (
        huggingface.VIT.kind in kinds and model_type(backbone) in ('vit', 'ijepa')
    )
    size = evaluated(parcel.metadata).get('size')
    other = asks and size not in (None, backbone.img_size)
    return {'other_size': ', interpolate_pos_encoding=True' if other else ''}


def model_type(backbone: Any) -> str:
    """Which of the vision transformers there a backbone is.

    Raises:
      JsslError: it is none.
    """
    if backbone.relative_field:
        return 'beit'
    if not backbone.with_cls_token and not _is_plain(backbone):
        raise JsslError(
            'Hugging Face has no vision transformer without a class token that has registers, '
            'scales, gates or rotary positions; export it as timm or safetensors.'
        )
    if backbone.rotary is not None:
        return 'dinov3_vit'
    if backbone.num_registers:
        return 'dinov2_with_registers'
    if not _is_plain(backbone):
        return 'dinov2'
    return 'vit' if backbone.with_cls_token else 'ijepa'


def _is_plain(backbone: Any) -> bool:
    added = (backbone.rotary, backbone.layer_scale)
    return added == (None, None) and not backbone.num_registers and backbone.ffn == 'mlp'


def _config(backbone: Any, kind: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    size, gated = backbone.size, backbone.ffn != 'mlp'
    config = vit_config(backbone, arrays)
    if kind in ('vit', 'ijepa'):
        return config | {'intermediate_size': size.feedforward_channels, 'qkv_bias': True}
    if kind == 'beit':
        return config | beit_config(backbone, arrays)
    if kind != 'dinov3_vit':
        options = {'use_swiglu_ffn': gated, 'mlp_ratio': _ratio(size, gated), 'qkv_bias': True}
        masked = {'use_mask_token': 'mask_token' in arrays}
        registers = {'num_register_tokens': backbone.num_registers}
        return config | options | (registers if backbone.num_registers else masked)
    hidden = arrays['layers.0.ffn.w3.weight'].shape[1] if gated else size.feedforward_channels
    return config | {
        'intermediate_size': hidden,
        'use_gated_mlp': gated,
        'hidden_act': 'silu' if gated else config['hidden_act'],
        'num_register_tokens': backbone.num_registers,
        'rope_theta': rotary_base("Hugging Face's DINOv3", backbone),
        'key_bias': False,
    }


def _ratio(size: Any, gated: bool) -> int:
    """The whole number by which it multiplies the width; gated networks have two thirds of that."""
    for ratio in range(1, LARGEST_RATIO):
        wide = size.embed_dims * ratio
        if wide == size.feedforward_channels or (
            gated and gated_width(wide) == gated_width(size.feedforward_channels)
        ):
            return ratio
    raise JsslError(
        f'feedforward_channels={size.feedforward_channels} is no multiple of embed_dims='
        f"{size.embed_dims}, as it is in Hugging Face's DINOv2; export it as timm or safetensors."
    )


def _images(view: Mapping[str, Any]) -> dict[str, Any]:
    """What prepares images there as `view` does it here, as far as that is known."""
    config: dict[str, Any] = {'image_processor_type': 'BitImageProcessor', 'do_resize': True}
    config |= {f'image_{name}': view[name] for name in MOMENTS if name in view}
    if {'size', 'resize', 'interpolation'} <= view.keys():
        config |= {
            'size': {'shortest_edge': view['resize']},
            'crop_size': {'height': view['size'], 'width': view['size']},
            'resample': RESAMPLE[view['interpolation']],
        }
    return config
