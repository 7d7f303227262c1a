"""The experiment that a command line names: a config, and the fields of it that are set."""

import argparse
import difflib
import shlex
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax

from jssl.cli import configs
from jssl.cli.own_data import add_data, load
from jssl.cli.parser import Parser
from jssl.config import TOP, WEIGHTS
from jssl.describe import describe_config
from jssl.errors import JsslError
from jssl.errors import show as shown_value
from jssl.fitting.inheritance import inherited
from jssl.foreign import names
from jssl.overrides import Override, advise, apply

COMMON = (  # the fields that people set most often
    *('epochs', 'batch_size', 'optimizer.type', 'optimizer.lr', 'schedule.warmup_epochs'),
    *('model.backbone.type', 'model.backbone.depth', 'data.type', 'canvas', 'dtype', 'seed'),
    *('pretrained', 'evaluate.every_epochs', 'checkpoint.every_steps'),
)


def add_config(parser: Parser) -> None:
    """The config as an argument, by its place or its name, and its fields."""
    parser.takes_config = True
    parser.add_argument(
        'named',
        nargs='?',
        metavar='CONFIG',
        help='a config that comes along, such as simclr or simclr:imagenet (a variant of it), or '
        'the path of a file, such as my_config.py:variant',
    )
    parser.add_argument(
        '--config', metavar='CONFIG', help='the same, as python -m jssl.main has it'
    )
    parser.add_argument(
        '--config.FIELD',
        metavar='VALUE',
        dest='unused',
        help='sets any field of the config, such as --config.optimizer.lr=0.01',
    )
    add_data(parser)
    parser.explain = explain


def explain(options: argparse.Namespace) -> str:
    """The configs that come along, or the fields of the one that the options name.

    By its place a config is named for a first look, at `COMMON` fields; by --config for all.
    """
    named = options.named or options.config
    if not named:
        known = textwrap.fill(', '.join(configs.shipped()), 78)
        return f'configs that come along (jssl train NAME --help says what one is):\n\n{known}'
    everything = options.config is not None
    fields = {field.name: field for field in describe_config(settle(options).config)}
    shown = [fields[name] for name in (fields if everything else COMMON) if name in fields]
    lines = [
        f'  --config.{field.name}={shown_value(field.value)}\n      {field.meaning} Takes: '
        f'{field.takes}.'
        for field in shown
    ]
    heading = 'its fields:' if everything else 'what is set most often:'
    rest = f'All {len(fields)} fields: jssl train --config={named} --help'
    return '\n'.join([*configs.about(named), '', heading, *lines, *([] if everything else [rest])])


def settle(options: argparse.Namespace, others: Sequence[str] = ()) -> argparse.Namespace:
    """Finds the config that the options name and sets its fields.

    Args:
      options: as `Parser.read` gives them, with `named`, `config`, `overrides` and `rest`.
      others: names of arguments that a program has taken itself, for a word misspelt.

    Returns:
      The options, with the config as `config`, nested dicts, and what it was called as `named`.

    Raises:
      JsslError: says which argument is wrong and what would be right.
    """
    if options.config is not None and options.named is not None:  # one of them is no config
        options.rest.append(options.named)
        options.named = None
    options.named = options.named or options.config
    if not options.named:
        raise JsslError('Name an experiment, for example: jssl train simclr.')
    config, sentences = load(options)
    words = [argument.lstrip('-') for argument in (*options.known, *others)]
    _refuse(options.rest, config, words)
    _refuse_arguments(options.overrides, words)
    first = [override for override in options.overrides if override.path[0] in WEIGHTS]
    apply(config, first)
    _inherit(config, names([override.value for override in options.overrides]))
    planned = config.get('epochs')
    apply(config, [override for override in options.overrides if override not in first])
    _shorten_warmup(config, planned, options.overrides)
    said = sentences(config)
    if said and jax.process_index() == 0:
        print('\n'.join(said))
    options.config = config
    return options


def _shorten_warmup(config: dict[str, Any], planned: Any, overrides: Sequence[Override]) -> None:
    """Leaves a warm-up that nobody set its share of a run that was made shorter than it.

    Args:
      config: with the fields that were set.
      planned: epochs before they were.
      overrides: what was set.
    """
    schedule: Any = config.get('schedule')
    epochs: Any = config.get('epochs')
    if not isinstance(schedule, Mapping) or any(o.path[0] == 'schedule' for o in overrides):
        return
    warmup: Any = schedule.get('warmup_epochs')
    if any(type(value) not in (int, float) for value in (warmup, epochs, planned)):
        return  # what is wrong with them is said where the config is built
    if 0 < epochs <= warmup < planned:
        config['schedule'] = {**schedule, 'warmup_epochs': warmup * epochs / planned}


def _inherit(config: dict[str, Any], trusted: Collection[str]) -> None:
    """Puts what `config` leaves to the run in its `pretrained` in the place of its own."""
    for name, value in inherited(config, trusted).items():
        *path, field = name.split('.')
        part = config
        for key in path:
            part = part[key]
        part[field] = value


def _refuse(rest: Sequence[str], config: Mapping[str, Any], arguments: Sequence[str]) -> None:
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


def _refuse_arguments(overrides: Sequence[Override], arguments: Sequence[str]) -> None:
    """Raises a `JsslError` for a field of the config that is an argument of the command."""
    for override in overrides:
        close = difflib.get_close_matches(override.path[0], [*TOP, *arguments], 1, cutoff=0.8)
        if len(override.path) == 1 and close and close[0] not in TOP:
            value = '' if override.text == 'True' else f'={override.text}'
            written = shlex.quote(f'--{close[0]}{value}')
            raise JsslError(
                f'{override.field} is not a key of a config, and {close[0]!r} is an argument '
                f'of the command; write {written}.'
            )
