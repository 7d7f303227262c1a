"""One step of a run, repeated exactly: its batch, its numbers, and what in it is not finite.

    jssl replay runs/first --step=1800

It restores the newest checkpoint before that step, repeats the run from there, and writes
RUN/replay/STEP: replay.json, and views.png with the first images of the batch beside their views.
"""

import argparse
import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jssl.checks import Count, check_value
from jssl.cli.parser import Parser
from jssl.cli.runs import add_run, stored_experiment
from jssl.data.reading.decoding import quiet
from jssl.fitting.replay_folder import RECORD, write
from jssl.fitting.replaying import Replay, check_data, replay, rows_of
from jssl.paths import expanded
from jssl.runs.checkpoints import Checkpoints
from jssl.runs.contents import Damaged
from jssl.runs.orders import read_orders
from jssl.runs.sameness import RUN, check_unchanged
from jssl.runs.workdir import CHECKPOINTS

PARTS = 12  # of the parameters, whose gradients are printed


def add_arguments(parser: Parser) -> None:
    """What `jssl replay` takes."""
    add_run(parser)
    parser.add_argument('--step', type=int, required=True, help='the step to show, from 1')
    parser.add_argument(
        '--from_start',
        action='store_true',
        help='repeat the run from its beginning, where no earlier checkpoint is left',
    )
    parser.add_argument(
        '--same_data',
        action='store_true',
        help='files of other times or sizes than when the run began hold the same images',
    )


@quiet()
def run(options: argparse.Namespace) -> int:
    """Repeats the step, writes what is in it and prints the gist."""
    check_value('--step', options.step, Count)
    directory = expanded(options.run)
    experiment, stored = stored_experiment(directory, options.trust)
    check_data(directory, stored.get('data', {}), experiment, same_data=options.same_data)
    identity = experiment.listings['data'].identity
    folder, name = directory / CHECKPOINTS, stored.get(RUN, '')
    orders = read_orders(directory)
    turns = len(orders.turns)
    with Checkpoints(folder, data=identity, run=name, turns=lambda: turns) as checkpoints:
        check_config(directory, stored, checkpoints)
        found = replay(
            experiment,
            checkpoints,
            options.step,
            rows=rows_of(directory),
            orders=orders,
            from_start=options.from_start,
        )
    path = write(found, experiment, directory, print)
    print('\n'.join([*summary(found), str(path / RECORD)]))
    return 0


def check_config(directory: Path, stored: Mapping[str, Any], checkpoints: Checkpoints) -> None:
    """Refuses a run whose config.json is not that of its newest checkpoint that tells its own.

    Raises:
      JsslError: names what was changed.
    """
    for step in checkpoints.steps:
        with contextlib.suppress(Damaged):  # which is told where it is restored
            if saved := checkpoints.config_of(step):
                check_unchanged(directory, stored, saved)
                return


def summary(found: Replay) -> list[str]:
    """A replay in a few lines."""
    agrees = {
        True: 'as the metrics of the run have it, bit for bit',
        False: 'NOT as the metrics of the run have it: other devices or versions round otherwise',
        None: 'of which the metrics of the run have no line',
    }
    numbers = '  '.join(f'{name} {value:.6g}' for name, value in found.metrics.items())
    norms = {part: float(norm) for part, norm in found.inspection.gradients.items() if part}
    # Those that are not finite first, then the largest.
    order = sorted(norms, key=lambda part: (math.isfinite(norms[part]), -norms[part]))[:PARTS]
    gradients = '  '.join(f'{part} {norms[part]:.4g}' for part in order)
    first, *rest = found.not_finite or ['nothing']
    more = f' and {len(rest)} more after it' if rest else ''
    return [
        f'step {found.step}, repeated from step {found.start}, {agrees[found.logged]}',
        numbers,
        f'gradient norms: {gradients}',
        f'not finite: {first}{more}',
    ]
