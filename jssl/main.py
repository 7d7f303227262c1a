"""One config, one run.

    python -m jssl.main --config=configs/simclr.py --config.epochs=12 --workdir=runs/first

It is the same as `jssl train`.
"""

import sys
from collections.abc import Sequence

from jssl import cli
from jssl.compilation_cache import keep_programs
from jssl.interrupts import run_command
from jssl.training.huge_pages import restart_with_huge_pages


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the experiment that the arguments describe; the exit status is that of `jssl.cli.main`.

    Args:
      argv: the command line without the program's name; None takes `sys.argv`.
    """
    return cli.main(['train', *(sys.argv[1:] if argv is None else argv)])


if __name__ == '__main__':
    restart_with_huge_pages()
    keep_programs()
    sys.exit(run_command(main))
