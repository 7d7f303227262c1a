"""Arrays in a .safetensors file, as torchvision, timm and MMSelfSup's users read them."""

from pathlib import Path

from jssl.interop.exporters import Parcel
from jssl.weights.files import write_weights

HELP = 'arrays by name, read by safetensors.torch, safetensors.numpy and jssl.load'
ENDING = '.safetensors'
USE = 'The arrays alone: `safetensors.numpy.load_file({name!r})`.'


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    write_weights(path, parcel.arrays, parcel.metadata)
