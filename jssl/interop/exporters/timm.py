"""A network under timm's names, for strict loading without a classifier."""

from pathlib import Path
from typing import Any

from jssl.interop.exporters import Parcel
from jssl.interop.layouts import beit, convnext, resnet, siglip, swin, timm
from jssl.interop.layouts.layout import Layout
from jssl.interop.outgoing import write_named
from jssl.layers.rotary import make_rotary

HELP = "a vision transformer, Swin, ConvNeXt or ResNet by timm's names"
ENDING = '.safetensors'
USE = """In timm, with the name of the architecture:

```python
network = timm.create_model(NAME, num_classes=0, checkpoint_path={name!r})
```"""


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    vit = _of_tokens(parcel.backbone)
    others = (swin.TIMM, convnext.TIMM, resnet.TIMM_DEEP, resnet.RESNET)
    write_named(path, parcel, siglip.TIMM_SIGLIP, vit, *others)


def _of_tokens(backbone: Any) -> Layout:
    """Which of timm's vision transformers a backbone is, if it is one."""
    rotary = make_rotary(getattr(backbone, 'rotary', None))
    if rotary is not None and not rotary.adjacent:
        return timm.DINOV3
    if rotary is not None:
        return beit.EVA02 if backbone.ffn == 'swiglu' else beit.EVA
    if getattr(backbone, 'qkv_bias', True):
        return timm.VIT
    if backbone.relative_field:
        return beit.BEIT
    return timm.VIT if backbone.layer_scale is not None else beit.EVA
