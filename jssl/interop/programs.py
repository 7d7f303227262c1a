"""A network as a program that needs no code of jssl: images in, features out, weights within."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from jssl.errors import JsslError

if TYPE_CHECKING:
    from jssl.interop.exporters import Parcel


class Program(NamedTuple):
    """What runs elsewhere.

    Attributes:
      run: uint8 images (B, H, W, C), of any B -> float32 features (B, D).
      image: (H, W, C).
    """

    run: Callable[[jax.Array], jax.Array]
    image: tuple[int, int, int]


def program_of(parcel: 'Parcel') -> Program:
    """The program of what is exported.

    Each image goes through the network by itself, so that a network may take its batch for a
    number, which an export for any batch does not know.

    Raises:
      JsslError: it has no features, or its images are prepared by a function that no file tells.
    """
    view: dict[str, Any] = json.loads(parcel.metadata.get('eval_view', '{}'))
    if parcel.features is None:
        raise JsslError(
            'A program gives the features of images, and the whole algorithm has more; leave out '
            '--whole, or give --to=safetensors.'
        )
    if not {'size', 'mean', 'std'} <= view.keys():
        raise JsslError(
            f'config.eval_view is {view.get("type", "a function")}, of which a program cannot be '
            "made, since it does not say size, mean and std; evaluate with type='CenterView', or "
            'give --to=safetensors.'
        )
    features, mean, std = parcel.features, jnp.array(view['mean']), jnp.array(view['std'])

    def one(pixels: jax.Array) -> jax.Array:
        image = (pixels.astype(jnp.float32) - mean) / std
        return features(image[None])[0].astype(jnp.float32)

    side, channels = view['size'], int(parcel.metadata.get('channels', 3))
    return Program(jax.vmap(one), (side, side, channels))
