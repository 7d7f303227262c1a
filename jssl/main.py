"""The command line: one config, one run.

    python -m jssl.main --config=configs/simclr.py --config.epochs=12 --workdir=runs/first

The same command on the same directory resumes.
"""

import difflib
import logging
import os
import shlex
import sys
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from jssl.components import hints_of
from jssl.config import WEIGHTS, experiment
from jssl.errors import JsslError, suggest
from jssl.fitting.fit import fit
from jssl.fitting.inheritance import inherited
from jssl.foreign import names
from jssl.interrupts import run_command
from jssl.overrides import TOP, Override, advise, apply, split
from jssl.runs.record import recordable
from jssl.training.huge_pages import restart_with_huge_pages
from jssl.training.loop import Interrupted
from jssl.training.settings import Runtime


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the experiment that the arguments describe.

    Args:
      argv: the command line without the program's name; None takes `sys.argv`.

    Returns:
      The exit status: 0 done, 2 bad input (told in one paragraph) or no room for weights or report,
      143 stopped by SIGTERM and 130 by Ctrl-C, after saving.
    """
    logging.getLogger('absl').setLevel(logging.ERROR)
    try:
        values = parse(sys.argv[1:] if argv is None else argv)
        if values.help:
            print(f'{__doc__}\n{values.main_module_help()}')
            return 0
        connect(values)
        config = recordable(values.config.to_dict())  # before data are read
        outcome = fit(
            experiment(config),
            config=config,
            name=run_name(values),
            workdir=values.workdir,
            same_data=values.same_data,
        )
    except JsslError as error:
        print(f'jssl: {" ".join(str(error).splitlines())}', file=sys.stderr)
        return 2
    except Interrupted as interruption:
        print(f'jssl: {interruption}', file=sys.stderr)
        return 128 + interruption.signal
    return 2 if outcome.unwritten else 0


def define_flags() -> flags.FlagValues:
    """The arguments of the command line, all at their defaults."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        'config',
        help_string='The experiment, such as configs/simclr.py or configs/simclr.py:cifar10. '
        'Any field of it can be set: --config.optimizer.lr=0.01',
        flag_values=values,
    )
    strings = {
        'workdir': 'Where the run lives: checkpoints, metrics, report. The same command on the '
        'same directory resumes. Without it a new directory under runs/ is made.',
        'coordinator': 'host:port of process 0, on a cluster that JAX does not know.',
    }
    for flag, meaning in strings.items():
        flags.DEFINE_string(flag, None, meaning, flag_values=values)
    integers = {
        'processes': 'How many processes take part; goes with --coordinator.',
        'process': 'The number of this process, from 0; goes with --coordinator.',
    }
    for flag, meaning in integers.items():
        flags.DEFINE_integer(flag, None, meaning, flag_values=values)
    meaning = (
        'Give it, on every host, for a job of several processes on a TPU pod, SLURM, Open MPI or '
        'Kubernetes: JAX finds the others by itself.'
    )
    flags.DEFINE_bool('distributed', False, meaning, flag_values=values)
    meaning = (
        'Resume although files of the data have other times or sizes than when the run began: they '
        'hold the same images, such as a copy without its times.'
    )
    flags.DEFINE_bool('same_data', False, meaning, flag_values=values)
    flags.DEFINE_bool('help', False, 'Show this.', short_name='h', flag_values=values)
    for flag in values:
        values.register_key_flag_for_module(sys.argv[0], values[flag])  # what the help lists
    return values


def parse(argv: Sequence[str], others: Iterable[str] = ()) -> flags.FlagValues:
    """The parsed command line, with a config that was found and has taken its overrides.

    Args:
      argv: the arguments.
      others: names of arguments that a command has taken itself, for a word misspelt.

    Raises:
      JsslError: says which argument is wrong and what would be right.
    """
    values = define_flags()
    overrides, arguments = split(argv)
    rest = read(values, arguments)
    if values.help:
        return values
    if not values['config'].present:
        raise JsslError('Name an experiment, for example --config=configs/simclr.py.')
    config = plain(values)
    refuse(rest, config, [*values, *others])
    refuse_arguments(overrides, [*values, *others])
    settle(config, overrides)
    try:
        values['config'].value = ConfigDict(config, allow_dotted_keys=True)
    except (AttributeError, KeyError) as error:  # such as __class__, from a run's config.json
        key = str(error).strip('\'"').split()[0]
        raise JsslError(
            f'The config has a key {key!r}, which is no field; leave it out.'
        ) from error
    return values


