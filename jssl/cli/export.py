"""The weights of a run in a file for others, with a page that says what they are.

    jssl export runs/first --out=simclr.safetensors
    jssl export runs/first --to=npz --out=simclr.npz --whole

The file says which network it is for and how images are prepared, so that jssl.load needs nothing
beside it. Names and layouts are those of MMSelfSup, for ResNets those of torchvision.
"""

import argparse
import logging

from jssl.cli.networks import add_network, open_network
from jssl.cli.parser import Parser
from jssl.inference.export import export
from jssl.interop.exporters import formats


def add_arguments(parser: Parser) -> None:
    """What `jssl export` takes."""
    add_network(parser)
    known = '; '.join(f'{name}: {module.HELP}' for name, module in formats().items())
    parser.add_argument('--to', metavar='FORMAT', help=f'{known}; by default the ending of --out')
    parser.add_argument('--out', required=True, help='the file; the page is beside it, OUT.md')
    parser.add_argument(
        '--whole',
        action='store_true',
        help='all that the algorithm has, such as neck, teacher and queue, beside the backbone',
    )


def run(options: argparse.Namespace) -> int:
    """Writes the files and prints their paths."""
    logging.getLogger('absl').setLevel(logging.ERROR)
    for path in export(open_network(options), options.out, to=options.to, whole=options.whole):
        print(path)
    return 0
