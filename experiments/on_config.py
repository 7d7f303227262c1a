"""The command line of a benchmark that takes the arguments of `jssl train` and times some steps."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from experiments.reporting import positive, show, show_json
from jssl.cli.configs import title
from jssl.cli.train import connect, parse
from jssl.config import experiment
from jssl.errors import JsslError
from jssl.training.experiment import Experiment

Numbers = dict[str, Any]


def run(
    argv: Sequence[str] | None,
    parser: argparse.ArgumentParser,
    measure: Callable[[Experiment, int], Numbers],
    table: Callable[[Numbers], Mapping[str, str]],
    heading: str,
) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input.

    Args:
      argv: the arguments; None takes `sys.argv`.
      parser: of those besides `jssl train`'s, see `parser`.
      measure: of an experiment and the steps that are timed.
      table: of the numbers, for people.
      heading: of the table, behind the config's name.
    """
    options, rest = parser.parse_known_args(argv)
    try:
        values = parse(rest)
        connect(values)
        numbers = measure(experiment(values.config), options.steps)
    except JsslError as error:
        print(f'{parser.prog.partition(".")[2]}: {error}', file=sys.stderr)
        return 2
    show(f'{title(values.named)}, {heading}', table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser(name: str, description: str | None, steps: int) -> argparse.ArgumentParser:
    """The arguments besides those of `jssl train`, with so many steps unless it is said."""
    result = argparse.ArgumentParser(
        f'experiments.{name}',
        description=f'{description}\nAll other arguments are those of jssl train.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument('--steps', type=positive, default=steps, help='that are timed')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result
