"""What a masked image model makes of held-out images: original, masked input, reconstruction.

    jssl reconstruct runs/mae --images=8 --out=mae.png

The config and the newest checkpoint are those of the run.
"""

import argparse
from collections.abc import Collection
from pathlib import Path

from jssl.checks import Count, check_value
from jssl.cli.parser import Parser
from jssl.cli.runs import add_run, stored_experiment
from jssl.data.reading.decoding import quiet
from jssl.errors import JsslError
from jssl.evaluation import evenly_spaced
from jssl.fitting.pictures import check_predicts_pixels, reconstruct
from jssl.paths import expanded
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.datasets import tell_changes
from jssl.runs.workdir import CHECKPOINTS
from jssl.visualization.images import view_grid
from jssl.visualization.picture_file import check_path, save
from jssl.visualization.reconstructions import Reconstructions

SIDE = 224  # pixels of a cell's longest side in the picture


def add_arguments(parser: Parser) -> None:
    """What `jssl reconstruct` takes."""
    add_run(parser)
    parser.add_argument('--images', type=int, default=8, help='rows of the picture')
    parser.add_argument('--out', default='reconstructions.png', help='.png or .webp')


@quiet()
def run(options: argparse.Namespace) -> int:
    """Writes the picture of a run and prints its path and the PSNR."""
    path = check_path(options.out)
    check_value('--images', options.images, Count)
    found = reconstruct_run(expanded(options.run), options.trust)
    rows = evenly_spaced(len(found.pictures), options.images)
    save(view_grid(found.pictures[rows], side=SIDE), path)
    print(f'{path}: {found.summary}')
    return 0


def reconstruct_run(workdir: Path, trusted: Collection[str] = ()) -> Reconstructions:
    """What the newest checkpoint of a run makes of its held-out images.

    Args:
      workdir: of the run, whose config.json describes the experiment.
      trusted: classes outside jssl, ``'module:Class'``, that config.json may name.

    Raises:
      JsslError: there is no run or no checkpoint, its algorithm does not predict pixels, or its
        config.json names a class outside jssl that is not trusted.
    """
    subject, stored = stored_experiment(workdir, trusted)
    check_predicts_pixels(subject)
    restored = Checkpoints(workdir / CHECKPOINTS).restore(subject.placed_state)
    if restored is None:
        raise JsslError(
            f'{workdir} holds no checkpoint; start its run again with --workdir={workdir} and let '
            'it finish an epoch.'
        )
    tell_changes(workdir, stored.get('data', {}), subject.listings, print)
    return reconstruct(subject, restored[0].params, restored[0].state)
