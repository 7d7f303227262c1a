"""The parser of every verb; what is wrong with the arguments is one paragraph."""

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from jssl.errors import JsslError, suggest


class Parser(argparse.ArgumentParser):
    """Raises what is wrong with the arguments, as everything else does.

    Attributes:
      explain: gives what else there is to say of the arguments in a call for help.
      takes_config: whether fields of a config may stand among the arguments: then `read` gives them
        as `overrides`, what it does not know as `rest`, and what it knows as `known`.
    """

    takes_config = False
    explain: Callable[[argparse.Namespace], str] | None = None

    def __init__(self, name: str, description: str | None) -> None:
        """A parser without arguments.

        Args:
          name: of the command.
          description: what its help begins with.
        """
        super().__init__(
            name,
            description=description,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The arguments.

        Raises:
          JsslError: names what is none, or lacks.
        """
        if self.takes_config:
            return self._read_with_config(argv)
        options, rest = self.parse_known_args(argv)
        if rest:
            raise JsslError(f'{rest[0]} is no argument. {suggest(rest[0], self.names)}')
        return options

    def _read_with_config(self, argv: Sequence[str]) -> argparse.Namespace:
        from jssl.overrides import split  # which imports JAX, and not every verb needs it

        overrides, arguments = split(argv)
        options, rest = self.parse_known_args(arguments)
        options.overrides, options.rest, options.known = overrides, rest, self.names
        return options

    def help_on(self, argv: Sequence[str]) -> str:
        """The help, and what there is to say of the arguments beside those that ask for it."""
        text = self.format_help()
        if self.explain is None:
            return text
        for action in self._actions:
            action.required = False  # a call for help need not be complete
        asked = [argument for argument in argv if argument not in ('-h', '--help')]
        return f'{text}\n{self.explain(self.read(asked))}'

    @property
    def names(self) -> list[str]:
        """The arguments that begin with dashes."""
        long = [name for name in self._option_string_actions if name.startswith('--')]
        return [name for name in long if '.' not in name]

    def error(self, message: str) -> NoReturn:
        """Raises a `JsslError` in place of printing how the command is used.

        Args:
          message: what is wrong, in argparse's words.
        """
        raise JsslError(f'{message} (--help shows the arguments)')
