"""Writes the pages of the reference that follow from the program: commands, config fields, API.

    python -m experiments.reference          # docs/reference/{commands,config}.md and api/
    python -m experiments.reference --check  # says which of them are not what it would write

The tests hold the pages to it, so whoever changes an option or a docstring runs it again.
"""

import argparse
import importlib
import inspect
import keyword
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jssl.cli import VERBS
from jssl.cli.configs import about, shipped
from jssl.cli.parser import Parser
from jssl.config import SECTIONS, TOP
from jssl.describe import meanings_of, takes
from jssl.kinds import KINDS, classes_of, kinds_of
from jssl.training.experiment import Experiment
from jssl.training.settings import Runtime
from jssl.values import fields_of, hints_of

REFERENCE = Path(__file__).resolve().parents[1] / 'docs/reference'
MADE = 'Made from the program by `python -m experiments.reference`.'

# A page of the API: its title, a sentence, and the modules whose public names it holds; behind a
# colon the only one of them.
API: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    'algorithms': (
        'Algorithms',
        'The contract, and the frozen dataclasses that keep it.',
        ('jssl.algorithm', 'jssl.algorithms'),
    ),
    'losses': (
        'Losses',
        'Pure functions of arrays, by the names of their papers.',
        ('jssl.losses',),
    ),
    'memories': (
        'Memories',
        'What a method remembers: explicit state, and pure functions that renew it.',
        ('jssl.memories',),
    ),
    'backbones': ('Backbones', 'Flax modules from images to features.', ('jssl.backbones',)),
    'necks_heads': (
        'Necks and heads',
        'Projections, predictors and decoders; settings of losses and their parameters.',
        ('jssl.necks', 'jssl.heads', 'jssl.target_generators'),
    ),
    'networks': (
        'Networks',
        'Encoders, and the only three ways to run one.',
        ('jssl.networks',),
    ),
    'augment': (
        'Augmentation',
        'Views, masks and the operations that they are made of, all on the device.',
        (
            *('jssl.augment.views', 'jssl.augment.masks', 'jssl.augment.ops.blur'),
            *('jssl.augment.ops.color', 'jssl.augment.ops.erase', 'jssl.augment.ops.geometry'),
            *('jssl.augment.ops.mixing', 'jssl.augment.ops.normalize', 'jssl.augment.ops.resample'),
            *('jssl.augment.ops.rand_augment', 'jssl.augment.ops.tone'),
        ),
    ),
    'data': (
        'Data',
        'Sources of images and orders in which they are read.',
        ('jssl.data.sources', 'jssl.data.loading.samplers'),
    ),
    'optim': (
        'Optimizers and schedules',
        'Whatever optax lacks; any transformation of optax is taken too.',
        (
            *('jssl.optim.optimizers', 'jssl.optim.schedules'),
            *('jssl.optim.transformations', 'jssl.optim.parameter_groups'),
        ),
    ),
    'training': (
        'Training',
        'An experiment, its run, the compiled step and what listens to it.',
        (
            *('jssl.fitting.fit', 'jssl.training.experiment', 'jssl.training.settings'),
            *('jssl.training.step', 'jssl.training.callbacks'),
        ),
    ),
    'evaluation': (
        'Evaluation',
        'What frozen features are worth, and whether they have collapsed.',
        (
            *('jssl.evaluation.knn', 'jssl.evaluation.linear', 'jssl.evaluation.protocols'),
            *('jssl.evaluation.collapse', 'jssl.evaluation.clusters'),
        ),
    ),
    'weights': (
        'Weights',
        'Open what was trained, here or elsewhere, and give it away.',
        ('jssl.inference.load:load', 'jssl.inference.pretrained', 'jssl.interop.mmselfsup'),
    ),
}


def pages() -> dict[str, str]:
    """Every page that is made here, by its path in docs/reference."""
    found = {
        'commands.md': commands_page(),
        'config.md': config_page(),
        'api/index.md': api_index(),
    }
    return found | {f'api/{name}.md': api_page(name) for name in API}


