"""A network in a folder that `create_model` of timm takes, without a classifier."""

import json
from pathlib import Path
from typing import Any

from jssl.files import replace_file
from jssl.interop.companions import CONFIG
from jssl.interop.exporters import Parcel
from jssl.interop.layouts import beit, convnext, resnet, siglip, swin, timm
from jssl.interop.layouts.layout import Layout
from jssl.interop.outgoing import MODEL, evaluated, fitting_layout, named, said
from jssl.interop.timm import (
    beit_model,
    convnext_model,
    eva_model,
    resnet_model,
    siglip_model,
    swin_model,
    vit_model,
)
from jssl.layers.rotary import make_rotary
from jssl.weights.files import write_weights

HELP = 'a folder for timm, of a vision transformer, Swin, ConvNeXt or ResNet'
ENDING = ''
USE = """In timm:

```python
import timm

network = timm.create_model('local-dir:' + {name!r}, pretrained=True)
images = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
```"""
MODELS = {
    timm.VIT: vit_model,
    timm.DINOV3: eva_model,
    beit.EVA: eva_model,
    beit.EVA02: eva_model,
    beit.BEIT: beit_model,
    siglip.TIMM_SIGLIP: siglip_model,
    convnext.TIMM: convnext_model,
    resnet.TIMM_DEEP: resnet_model,
    resnet.RESNET: resnet_model,
}
# By the kind of the network; of timm's vision transformers there are several.
OTHERS = (siglip.TIMM_SIGLIP, swin.TIMM, convnext.TIMM, resnet.TIMM_DEEP, resnet.RESNET)


def write(path: Path, parcel: Parcel) -> None:
    """Writes the folder; each file of it is whole or as it was."""
    backbone: Any = parcel.backbone
    layout = fitting_layout(backbone, *OTHERS, timm.VIT)
    layout = _of_tokens(backbone) if layout is timm.VIT else layout
    arrays, view = named(parcel, layout), evaluated(parcel.metadata)
    if layout is swin.TIMM:
        model = swin_model(backbone, view.get('size', backbone.img_size))
    else:
        model = MODELS[layout](backbone, arrays)
    path.mkdir(parents=True, exist_ok=True)
    write_weights(path / MODEL, arrays, said(parcel, layout))
    replace_file(path / CONFIG, json.dumps(model.config(arrays, view), indent=2).encode())


def _of_tokens(backbone: Any) -> Layout:
    """Which of timm's vision transformers a backbone is, if it is one."""
    rotary = make_rotary(backbone.rotary)
    if rotary is not None and not rotary.adjacent:
        return timm.DINOV3
    if rotary is not None:
        return beit.EVA02 if backbone.ffn == 'swiglu' else beit.EVA
    if backbone.qkv_bias:
        return timm.VIT
    if backbone.relative_field:
        return beit.BEIT
    return timm.VIT if backbone.layer_scale is not None else beit.EVA
