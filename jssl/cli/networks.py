"""The trained network that a command line names."""

import argparse

from jssl.cli.parser import Parser
from jssl.inference.load import load
from jssl.inference.pretrained import Pretrained


def add_network(parser: Parser) -> None:
    """The run or the file as an argument."""
    parser.add_argument(
        'network',
        metavar='RUN_OR_FILE',
        help='the --workdir of a run, or a .safetensors or .npz file that jssl wrote',
    )
    parser.add_argument(
        '--trust',
        action='append',
        default=[],
        metavar='MODULE:CLASS',
        help='a class outside jssl that the run may name; its code is run',
    )


def open_network(options: argparse.Namespace) -> Pretrained:
    """The network, see `jssl.load`."""
    return load(options.network, trusted=options.trust)
