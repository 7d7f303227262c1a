"""A program of StableHLO with the weights in it, which JAX runs without jssl, on any platform."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
from jax import export

from jssl.errors import JsslError, in_words
from jssl.files import replace_file
from jssl.interop.exporters import Parcel
from jssl.interop.programs import program_of

HELP = 'a program for JAX without jssl, on CPUs, GPUs and TPUs'
ENDING = '.stablehlo'
USE = """Without jssl, by JAX and flatbuffers, on CPUs, CUDA GPUs and TPUs: uint8 images
`(B, {side}, {side}, {channels})` in, prepared but for mean and deviation, and features `(B, D)`
out, for any `B`:

```python
import numpy as np
from jax import export

with open({name!r}, 'rb') as file:
    program = export.deserialize(bytearray(file.read()))
images = np.zeros((1, {side}, {side}, {channels}), np.uint8)  # yours
features = program.call(images)
```"""
PROGRAM = True
PLATFORMS = ('cpu', 'cuda', 'tpu')


def facts(parcel: Parcel) -> dict[str, int]:
    """The shape of an image."""
    side, _, channels = program_of(parcel).image
    return {'side': side, 'channels': channels}


def write(path: Path, parcel: Parcel) -> None:
    """Writes the file; who dies here leaves the former one whole.

    Raises:
      JsslError: the package that writes such files is missing, or the network uses what cannot be
        compiled for all platforms or for any batch.
    """
    if importlib.util.find_spec('flatbuffers') is None:
        raise JsslError(
            "--to=stablehlo needs flatbuffers, which is not installed: pip install 'jssl[export]'"
        )
    run, image = program_of(parcel)
    images = jax.ShapeDtypeStruct((*export.symbolic_shape('b'), *image), jnp.uint8)
    try:
        exported = export.export(jax.jit(run), platforms=PLATFORMS)(images)
    except JsslError:
        raise
    except Exception as error:  # of whatever module the network is
        raise JsslError(
            f'{type(parcel.backbone).__name__} cannot be compiled for any batch on '
            f'{", ".join(PLATFORMS)}: {in_words(error).rstrip(".")}. Set '
            "config.model.backbone.implementation='xla' where it asks for cuDNN, or give "
            '--to=safetensors.'
        ) from error
    replace_file(path, bytes(exported.serialize()))