def commands_page() -> str:
    """Each verb: what it is, its arguments."""
    parts = ['# Commands', filled(f'{MADE} `jssl VERB --help` says the same.')]
    parts.append(
        table(
            ('command', 'what it does'),
            [(f'[`jssl {verb}`](#jssl-{verb})', meaning) for verb, meaning in VERBS.items()],
        )
    )
    for verb in VERBS:
        module = importlib.import_module(f'jssl.cli.{verb}{"_" * keyword.iskeyword(verb)}')
        parser = Parser(f'jssl {verb}', module.__doc__)
        module.add_arguments(parser)
        parts += [
            f'## jssl {verb}',
            described(module.__doc__ or ''),
            table(('argument', 'meaning'), arguments(parser)),
        ]
    return '\n\n'.join(parts) + '\n'


def described(text: str) -> str:
    """A docstring as Markdown: what is indented is a command line."""
    parts = []
    for part in inspect.cleandoc(text).split('\n\n'):
        code = part.startswith('    ')
        parts.append(f'```bash\n{textwrap.dedent(part)}\n```' if code else filled(part))
    return '\n\n'.join(parts)


def arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Names and meanings of what a verb takes."""
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        name = ', '.join(action.option_strings) or str(action.metavar or action.dest)
        value = (
            ''
            if action.nargs == 0 or not action.option_strings
            else f'={action.metavar or words(action)}'
        )
        yield f'`{name}{value}`', meaning_of(action)


def meaning_of(action: argparse.Action) -> str:
    """What an option is for, and its default where the help does not say it already.

    A first word that is to be typed as it stands, such as ``folder:/path``, gets no capital.
    """
    text = ' '.join(str(action.help or '').split())
    first = text.partition(' ')[0]
    meaning = (
        text[:1] + sentence(text)[1:] if ':' in first or first == action.default else sentence(text)
    )
    silent = action.default in (None, False, '', [], argparse.SUPPRESS) or action.nargs == 0
    if silent or '(default' in text:
        return meaning
    return f'{meaning} Default: `{action.default}`.'.strip()


def words(action: argparse.Action) -> str:
    """What an option takes, where it has no name of its own."""
    return '|'.join(map(str, action.choices)) if action.choices else action.dest.upper()


def config_page() -> str:
    """Fields of a config, of its sections, and the classes of each kind of part."""
    meanings = meanings_of(Experiment) | meanings_of(Runtime)
    meanings |= {
        'model': meanings['algorithm'],
        'inherit': 'Parts that are taken over from the run in pretrained.',
    }
    top = [
        (f'`{name}`', part_or(hint), sentence(meanings.get(name, '')))
        for name, hint in TOP.items()
        if name not in SECTIONS
    ]
    parts = [CONFIG_HEAD, table(('field', 'takes', 'meaning'), top)]
    for name, section in SECTIONS.items():
        parts += [
            f'## {name}',
            filled(sentence(meanings[name])),
            table(('field', 'default', 'takes', 'meaning'), fields(name, section)),
        ]
    parts += ['## Types', TYPES]
    for kind in KINDS.values():
        rows = [
            (f'`{name}`', summary(getattr(importlib.import_module(kind.package), name)))
            for name in classes_of(kind)
        ]
        if rows:
            parts += [
                f'### {kind.words.capitalize()}',
                f'`{kind.package}`',
                table(('type', 'what it is'), rows),
            ]
    rows = [(f'`{name}`', about(name)[0]) for name in shipped()]
    return (
        '\n\n'.join([*parts, '## Configs that come along', table(('config', 'what it is'), rows)])
        + '\n'
    )


def fields(name: str, section: type) -> Iterator[tuple[str, str, str, str]]:
    """The fields of a section of a config."""
    meanings, hints = meanings_of(section), hints_of(section)
    for key, parameter in fields_of(section).items():
        yield (
            f'`{name}.{key}`',
            f'`{parameter.default!r}`',
            takes(hints[key]),
            sentence(meanings.get(key, '')),
        )


def part_or(hint: Any) -> str:
    """What a field takes: a part of a kind, whose classes stand below, or else in words."""
    kinds = kinds_of(hint)
    if not 0 < len(kinds) < len(KINDS):
        return takes(hint)
    return ' or '.join(f'a [{kind.words}](#{kind.name.replace("_", "-")})' for kind in kinds)


CONFIG_HEAD = f"""# Config fields

