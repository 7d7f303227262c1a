"""The run that a command line names, and the experiment that it carries out."""

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jssl.cli.parser import Parser
from jssl.config import experiment
from jssl.foreign import refuse_foreign
from jssl.runs.workdir import CONFIG, read_config
from jssl.training.experiment import Experiment


def add_run(parser: Parser) -> None:
    """The run, and the classes outside jssl that its config.json may name."""
    parser.add_argument('run', metavar='RUN', help='the directory of a run')
    parser.add_argument(
        '--trust',
        metavar='MODULE:CLASS',
        action='append',
        default=[],
        help='a class of your own that the run uses; code that only its config.json names is not '
        'run (may be given several times)',
    )


def stored_experiment(
    workdir: Path, trusted: Collection[str] = ()
) -> tuple[Experiment, dict[str, Any]]:
    """The experiment of a run, and what its config.json holds.

    Raises:
      JsslError: there is no run, or its config.json names a class outside jssl that is not trusted.
    """
    stored = read_config(workdir)
    where = str(workdir / CONFIG)

    def remedy(_: str, name: str) -> str:
        return shlex.quote(f'--trust={name}')

    refuse_foreign(stored['config'], '', where, trusted, remedy)
    return experiment(stored['config']), stored
