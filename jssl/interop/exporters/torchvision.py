"""A network under torchvision's names, without a classifier."""

from pathlib import Path
from typing import Any

from jssl.errors import JsslError
from jssl.interop.exporters import Parcel
from jssl.interop.layouts import resnet, swin, torchvision
from jssl.interop.outgoing import fitting_layout, write_named

HELP = "a vision transformer, Swin or ResNet by torchvision's names"
ENDING = '.safetensors'
USE = """In torchvision, for images of {sizes}:

```python
import safetensors.torch
import torch
import torchvision

network = torchvision.models.{network}
network.{head} = torch.nn.Identity()  # its classifier
network.load_state_dict(safetensors.torch.load_file({name!r}))
network.eval()
```"""
LAYOUTS = (torchvision.VIT, swin.TORCHVISION, resnet.RESNET)
WIDTH = 64  # of the first stage of all residual networks there
STRIDES = (1, 2, 2, 2)


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole.

    Raises:
      JsslError: torchvision has no such network.
    """
    layout = fitting_layout(parcel.backbone, *LAYOUTS)
    if layout is resnet.RESNET:
        resnet.check_stem(parcel.backbone, dict(parcel.arrays))
        _check_resnet(parcel.backbone)
    write_named(path, parcel, layout)


def _check_resnet(backbone: Any) -> None:
    wanted = {'base_channels': WIDTH, 'strides': STRIDES, 'style': 'pytorch'}
    for field, value in wanted.items():
        found = getattr(backbone, field)
        found = tuple(found) if field == 'strides' else found
        if found != value and (field != 'style' or backbone.depth >= 50):
            raise JsslError(
                f"torchvision's residual networks have {field}={value!r}, and this one has "
                f'config.model.backbone.{field}={found!r}; give --to=safetensors, which jssl.load '
                'reads.'
            )


def facts(parcel: Parcel) -> dict[str, str]:
    """How the network is made there, what its classifier is called, and which images it takes."""
    layout, backbone = fitting_layout(parcel.backbone, *LAYOUTS), parcel.backbone
    if layout is resnet.RESNET:
        return {'network': _resnet(backbone, parcel), 'head': 'fc', 'sizes': 'any size'}
    if layout is swin.TORCHVISION:
        return {'network': _swin(backbone), 'head': 'head', 'sizes': 'any size'}
    side: int = backbone.img_size  # type: ignore[union-attr]
    return {'network': _vit(backbone), 'head': 'heads', 'sizes': f'{side} pixels alone'}


def _resnet(backbone: Any, parcel: Parcel) -> str:
    blocks = {tuple(key.split('.')[:2]) for key in parcel.arrays if key.startswith('layer')}
    depths = [sum(stage == f'layer{n}' for stage, _ in blocks) for n in range(1, 5)]
    kind = 'Bottleneck' if 'layer1.0.conv3.weight' in parcel.arrays else 'BasicBlock'
    fields = [field for field in ('groups', 'width_per_group') if hasattr(backbone, field)]
    groups = ''.join(f', {field}={getattr(backbone, field)}' for field in fields)
    return f'ResNet(torchvision.models.resnet.{kind}, {depths}{groups})'


def _swin(backbone: Any) -> str:
    size, window, patch = backbone.size, backbone.window_size, backbone.patch_size
    sizes = [[patch] * 2, size.embed_dims, list(size.depths), list(size.num_heads), [window] * 2]
    return f'SwinTransformer({", ".join(map(str, sizes))})'


def _vit(backbone: Any) -> str:
    size = backbone.size
    fields = {
        'image_size': backbone.img_size,
        'patch_size': backbone.patch_size,
        'num_layers': size.num_layers,
        'num_heads': size.num_heads,
        'hidden_dim': size.embed_dims,
        'mlp_dim': size.feedforward_channels,
    }
    return f'VisionTransformer({", ".join(f"{key}={value}" for key, value in fields.items())})'
