"""A checkpoint of PyTorch as a file that jssl reads without PyTorch.

    jssl import dalle_encoder.pth weights/dalle_encoder.safetensors

Only tensors are read, never code: a file that holds more than that is refused. Needs PyTorch here
and nowhere else.
"""

import argparse
from pathlib import Path

from jssl.cli.parser import Parser
from jssl.interop.convert import convert
from jssl.paths import expanded


def add_arguments(parser: Parser) -> None:
    """What `jssl import` takes."""
    parser.add_argument('source', type=Path, help='.pth, .pt or .pkl, a dict of tensors')
    parser.add_argument('target', type=Path, help='.safetensors; its folder is made')


def run(options: argparse.Namespace) -> int:
    """Writes the file and says how much is in it."""
    source, target = expanded(options.source), expanded(options.target)
    print(f'{target}: {convert(source, target)} tensors')
    return 0
