"""What a masked image model makes of held-out images: original, masked input, reconstruction."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Algorithm, Params, State
from jssl.augment.ops.normalize import denormalize
from jssl.data.canvas import Canvas
from jssl.data.loading.loader import resident
from jssl.data.reading.bad_samples import BadSamples
from jssl.errors import JsslError
from jssl.evaluation import evenly_spaced
from jssl.evaluation.features import EvalView
from jssl.training.experiment import Experiment

JUDGED = 256  # images over which the PSNR is taken
AT_ONCE = 64  # images in a pass of the network
GRAY = 128  # what stands for hidden pixels


class Reconstructions(NamedTuple):
    """Images and what a model makes of them.

    Attributes:
      pictures: uint8 (N, 3, H, W, C): original, masked input, reconstruction.
      psnr: of the reconstructions on all hidden pixels, in dB.
      mean_psnr: of the mean of the originals there, in dB: what needs no model.
      caveat: what else there is to know of the numbers, a sentence or ''.
    """

    pictures: np.ndarray
    psnr: float
    mean_psnr: float
    caveat: str

    @property
    def summary(self) -> str:
        """The numbers in a sentence or two."""
        sentence = (
            f'PSNR on the hidden pixels: {self.psnr:.1f} dB; the mean image reaches '
            f'{self.mean_psnr:.1f} dB.'
        )
        return ' '.join(filter(None, (sentence, self.caveat)))


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
    batch = {'views': (images,), 'index': jnp.arange(len(images))}
    painted, hidden = algorithm.predict(params, state, algorithm.draw(key, state, batch))
    return images, painted, hidden


def compare(
    originals: np.ndarray, painted: np.ndarray, hidden: np.ndarray, caveat: str = ''
) -> Reconstructions:
    """Pictures and numbers of reconstructions.

    Args:
      originals: (N, H, W, C), on the scale 0 to 255.
      painted: reconstructions, the same shape and scale; what was visible is taken from the
        originals.
      hidden: bool (N, H, W).
      caveat: see `Reconstructions`.
    """
    gone = hidden[..., None]
    cells = [originals, np.where(gone, GRAY, originals), np.where(gone, painted, originals)]
    mean = np.broadcast_to(originals.mean(axis=0), originals.shape)
    return Reconstructions(
        np.rint(np.stack(cells, axis=1)).astype(np.uint8),
        psnr(painted, originals, hidden),
        psnr(mean, originals, hidden),
        caveat,
    )


def psnr(images: np.ndarray, originals: np.ndarray, hidden: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB over hidden pixels: 10 log10(255^2 / mean squared error).

    Args:
      images: (N, H, W, C), on the scale 0 to 255.
      originals: the same.
      hidden: bool (N, H, W).
    """
    error = (np.asarray(images, np.float64) - originals)[hidden] ** 2
    return float(10 * np.log10(255**2 / max(error.mean(), 1e-10)))


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
