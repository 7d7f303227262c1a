"""Arrays in a .npz file, which NumPy alone reads; the comment of the archive is the metadata."""

import json
import zipfile
from pathlib import Path

import numpy as np

from jssl.interop.exporters import Parcel

HELP = 'arrays by name, read by numpy.load and jssl.load'
ENDING = '.npz'
USE = 'The arrays alone: `numpy.load({name!r})`.'


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole."""
    part = path.with_name(f'{path.name}.part')
    try:
        part.unlink(missing_ok=True)  # a link would be followed
        with part.open('xb') as file:
            np.savez(file, allow_pickle=False, **parcel.arrays)
        with zipfile.ZipFile(part, 'a') as archive:
            archive.comment = json.dumps(dict(parcel.metadata)).encode()
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
