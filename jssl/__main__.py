"""`python -m jssl VERB ...` is the command `jssl VERB ...`, where it is not on the path."""

import sys

from jssl.cli import command

if __name__ == '__main__':
    sys.exit(command())
