"""The command `jssl`: a verb, and what it takes.

    jssl train simclr --workdir=runs/first
    jssl train --help

A verb is a line in `VERBS` and a module beside this one with

- a docstring, which is what `jssl VERB --help` begins with,
- ``add_arguments(parser)``, which says what it takes,
- ``run(options) -> int``, which does it and gives the exit status.

A module is imported when its verb is asked for. What is wrong it raises, as a `JsslError`; here
alone is it printed.
"""

import importlib
import keyword
import os
import signal
import sys
from collections.abc import Sequence

from jssl import __version__
from jssl.cli.parser import Parser
from jssl.compilation_cache import keep_programs
from jssl.errors import JsslError, suggest
from jssl.interrupts import Interrupted, run_command
from jssl.training.huge_pages import restart_with_huge_pages

VERBS = {
    'train': 'trains what a config describes, or goes on where it stopped',
    'embed': 'writes the features of images to a table',
    'eval': 'scores the features of a network on labelled images',
    'export': 'writes the weights of a run to a file for others',
    'plan': 'says what a run takes of machines that are not there',
    'replay': 'repeats a run up to one of its steps and shows what is in that',
    'views': 'draws what a config makes of some images',
    'reconstruct': 'draws what a masked image model makes of held-out images',
    'prepare': 'writes a data set once at the size one trains on',
    'import': 'makes weights and configs of others files that jssl reads',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Does what a command line says.

    Args:
      argv: the verb and its arguments; None takes `sys.argv`.

    Returns:
      The exit status: 0 done, 2 bad input (told in one paragraph), 143 stopped by SIGTERM and 130
      by Ctrl-C, after saving; 141 where nobody reads what is printed, as behind `| head`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(*arguments) if arguments else _print(overview())
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _hush()
        return 128 + signal.SIGPIPE
    except JsslError as error:
        print(f'jssl: {" ".join(str(error).splitlines())}', file=sys.stderr)
        return 2
    except Interrupted as interruption:
        print(f'jssl: {interruption}', file=sys.stderr)
        return 128 + interruption.signal


def overview() -> str:
    """What `jssl --help` prints."""
    width = max(map(len, VERBS))
    lines = [f'  {verb:{width}}  {meaning}' for verb, meaning in VERBS.items()]
    return '\n'.join(
        ['usage: jssl VERB ...', '', *lines, '', 'jssl VERB --help says what it takes.']
    )


def _print(text: str) -> int:
    print(text)
    return 0


def _hush() -> None:
    """What is still to be printed goes nowhere, so that Python can end without a traceback."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _run(verb: str, *arguments: str) -> int:
    if verb in ('-h', '--help'):
        return _print(overview())
    if (verb, *arguments) == ('--version',):
        return _print(f'jssl {__version__}')
    if verb not in VERBS:
        raise JsslError(f'{verb!r} is no verb of jssl. {suggest(verb, VERBS)}')
    module = importlib.import_module(f'{__name__}.{verb}{"_" * keyword.iskeyword(verb)}')
    parser = Parser(f'jssl {verb}', module.__doc__)
    module.add_arguments(parser)
    if {'-h', '--help'} & set(arguments):
        return _print(parser.help_on(arguments))
    return module.run(parser.read(arguments))


def command() -> int:
    """What the installed command `jssl` runs."""
    restart_with_huge_pages()
    keep_programs()
    return run_command(main)
