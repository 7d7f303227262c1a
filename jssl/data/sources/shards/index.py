"""What shards hold is noted once in the user's cache, so that the next run need not look again."""

import contextlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jssl.data.sources.fixed_file import FixedFile
from jssl.data.sources.shards.samples import Samples, read_samples
from jssl.errors import JsslError
from jssl.files import cache_folder, replace_file

VERSION = 2
ARRAYS = ('offsets', 'sizes', 'labels')
LEFT_OUT, ENDED, KEYS = 'left_out', 'ended', 'keys'


def indexed(file: FixedFile, image: str | None, label: str | None) -> Samples:
    """The samples of a shard: as noted, if it has the same size and time, else from its headers.

    Args:
      file: an archive.
      image: see `read_samples`.
      label: see there.

    Raises:
      JsslError: see `read_samples`, or it cannot be read.
    """
    path = cache_folder('shards') / f'{file.digest(VERSION, image, label)}.npz'
    noted = _noted(path, file)
    if noted is not None:
        return noted
    try:
        samples = read_samples(file, image, label)
    except OSError as error:
        raise JsslError(f'{file.path} cannot be read: {error.strerror or error}.') from error
    with contextlib.suppress(OSError):  # of a cache that cannot be written, or another process
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, _packed(samples))
    return samples


def _packed(samples: Samples) -> bytes:
    buffer = io.BytesIO()
    keys = '\n'.join(json.dumps(key) for key in samples.keys)
    arrays: dict[str, Any] = {name: getattr(samples, name) for name in ARRAYS}
    arrays[LEFT_OUT], arrays[ENDED] = np.array(samples.left_out), np.array(samples.ended)
    arrays[KEYS] = np.frombuffer(keys.encode(), np.uint8)
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _noted(path: Path, file: FixedFile) -> Samples | None:
    """The note at `path`; None where there is none, or it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as found:
            arrays = [np.asarray(found[name]) for name in ARRAYS]
            left_out, ended = int(found[LEFT_OUT]), bool(found[ENDED])
            text = found[KEYS].tobytes().decode()
        keys = [json.loads(line) for line in text.split('\n')] if text else []
    except (OSError, ValueError, LookupError, EOFError, TypeError, zipfile.BadZipFile):
        return None
    offsets, sizes, labels = arrays
    whole = all(array.dtype == np.int64 and array.shape == (len(keys),) for array in arrays)
    if not whole or (offsets < 0).any() or (sizes < 0).any() or (offsets + sizes > file.size).any():
        return None
    return Samples(keys, offsets, sizes, labels, left_out, ended)
