"""Arguments of the commands beside `jssl.main`; what is wrong with them is one paragraph."""

import argparse
from typing import NoReturn

from jssl.errors import JsslError


class Parser(argparse.ArgumentParser):
    """Raises what is wrong with the arguments, as everything else does."""

    def error(self, message: str) -> NoReturn:
        """Raises a `JsslError` in place of printing how the command is used.

        Args:
          message: what is wrong, in argparse's words.
        """
        raise JsslError(f'{message} (--help shows the arguments)')
