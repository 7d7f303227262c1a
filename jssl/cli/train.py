"""One config, one run.

    jssl train simclr --workdir=runs/first --config.epochs=12
    jssl train simclr:imagenet --distributed        # the same line on every host
    jssl train simclr --sweep="optimizer.lr=[1e-3,3e-3]; seed=range(4)"

The same command on the same directory resumes. --sweep trains several settings in one program.
"""

import argparse
import logging
from collections.abc import Iterable, Sequence

from jssl.cli.configs import title
from jssl.cli.experiments import add_config, settle
from jssl.cli.jobs import add_job, connect
from jssl.cli.parser import Parser
from jssl.cli.sweeps import settle_lanes
from jssl.config import experiment
from jssl.fitting.fit import fit
from jssl.fitting.sweeping import fit_sweep
from jssl.runs.record import recordable
from jssl.training.sweep import Sweep


def add_arguments(parser: Parser) -> None:
    """What `jssl train` takes."""
    add_config(parser)
    parser.add_argument(
        '--workdir',
        help='where the run lives: checkpoints, metrics, report; the same command on the same '
        'directory resumes; without it a new directory under runs/ is made',
    )
    parser.add_argument(
        '--same_data',
        action='store_true',
        help='resume although files of the data have other times or sizes than when the run began: '
        'they hold the same images, such as a copy without its times',
    )
    parser.add_argument(
        '--sweep',
        metavar='FIELDS',
        help='trains every combination of these values together, each as a run of its own in '
        'the workdir: "optimizer.lr=[1e-3,3e-3]; seed=range(4)"',
    )
    add_job(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the experiment; the exit status is 2 where weights or report could not be written.

    Raises:
      JsslError: for anything a user can put right.
      Interrupted: by SIGTERM or Ctrl-C, after saving.
    """
    logging.getLogger('absl').setLevel(logging.ERROR)
    connect(options)
    if options.sweep is not None:
        return _run_sweep(options)
    settle(options)
    config = recordable(options.config)  # before data are read
    outcome = fit(
        experiment(config),
        config=config,
        name=title(options.named),
        workdir=options.workdir,
        same_data=options.same_data,
    )
    return 2 if outcome.unwritten else 0


def _run_sweep(options: argparse.Namespace) -> int:
    """All lanes of a sweep; the exit status is as that of `run`."""
    settings, configs = zip(*settle_lanes(options), strict=True)
    records = [recordable(config) for config in configs]
    outcome = fit_sweep(
        Sweep([experiment(config) for config in records], settings),
        records,
        name=title(options.named),
        workdir=options.workdir,
        same_data=options.same_data,
    )
    return 2 if outcome.unwritten else 0


def parse(argv: Sequence[str], others: Iterable[str] = ()) -> argparse.Namespace:
    """The arguments of `jssl train`, with the `config` that they describe; see `settle`.

    Args:
      argv: the arguments.
      others: names of arguments that a command has taken itself, for a word misspelt.
    """
    parser = Parser('jssl train', __doc__)
    add_arguments(parser)
    return settle(parser.read(argv), [*others])
