"""What a masked image model makes of held-out images: original, masked input, reconstruction.

    python -m jssl.visualization.reconstructions --workdir=runs/mae --images=8 --out=mae.png

The config and the newest checkpoint are those of the run.
"""

import argparse
import functools
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Params, State
from jssl.algorithms.masked import PixelModel
from jssl.arguments import Parser
from jssl.augment.ops.resample import denormalize
from jssl.augment.views import Canvas
from jssl.checks import Count, check_value
from jssl.data.loading.loader import resident
from jssl.data.reading.bad_samples import Faults
from jssl.data.reading.decoding import quiet
from jssl.errors import JsslError
from jssl.evaluation import evenly_spaced
from jssl.evaluation.features import EvalView
from jssl.foreign import refuse_foreign
from jssl.interrupts import run_command
from jssl.paths import expanded
from jssl.training.experiment import Experiment
from jssl.visualization.images import view_grid
from jssl.visualization.views import check_path, save

JUDGED = 256  # images over which the PSNR is taken
AT_ONCE = 64  # images in a pass of the network
SIDE = 224  # pixels of a cell's longest side in the picture
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


@quiet()
def main(argv: Sequence[str] | None = None) -> int:
    """Writes the picture of a run and prints its path and the PSNR.

    Args:
      argv: the command line without the program's name; None takes `sys.argv`.

    Returns:
      The exit status: 0 done, 2 bad input (told in one paragraph).
    """
    try:
        options = parser().parse_args(argv)
        path = check_path(options.out)
        check_value('--images', options.images, Count)
        found = reconstruct_run(expanded(options.workdir), options.trust)
        rows = evenly_spaced(len(found.pictures), options.images)
        save(view_grid(found.pictures[rows], side=SIDE), path)
    except JsslError as error:
        print(f'reconstructions: {error}', file=sys.stderr)
        return 2
    print(f'{path}: {found.summary}')
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = Parser(
        'jssl.visualization.reconstructions',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument('--workdir', required=True, help='the directory of a run')
    result.add_argument(
        '--trust',
        metavar='MODULE:CLASS',
        action='append',
        default=[],
        help='a class of your own that the run uses; code that only its config.json names is not '
        'run (may be given several times)',
    )
    result.add_argument('--images', type=int, default=8, help='rows of the picture')
    result.add_argument('--out', default='reconstructions.png', help='.png or .webp')
    return result


def reconstruct_run(workdir: Path, trusted: Collection[str] = ()) -> Reconstructions:
    """What the newest checkpoint of a run makes of its held-out images.

    Args:
      workdir: of the run, whose config.json describes the experiment.
      trusted: classes outside jssl, ``'module:Class'``, that config.json may name.

    Raises:
      JsslError: there is no run or no checkpoint, its algorithm does not predict pixels, or its
        config.json names a class outside jssl that is not trusted.
    """
    from jssl.config import experiment
    from jssl.fitting.fit import target
    from jssl.runs.checkpoints import Checkpoints
    from jssl.runs.datasets import tell_changes
    from jssl.runs.workdir import CHECKPOINTS, CONFIG, read_config

    stored = read_config(workdir)
    config = stored['config']
    where = str(workdir / CONFIG)
    refuse_foreign(config, '', where, trusted, lambda _, name: shlex.quote(f'--trust={name}'))
    subject = experiment(config)
    _check(subject)
    restored = Checkpoints(workdir / CHECKPOINTS).restore(target(subject))
    if restored is None:
        raise JsslError(
            f'{workdir} holds no checkpoint; start its run again with --workdir={workdir} and let '
            'it finish an epoch.'
        )
    tell_changes(workdir, stored.get('data', {}), subject.listings, print)
    return reconstruct(subject, restored[0].params, restored[0].state)


def reconstruct(subject: Experiment, params: Params, state: State) -> Reconstructions:
    """What a network makes of images spread over the test set, or the training set without one.

    Args:
      subject: the experiment; its algorithm must be a `PixelModel`.
      params, state: of its network.

    Raises:
      JsslError: if the algorithm does not predict pixels.
    """
    algorithm = _check(subject)
    source = subject.data if subject.test_data is None else subject.test_data
    rows = evenly_spaced(len(source), JUDGED)
    options = (subject.canvas, subject.channels, subject.runtime.threads)
    faults = Faults(len(source), subject.runtime.faults, print)
    data = resident(source, *options, rows=rows, faults=faults)
    run = jax.jit(functools.partial(_run, algorithm, subject.eval_view))
    parts = []
    for first in range(0, len(rows), AT_ONCE):
        chunk = slice(first, first + AT_ONCE)
        canvas = Canvas(jnp.asarray(data['canvas'][chunk]), jnp.asarray(data['size'][chunk]))
        key = jax.random.fold_in(jax.random.key(subject.runtime.seed), first)
        parts.append([np.asarray(array) for array in run(params, state, canvas, key)])
    images, painted, hidden = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    view = subject.eval_view
    mean, std = getattr(view, 'mean', 0.0), getattr(view, 'std', 1.0)
    originals, painted = (denormalize(array, mean, std) for array in (images, painted))
    return compare(originals, painted, hidden, algorithm.caveat)


def _run(
    algorithm: PixelModel,
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


def _check(subject: Experiment) -> PixelModel:
    if not isinstance(subject.algorithm, PixelModel):
        raise JsslError(
            f'{type(subject.algorithm).__name__} does not predict pixels, so there is nothing to '
            'show; give the run of one that does, such as MAE or SimMIM.'
        )
    return subject.algorithm


if __name__ == '__main__':
    sys.exit(run_command(main))
