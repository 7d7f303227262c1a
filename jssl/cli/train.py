"""One config, one run.

    jssl train simclr --workdir=runs/first --config.epochs=12
    jssl train simclr:imagenet --distributed        # the same line on every host

The same command on the same directory resumes.
"""

import argparse
import logging
from collections.abc import Iterable, Sequence

from jssl.cli.configs import title
from jssl.cli.experiments import add_config, settle
from jssl.cli.jobs import add_job, connect
from jssl.cli.parser import Parser
from jssl.config import experiment
from jssl.fitting.fit import fit
from jssl.runs.record import recordable


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
    add_job(parser)


def run(options: argparse.Namespace) -> int:
    """Runs the experiment; the exit status is 2 where weights or report could not be written.

    Raises:
      JsslError: for anything a user can put right.
      Interrupted: by SIGTERM or Ctrl-C, after saving.
    """
    logging.getLogger('absl').setLevel(logging.ERROR)
    connect(options)
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


def parse(argv: Sequence[str], others: Iterable[str] = ()) -> argparse.Namespace:
    """The arguments of `jssl train`, with the `config` that they describe; see `settle`.

    Args:
      argv: the arguments.
      others: names of arguments that a command has taken itself, for a word misspelt.
    """
    parser = Parser('jssl train', __doc__)
    add_arguments(parser)
    return settle(parser.read(argv), [*others])
