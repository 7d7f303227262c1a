"""The models that are compared: a method on a network of some size, and the views that it takes."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

from configs import byol, dino, mae, simclr, swav
from jssl import recipes
from jssl.algorithm import Algorithm, Run
from jssl.components import build
from jssl.errors import JsslError, suggest
from jssl.precision import with_dtype
from jssl.recipes import Config

STEPS = 1000  # of the run that momentum schedules are told of


@dataclasses.dataclass(frozen=True)
class Case:
    """What both sides compute.

    Attributes:
      algorithm: ours.
      sides: of the views in pixels, those of one size beside each other.
      batch: images in a step.
    """

    algorithm: Algorithm
    sides: tuple[int, ...]
    batch: int


# How wide the features of each ResNet are, and the sides of large and small views.
RESNETS: Mapping[str, tuple[Callable[[], Config], int, int, int]] = {
    'embedded': (recipes.small_resnet, 64, 24, 16),
    'resnet18': (recipes.cifar_resnet18, 512, 32, 16),
    'resnet50': (recipes.resnet50, 2048, 224, 96),
}
# The archs of vision transformers, and how wide they are.
VITS: Mapping[str, tuple[Any, int]] = {'small': ('deit-small', 384), 'base': ('base', 768)}
SMALL_NECK = (128, 64)
SMALL_VIT: Any = dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256)
SMALL_DECODER = dict(embed_dim=64, decoder_embed_dim=48, decoder_depth=1, decoder_num_heads=4)


def make_case(
    method: str, size: str, image: int | None, batch: int | None, dtype: str | None = None
) -> Case:
    """The model of a method at a size.

    Args:
      method: one of `METHODS`.
      size: one of its sizes.
      image: side of the large views, where it is not the usual one; small ones shrink with it.
      batch: images in a step, where they are not 64.
      dtype: of the computation.

    Raises:
      JsslError: there is no such size, or the images do not divide into patches.
    """
    make, sizes = METHODS[method]
    if size not in sizes:
        raise JsslError(f'--size={size!r} is none of {method}. {suggest(size, list(sizes))}')
    config, sides = make(size, image)
    algorithm = with_dtype(build('model', config), dtype)
    run = Run(samples=STEPS * (batch or 64), steps_per_epoch=STEPS, epochs=1)
    return Case(dataclasses.replace(algorithm, run=run), sides, batch or 64)


def two_of(
    config: Any, widths: tuple[int, int], size: str, image: int | None, **fields: Any
) -> tuple[Config, tuple[int, ...]]:
    """A method with two views on a ResNet; `widths` are those of its projections."""
    network, width, side, _ = RESNETS[size]
    widths = SMALL_NECK if size == 'embedded' else widths
    return config.model(network(), (width, *widths), **fields), (image or side,) * 2


def swav_of(size: str, image: int | None) -> tuple[Config, tuple[int, ...]]:
    """Two large and six small views of SwAV, without a queue."""
    network, width, side, small = RESNETS[size]
    embedded = size == 'embedded'
    head = dict(num_prototypes=128 if embedded else 3000, num_crops=(2, 6))
    model = swav.model(network(), (width, *(SMALL_NECK if embedded else (2048, 128))), head)
    return model, with_small(image or side, side, small, copies=6)


def mae_of(size: str, image: int | None) -> tuple[Config, tuple[int, ...]]:
    """One view of MAE."""
    decoder: Config
    if size == 'embedded':
        arch, side, patch, decoder = SMALL_VIT, image or 32, 4, SMALL_DECODER
    else:
        (arch, width), side, patch = VITS[size], image or 224, 16
        decoder = dict(embed_dim=width)
    return mae.model(arch, size=side, patch=patch, norm_pix=True, decoder=decoder), (side,)


def dino_of(size: str, image: int | None) -> tuple[Config, tuple[int, ...]]:
    """Two large and eight small views of DINO, without drop path."""
    if size == 'embedded':
        (arch, width), sides, patch = (SMALL_VIT, 64), (32, 16), 4
        head: Config = dict(out_channels=128, hid_channels=128, bottleneck=64)
    else:
        (arch, width), sides, patch, head = VITS[size], (224, 96), 16, {}
    side = image or sides[0]
    backbone = dict(type='DINOViT', arch=arch, img_size=side, patch_size=patch)
    return dino.model(backbone, width, head), with_small(side, *sides, copies=8, multiple=patch)


def with_small(
    image: int, usual: int, small: int, *, copies: int, multiple: int = 1
) -> tuple[int, ...]:
    """Two large views and `copies` small ones, as many times smaller as usual."""
    return (image,) * 2 + (max(image * small // usual // multiple, 1) * multiple,) * copies


simclr_of = functools.partial(two_of, simclr, (2048, 128), temperature=0.1)
byol_of = functools.partial(two_of, byol, (4096, 256), base_momentum=0.99)
METHODS: Mapping[str, tuple[Callable[..., tuple[Config, tuple[int, ...]]], tuple[str, ...]]] = {
    'simclr': (simclr_of, tuple(RESNETS)),
    'byol': (byol_of, tuple(RESNETS)),
    'swav': (swav_of, tuple(RESNETS)),
    'mae': (mae_of, ('embedded', *VITS)),
    'dino': (dino_of, ('embedded', *VITS)),
}
