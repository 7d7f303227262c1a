"""Pictures of an experiment: the views of its images, and what its network makes of them.

The first is what `jssl views` shows, the second what `jssl reconstruct` and the report do.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jssl.algorithm import Algorithm, Params, State, image_batch
from jssl.augment.ops.normalize import denormalize
from jssl.checks import Count, check_value
from jssl.data.canvas import Canvas
from jssl.data.loading.loader import resident
from jssl.data.reading.bad_samples import BadSamples, read
from jssl.errors import JsslError
from jssl.evaluation import evenly_spaced
from jssl.evaluation.features import EvalView
from jssl.training.experiment import Experiment
from jssl.training.step import make_views, step_keys
from jssl.visualization.images import as_rgb, cover, enlarge, fit_square, view_grid
from jssl.visualization.reconstructions import Reconstructions, compare

SIDE = 96  # pixels that a cell has at least
JUDGED = 256  # images over which the PSNR is taken
AT_ONCE = 64  # images in a pass of the network

Numbers = float | Sequence[float]  # one a channel
Statistics = tuple[Numbers, Numbers]


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
    return views_beside(subject, [sample.canvas for sample in samples], views, mask)


def views_beside(
    subject: Experiment,
    canvases: Sequence[Canvas],
    views: Sequence[np.ndarray],
    mask: np.ndarray | None,
) -> Image.Image:
    """Images, a row for each, beside their views; what is not finite in these is as 0.

    Args:
      subject: whose views they are.
      canvases: the images.
      views: normalised, each (B, H, W, C); at least one.
      mask: of the first view, see `cover`; None for none.
    """
    pairs = zip(views, statistics(subject, len(views)), strict=True)
    levels = [denormalize(np.nan_to_num(view, posinf=0, neginf=0), *told) for view, told in pairs]
    columns = [as_rgb(np.rint(level).astype(np.uint8)) for level in levels]
    if mask is not None:
        columns[0] = cover(columns[0], mask)
    largest = max(column.shape[1] for column in columns)
    side = largest * math.ceil(SIDE / largest)
    cells = [np.stack([fit_square(_visible(canvas), side) for canvas in canvases])]
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
        step = jnp.int32(0)
        view_key, draw_key = step_keys(rng, step)
        viewed = {**make_views(subject.views, view_key, batch), 'step': step}
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


def reconstruct(subject: Experiment, params: Params, state: State) -> Reconstructions:
    """What a network makes of images spread over the test set, or the training set without one.

    Args:
      subject: the experiment; its algorithm must predict pixels.
      params, state: of its network.

    Raises:
      JsslError: if the algorithm does not predict pixels.
    """
    algorithm = check_predicts_pixels(subject)
    source = subject.data if subject.test_data is None else subject.test_data
    rows = evenly_spaced(len(source), JUDGED)
    options = (subject.canvas, subject.channels, subject.runtime.threads)
    bad_samples = BadSamples(len(source), subject.runtime.bad_samples, print)
    data = resident(source, *options, rows=rows, bad_samples=bad_samples)
    run = jax.jit(functools.partial(_run, algorithm, subject.eval_view))
    parts = []
    for first in range(0, len(rows), AT_ONCE):
        chunk = slice(first, first + AT_ONCE)
        canvas = jax.tree.map(lambda array, chunk=chunk: jnp.asarray(array[chunk]), data['canvas'])
        key = jax.random.fold_in(jax.random.key(subject.runtime.seed), first)
        parts.append([np.asarray(array) for array in run(params, state, canvas, key)])
    images, painted, hidden = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    view = subject.eval_view
    mean, std = getattr(view, 'mean', 0.0), getattr(view, 'std', 1.0)
    originals, painted = (denormalize(array, mean, std) for array in (images, painted))
    return compare(originals, painted, hidden, algorithm.caveat)


def _run(
    algorithm: Algorithm,
    view: EvalView,
    params: Params,
    state: State,
    canvas: Canvas,
    key: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The images, what the network makes of them, and which pixels were hidden."""
    images = jax.vmap(view)(canvas)
    batch = algorithm.draw(key, state, image_batch(images))
    painted, hidden = algorithm.predict(params, state, batch)
    return images, painted, hidden


def check_predicts_pixels(subject: Experiment) -> Algorithm:
    """The algorithm of an experiment.

    Raises:
      JsslError: it does not predict pixels.
    """
    if subject.algorithm.predicts != 'pixels':
        raise JsslError(
            f'{type(subject.algorithm).__name__} does not predict pixels, so there is nothing to '
            'show; give the run of one that does, such as MAE or SimMIM.'
        )
    return subject.algorithm
