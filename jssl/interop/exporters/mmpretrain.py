"""A network, or a whole algorithm, under the names of MMPretrain's models."""

from pathlib import Path

from jssl.interop.exporters import Parcel
from jssl.interop.layouts import convnext, mmpretrain, resnet, swin
from jssl.interop.outgoing import PYTORCH, fitting_layout, named, said
from jssl.weights.files import write_weights

HELP = "a backbone, or with --whole the algorithm, by MMPretrain's names"
ENDING = '.safetensors'
USE = """In MMPretrain, for a model that is built from a config:

```python
import safetensors.torch

weights = safetensors.torch.load_file({name!r})
model.load_state_dict(weights, strict=False)
```"""
LAYOUTS = (mmpretrain.VIT, swin.MMPRETRAIN, convnext.MMPRETRAIN, resnet.MMPRETRAIN)
PREFIX = 'backbone.'  # as in checkpoints of its classifiers and algorithms


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    if parcel.backbone is None:
        write_weights(path, parcel.arrays, PYTORCH | dict(parcel.metadata))
        return
    layout = fitting_layout(parcel.backbone, *LAYOUTS)
    arrays = {f'{PREFIX}{key}': value for key, value in named(parcel, layout).items()}
    write_weights(path, arrays, said(parcel, layout))
