"""A vision transformer or a ResNet under timm's names, for strict loading without a classifier."""

from pathlib import Path

from jssl.interop.exporters import Parcel
from jssl.interop.layouts import mmselfsup, timm
from jssl.interop.outgoing import write_named

HELP = "a vision transformer or ResNet by timm's names"
ENDING = '.safetensors'
USE = """In timm, with the name of the architecture:

```python
network = timm.create_model(NAME, num_classes=0)
network.load_state_dict(safetensors.torch.load_file({name!r}))
```"""


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    write_named(path, parcel, timm.VIT, mmselfsup.RESNET)
