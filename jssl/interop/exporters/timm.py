"""A network under timm's names, for strict loading without a classifier."""

from pathlib import Path

from jssl.interop.exporters import Parcel
from jssl.interop.layouts import convnext, resnet, swin, timm
from jssl.interop.outgoing import write_named

HELP = "a vision transformer, Swin, ConvNeXt or ResNet by timm's names"
ENDING = '.safetensors'
USE = """In timm, with the name of the architecture:

```python
network = timm.create_model(NAME, num_classes=0)
network.load_state_dict(safetensors.torch.load_file({name!r}))
```"""


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    rotary = getattr(parcel.backbone, 'rotary', None) is not None
    vit = timm.DINOV3 if rotary else timm.VIT
    write_named(path, parcel, vit, swin.TIMM, convnext.TIMM, resnet.TIMM_DEEP, resnet.RESNET)
