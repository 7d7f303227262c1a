"""A vision transformer or a ResNet under torchvision's names, without a classifier."""

from pathlib import Path

from jssl.interop.exporters import Parcel
from jssl.interop.layouts import mmselfsup, torchvision
from jssl.interop.outgoing import write_named

HELP = "a vision transformer or ResNet by torchvision's names"
ENDING = '.safetensors'
USE = """In torchvision, for a ResNet (of a vision transformer the classifier is called `heads`):

```python
network = torchvision.models.get_model(NAME)
network.fc = torch.nn.Identity()
network.load_state_dict(safetensors.torch.load_file({name!r}))
```"""


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    write_named(path, parcel, torchvision.VIT, mmselfsup.RESNET)
