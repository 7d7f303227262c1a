"""The trained network that a command line names."""

import argparse
import sys
from typing import Any

from jssl.cli.parser import Parser
from jssl.components import build_at
from jssl.errors import JsslError
from jssl.inference.load import load
from jssl.inference.pretrained import Pretrained
from jssl.kinds import Backbone
from jssl.literals import read

EXAMPLE = '"dict(type=\'ResNet\', depth=50)"'


def add_network(parser: Parser) -> None:
    """The run or the file as an argument."""
    parser.add_argument(
        'network',
        metavar='RUN_OR_FILE',
        help='the --workdir of a run, a .safetensors or .npz file, or a folder of Hugging Face or '
        'timm (docs/guides/weights.md)',
    )
    parser.add_argument(
        '--backbone',
        metavar='DICT',
        help=f'the network of a file that does not say it, such as {EXAMPLE}',
    )
    parser.add_argument('--layout', help='of a file by others, if not as recognised')
    parser.add_argument(
        '--trust',
        action='append',
        default=[],
        metavar='MODULE:CLASS',
        help='a class outside jssl that the run may name; its code is run',
    )


def open_network(options: argparse.Namespace) -> Pretrained:
    """The network, see `jssl.load`.

    Raises:
      JsslError: there is none, or `--backbone` describes none.
    """
    given = options.backbone
    backbone = None if given is None else read_backbone(given)
    return load(
        options.network,
        backbone=backbone,
        trusted=options.trust,
        layout=options.layout,
        report=tell,
    )


def tell(line: str) -> None:
    """Prints where a result is not in the way."""
    print(line, file=sys.stderr)


def read_backbone(text: str) -> Any:
    """The module that the value of `--backbone` describes.

    Raises:
      JsslError: it describes none.
    """
    try:
        return build_at('backbone', Backbone, read(text))
    except ValueError as error:  # a JsslError is one
        said = str(error).replace('config.backbone', 'backbone').rstrip('.')
        raise JsslError(f'--backbone={text}: {said}. Write it as --backbone={EXAMPLE}.') from error