{MADE}

`jssl train --config=simclr --help` lists the fields of one config with their values.

Any of them is set on the command line: `--config.optimizer.lr=0.01`. A value is a Python literal;
strings need no quotes. What is a part of its own is `dict(type=…)`, and its fields are those of
the class: see the [API](api/index.md)."""

TYPES = (
    """A field that takes a part names a class of these, or one of yours as `my_module:MyClass`."""
)


def api_index() -> str:
    """The pages of the API."""
    rows = [(f'[{title}]({name}.md)', text) for name, (title, text, _) in API.items()]
    return (
        f'# API\n\n{MADE}\n\nEvery function of losses, memories, augmentation and schedules has '
        'an example that the tests\nrun.\n\n' + table(('page', 'what it holds'), rows) + '\n'
    )


def api_page(name: str) -> str:
    """A page of the API: a table of names for whoever reads it as Markdown, and the docstrings."""
    title, text, modules = API[name]
    parts = [f'# {title}', text]
    for module, names in map(public, modules):
        head = summary(module).rstrip('.')
        parts += [
            f'## {module.__name__}',
            filled(sentence(head)),
            table(
                ('name', 'what it is'),
                [(f'`{key}`', summary(value)) for key, value in names.items()],
            ),
        ]
        parts += [f'::: {value.__module__}.{key}' for key, value in names.items()]
    return '\n\n'.join(parts) + '\n'


def public(where: str) -> tuple[types.ModuleType, dict[str, Any]]:
    """Classes and functions that a module gives: its own, and those that a package gathers."""
    path, _, only = where.partition(':')
    module = importlib.import_module(path)
    names = [only] if only else [name for name in vars(module) if not name.startswith('_')]
    things = {name: getattr(module, name) for name in names}
    return module, {name: thing for name, thing in things.items() if _is_of(thing, module)}


def _is_of(thing: Any, module: types.ModuleType) -> bool:
    home = getattr(thing, '__module__', None) or ''
    gathered = hasattr(module, '__path__') and home.startswith(f'{module.__name__}.')
    known = inspect.isclass(thing) or inspect.isfunction(thing)
    return known and (home == module.__name__ or gathered)


def summary(thing: Any) -> str:
    """The first sentence or paragraph of a docstring, in one line."""
    return ' '.join((inspect.getdoc(thing) or '').partition('\n\n')[0].split())


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    text = text.strip()
    if not text:
        return ''
    return text[0].upper() + text[1:] + ('' if text.endswith(('.', '!', '?')) else '.')


def filled(text: str) -> str:
    """A paragraph in lines of at most 98 characters."""
    return textwrap.fill(' '.join(text.split()), 98, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
    lines = [f'| {" | ".join(head)} |', '|---' * len(head) + '|']
    lines += [f'| {" | ".join(cell.replace("|", chr(92) + "|") for cell in row)} |' for row in rows]
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the pages, or says which are not up to date; the exit status is 1 then."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--check', action='store_true', help='write nothing')
    check = parser.parse_args(argv).check
    stale = [name for name, text in pages().items() if _now(REFERENCE / name) != text]
    for name in stale:
        print(f'docs/reference/{name} is {"not up to date" if check else "written"}')
        if not check:
            (REFERENCE / name).parent.mkdir(parents=True, exist_ok=True)
            (REFERENCE / name).write_text(pages()[name], encoding='utf-8')
    return 1 if check and stale else 0


def _now(path: Path) -> str:
    return path.read_text(encoding='utf-8') if path.is_file() else ''


if __name__ == '__main__':
    sys.exit(main())
