"""The command line: one config, one run.

    python -m jssl.main --config=configs/simclr.py --config.epochs=12 --workdir=runs/first

The same command on the same directory resumes.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags
from ml_collections.config_dict import placeholder

from jssl.components import default_of
from jssl.config import experiment
from jssl.errors import JsslError
from jssl.interrupts import run_command
from jssl.training.huge_pages import restart_with_huge_pages
from jssl.training.inheritance import inherited
from jssl.training.loop import Interrupted
from jssl.training.run import fit

PRETRAINED = '--config.pretrained='


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
        config = values.config.to_dict()
        outcome = fit(
            experiment(config),
            config=config,
            name=run_name(values),
            workdir=values.workdir,
            same_data=values.same_data,
        )
    except JsslError as error:
        print(f'jssl: {error}', file=sys.stderr)
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


def parse(argv: Sequence[str]) -> flags.FlagValues:
    """The parsed command line, with a config that was found and has taken its overrides.

    Raises:
      JsslError: says which argument is wrong and what would be right.
    """
    values = define_flags()
    overrides = [argument for argument in argv if argument.startswith('--config.')]
    try:
        rest = read(values, [argument for argument in argv if argument not in overrides])
        if values.help:
            return values
        if values.config is not None:
            values.config.to_dict()  # raises where it stands for a file that was not found
            first = [argument for argument in overrides if argument.startswith(PRETRAINED)]
            override(values.config, first)
            inherit(values.config, [argument.partition('=')[2] for argument in overrides])
            override(values.config, [argument for argument in overrides if argument not in first])
    except JsslError:
        raise
    except (AttributeError, KeyError) as error:
        message = ' '.join(str(error).replace('\\n', ' ').split()).strip('\'"\\')
        raise JsslError(f'The config has no such field: {message}.') from error
    except (flags.Error, OSError, ImportError, SyntaxError, ValueError, TypeError) as error:
        raise JsslError(f'{_reason(error)} (--help shows the arguments)') from error
    if rest:
        raise JsslError(f'Arguments not understood: {" ".join(rest)}. Write --config.field=value.')
    if values.config is None:
        raise JsslError('Name an experiment, for example --config=configs/simclr.py.')
    return values


def inherit(config: ConfigDict, trusted: Sequence[str]) -> None:
    """Puts what `config` leaves to the run in its `pretrained` in the place of its own."""
    with config.unlocked():
        for name, value in inherited(config.to_dict(), trusted).items():
            *path, field = name.split('.')
            part = config
            for key in path:
                part = part[key]
            part[field] = ConfigDict(value) if isinstance(value, dict) else value


def override(config: ConfigDict, overrides: Sequence[str]) -> None:
    """Sets fields of `config` from arguments such as ``--config.optimizer.lr=0.1``.

    A field that the config leaves at its component's default can be set as well.
    """
    for argument in overrides:
        *path, field = argument.partition('=')[0].split('.')[1:]
        part = config
        for key in path:
            part = part.get(key, {})
        if 'type' in part and field not in part:
            default = default_of('.'.join(path), path[-1], part.type, field)
            with part.unlocked():
                part[field] = placeholder(default) if isinstance(default, type) else default
    values = flags.FlagValues()
    read(values, overrides, config)


def read(
    values: flags.FlagValues, arguments: Sequence[str], config: ConfigDict | None = None
) -> list[str]:
    """Parses `arguments` into `values`, and into `config` if there is one; gives what is left."""
    own, sys.argv = sys.argv, ['jssl', *arguments]  # ml_collections looks for overrides there
    try:
        if config is not None:
            config_flags.DEFINE_config_dict('config', config, flag_values=values)
        return values(sys.argv)[1:]
    finally:
        sys.argv = own


def _reason(error: Exception) -> str:
    """The line of an error that says what is wrong; a config's own error comes with a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if 'Traceback' not in str(error):
        return ' '.join(lines)
    return lines[-1].removeprefix('jssl.errors.JsslError: ')


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
