"""A network under torchvision's names, without a classifier."""

from pathlib import Path

from jssl.interop.exporters import Parcel
from jssl.interop.layouts import resnet, swin, torchvision
from jssl.interop.outgoing import write_named

HELP = "a vision transformer, Swin or ResNet by torchvision's names"
ENDING = '.safetensors'
USE = """In torchvision, for a ResNet (`heads` classifies in a ViT, `head` in a Swin):

```python
network = torchvision.models.get_model(NAME)
network.fc = torch.nn.Identity()
network.load_state_dict(safetensors.torch.load_file({name!r}))
```"""


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    write_named(path, parcel, torchvision.VIT, swin.TORCHVISION, resnet.RESNET)
