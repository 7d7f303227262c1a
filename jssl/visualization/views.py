"""A picture of what a config makes of some images: a row for each, the image and its views.

Views of several sizes are shown on one scale, and where the algorithm draws a `mask` what it hides
of the first view is covered with grey. `jssl views` writes it.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image, ImageOps

from jssl.augment.ops.normalize import denormalize
from jssl.checks import Count, check_value
from jssl.data.canvas import Canvas
from jssl.data.reading.bad_samples import read
from jssl.errors import JsslError
from jssl.evaluation import evenly_spaced
from jssl.paths import expanded
from jssl.training.experiment import Experiment
from jssl.training.step import make_views, step_keys
from jssl.visualization.images import view_grid

SIDE = 96  # pixels that a cell has at least
FORMATS = ('.png', '.webp')  # can be transparent between the cells
COVER = 0.8  # share of grey on what a mask hides

Numbers = float | Sequence[float]  # one a channel
Statistics = tuple[Numbers, Numbers]


def check_path(out: str) -> Path:
    """The path of the picture.

    Raises:
      JsslError: its ending is not that of a format that can be written, or no file can be there.
    """
    path = expanded(out)
    if path.suffix.lower() not in FORMATS:
        raise JsslError(f'--out={out!r} must end with {" or ".join(FORMATS)}.')
    above = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    if os.path.isdir(path) or not os.path.isdir(above):
        what = f'{above} is no folder' if not os.path.isdir(above) else 'it is a folder'
        name = 'views.png' if os.path.isdir(path) else path.name
        raise JsslError(
            f'--out={out!r} cannot be written: {what}; give another, such as --out={name}.'
        )
    return path


def save(picture: Image.Image, path: Path) -> None:
    """Writes a picture, and the folder that it is in.

    Raises:
      JsslError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    except OSError as error:
        raise JsslError(
            f'the picture cannot be written to {path}: {error.strerror or error}; give another '
            f'path, such as --out={path.name}, or make room there.'
        ) from error


def draw_picture(subject: Experiment, images: int) -> Image.Image:
    """Images spread over the training set, each beside its views as the first step draws them.

    Args:
      subject: the experiment; neither its network nor its optimizer is run.
      images: how many; no more than there are.

    Raises:
      JsslError: `images` is not positive, or the policy gives no views.
    """
    check_value('images', images, Count)
    chosen = evenly_spaced(len(subject.data), images)
    samples = [read(subject.data, int(row), subject.canvas, subject.channels) for row in chosen]
    batch = {
        'canvas': jax.tree.map(lambda *rows: jnp.stack(rows), *(one.canvas for one in samples)),
        'index': jnp.asarray(chosen, jnp.int32),
    }
    views, mask = draw_views(subject, batch)
    pairs = zip(views, statistics(subject, len(views)), strict=True)
    columns = [
        as_rgb(np.rint(denormalize(view, *numbers)).astype(np.uint8)) for view, numbers in pairs
    ]
    if mask is not None:
        columns[0] = cover(columns[0], mask)
    largest = max(column.shape[1] for column in columns)
    side = largest * math.ceil(SIDE / largest)
    originals = [_visible(sample.canvas) for sample in samples]
    cells = [np.stack([fit(image, side) for image in originals])]
    cells += [enlarge(column, side // largest, side) for column in columns]
    return view_grid(np.stack(cells, axis=1), side=side)


def _visible(canvas: Canvas) -> np.ndarray:
    height, width = canvas.size
    return canvas.pixels[:height, :width]


def draw_views(
    subject: Experiment, batch: dict[str, jax.Array]
) -> tuple[tuple[np.ndarray, ...], np.ndarray | None]:
    """The views of a batch and the algorithm's mask, if it draws one.

    Raises:
      JsslError: the policy gives no views.
    """

    @jax.jit
    def draw(batch: dict[str, jax.Array]) -> dict[str, Any]:
        init_key, rng = jax.random.split(jax.random.key(subject.runtime.seed))
        view_key, draw_key = step_keys(rng, jnp.int32(0))
        viewed = make_views(subject.views, view_key, batch)
        # Of the state only what a mask depends on is computed: XLA drops the rest.
        _, state = subject.algorithm.init(init_key, viewed)
        drawn = subject.algorithm.draw(draw_key, state, viewed)
        # The views as the policy made them: an algorithm may pair or mix them.
        kept = {'views': viewed.get('views'), 'mask': drawn.get('mask')}
        return {name: value for name, value in kept.items() if value is not None}

    drawn = jax.tree.map(np.asarray, draw(batch))
    if not drawn.get('views'):
        raise JsslError(
            f'{type(subject.views).__name__} gives no views; its dict needs the key `views`, a '
            'tuple of at least one.'
        )
    return drawn['views'], drawn.get('mask')


def statistics(subject: Experiment, views: int) -> list[Statistics]:
    """Mean and deviation by which each view was normalised.

    A policy tells them for each view by `statistics`, or for all by `mean` and `std` of its own or
    of a policy in it; else they are those of the evaluation's view.
    """
    policy = subject.views
    if hasattr(policy, 'statistics'):
        return list(policy.statistics)
    parts = (policy, *getattr(policy, '__dict__', {}).values(), subject.eval_view)
    found = [(part.mean, part.std) for part in parts if hasattr(part, 'mean')]
    return (found or [(0.0, 1.0)])[:1] * views


def as_rgb(images: np.ndarray) -> np.ndarray:
    """Images (..., C): grey ones with three equal channels, transparent ones without alpha."""
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images[..., :3]


def cover(images: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Grey over what is masked.

    Args:
      images: uint8 (B, h, w, 3).
      mask: (B, rows, columns) or flattened (B, N) for a square; not 0 is hidden.
    """
    rows = mask.shape[1] if mask.ndim == 3 else math.isqrt(mask.shape[1])
    cells = mask.reshape(len(mask), rows, -1) != 0
    for axis in (1, 2):
        places = np.arange(images.shape[axis]) * cells.shape[axis] // images.shape[axis]
        cells = np.take(cells, places, axis=axis)
    gray = (COVER * 128 + (1 - COVER) * images).astype(np.uint8)
    return np.where(cells[..., None], gray, images)


def fit(image: np.ndarray, side: int) -> np.ndarray:
    """An image (h, w, C) in the middle of a white square (side, side, 3), as large as it can be."""
    picture = Image.fromarray(as_rgb(image))
    grows = max(picture.size) < side
    method = Image.Resampling.NEAREST if grows else Image.Resampling.LANCZOS
    picture = ImageOps.contain(picture, (side, side), method)
    return np.asarray(ImageOps.pad(picture, (side, side), method, color='white'))


def enlarge(images: np.ndarray, factor: int, side: int) -> np.ndarray:
    """Images (B, h, w, 3), every pixel `factor` times, in the middle of white squares of `side`."""
    large = images.repeat(factor, axis=1).repeat(factor, axis=2)
    space = [side - length for length in large.shape[1:3]]
    margins = [(length // 2, length - length // 2) for length in space]
    return np.pad(large, [(0, 0), *margins, (0, 0)], constant_values=255)