def settle(config: dict[str, Any], overrides: Sequence[Override]) -> None:
    """Sets what the command line says, and first what the run in `pretrained` gives."""
    first = [override for override in overrides if override.path[0] in WEIGHTS]
    apply(config, first)
    inherit(config, names([override.value for override in overrides]))
    apply(config, [override for override in overrides if override not in first])


def inherit(config: dict[str, Any], trusted: Collection[str]) -> None:
    """Puts what `config` leaves to the run in its `pretrained` in the place of its own."""
    for name, value in inherited(config, trusted).items():
        *path, field = name.split('.')
        part = config
        for key in path:
            part = part[key]
        part[field] = value


def read(values: flags.FlagValues, arguments: Sequence[str]) -> list[str]:
    """Parses `arguments` into `values`; gives what is left.

    Raises:
      JsslError: for a wrong value, and for whatever goes wrong in the config's file.
    """
    own, sys.argv = sys.argv, ['jssl', *arguments]  # ml_collections looks for overrides there
    try:
        return values(sys.argv, known_only=True)[1:]
    except flags.Error as error:
        raise JsslError(f'{_reason(error)} (--help shows the arguments)') from error
    except Exception as error:  # a config is a program of the user's
        raise JsslError(f'The config could not be made: {_place(error)}.') from error
    finally:
        sys.argv = own


def plain(values: flags.FlagValues) -> dict[str, Any]:
    """What the config's file gives, as nested dicts.

    Raises:
      JsslError: there is no such file, or it gives no config.
    """
    path = config_flags.get_config_filename(values['config'])
    file = Path(path.partition(':')[0])
    if not file.is_file():
        beside = sorted(str(other) for other in file.parent.glob('*.py') if other.is_file())
        raise JsslError(
            f'--config={path}: there is no file {str(file)!r} in {os.getcwd()}. '
            f'{suggest(str(file), beside or ["configs/simclr.py"])}'
        )
    if not isinstance(values.config, ConfigDict):
        raise JsslError(
            f'get_config of {file} gives {values.config!r}; return ml_collections.ConfigDict(...) '
            'there, as configs/simclr.py does.'
        )
    return values.config.to_dict()


def refuse(rest: Sequence[str], config: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Raises a `JsslError` for the first argument that is none, with the one that was meant."""
    if not rest:
        return
    name, equals, value = rest[0].lstrip('-').partition('=')
    close = difflib.get_close_matches(name, arguments, n=1, cutoff=0.7)
    meant = advise(config, name, value if equals else None)
    if close:
        meant = f'Did you mean --{close[0]}{equals}{value}?'
    raise JsslError(
        f'{rest[0]} is no argument; fields of the config are written --config.field=value. {meant}'
    )


def refuse_arguments(overrides: Sequence[Override], arguments: Sequence[str]) -> None:
    """Raises a `JsslError` for a field of the config that is an argument of the command."""
    fields = [*TOP, *hints_of(Runtime)]
    for override in overrides:
        close = difflib.get_close_matches(override.path[0], [*fields, *arguments], 1, cutoff=0.8)
        if len(override.path) == 1 and close and close[0] not in fields:
            raise JsslError(
                f'{override.field} is not a key of a config, and {close[0]!r} is an argument '
                f'of the command; write {shlex.quote(f"--{close[0]}={override.text}")}.'
            )


def _reason(error: Exception) -> str:
    """The line of an error that says what is wrong; a config's own error comes with a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if 'Traceback' not in str(error):
        return ' '.join(lines)
    return lines[-1].removeprefix('jssl.errors.JsslError: ')


def _place(error: Exception) -> str:
    """What was raised, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    said = ' '.join(_reason(error).split()) or 'no reason given'
    place = '' if isinstance(error, SyntaxError) else f' ({frame.filename}, line {frame.lineno})'
    return f'{type(error).__name__}: {said}{place}'


def connect(values: flags.FlagValues) -> None:
    """Joins the other processes of a distributed job.

    Raises:
      JsslError: when they are not found.
    """
    if not values.distributed and values.coordinator is None:
        return
    try:
        jax.distributed.initialize(values.coordinator, values.processes, values.process)
    except (ValueError, RuntimeError) as error:
        raise JsslError(
            f'The other processes were not found: {error} Name them with --coordinator=host:port, '
            '--processes and --process, or leave --distributed out for a run of one process.'
        ) from error


def run_name(values: flags.FlagValues) -> str:
    """What a run's own directory is called after: the config's file and variant."""
    path, _, variant = config_flags.get_config_filename(values['config']).partition(':')
    return '-'.join(filter(None, (Path(path).stem, variant)))


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(run_command(main))
