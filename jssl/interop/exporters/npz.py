"""Arrays in a .npz file, which NumPy alone reads; the comment of the archive is the metadata."""

import json
import zipfile
from pathlib import Path

import numpy as np

from jssl.files import replacing
from jssl.interop.exporters import Parcel

HELP = 'arrays by name, read by numpy.load and jssl.load'
ENDING = '.npz'
USE = 'The arrays alone: `numpy.load({name!r})`.'


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    with replacing(path) as part:
        with part.open('xb') as file:
            np.savez(file, allow_pickle=False, **parcel.arrays)
        with zipfile.ZipFile(part, 'a') as archive:
            archive.comment = json.dumps(dict(parcel.metadata)).encode()
