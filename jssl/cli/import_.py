"""Weights of other libraries as a file that jssl reads, or in the layout of a third.

    jssl import dalle_encoder.pth weights/dalle_encoder.safetensors
    jssl import vit_small.safetensors vit_small_hf --to=huggingface
    jssl import checkpoint.pth dino.safetensors --to=safetensors --layout=dino

Without an option the tensors of a checkpoint of PyTorch are written under their own names. Else the
layout of the file is recognised and said, and what has no place is an error (docs/weights.md). Only
tensors are read, never code: a file that holds more than that is refused. Checkpoints need PyTorch
here and nowhere else.
"""

import argparse
import os
from pathlib import Path

from jssl.cli.networks import read_backbone
from jssl.cli.parser import Parser
from jssl.inference.carry import carry
from jssl.interop.convert import convert
from jssl.interop.exporters import formats
from jssl.interop.layouts import LAYOUTS
from jssl.paths import expanded
from jssl.weights.files import READABLE


def add_arguments(parser: Parser) -> None:
    """What `jssl import` takes."""
    parser.add_argument(
        'source', type=Path, help='.pth, .pt, .pkl, .safetensors or .npz, or a folder with one'
    )
    parser.add_argument('target', type=Path, help='what is written; its folder is made')
    parser.add_argument('--to', metavar='FORMAT', help=f'one of {", ".join(formats())}')
    names = ', '.join(layout.name for layout in LAYOUTS)
    parser.add_argument('--layout', help=f'of the source, if not as recognised: one of {names}')
    parser.add_argument(
        '--leave_out',
        action='append',
        default=[],
        metavar='NAME',
        help='how the names of arrays begin that need no place, such as head.',
    )
    parser.add_argument('--backbone', metavar='DICT', help='the network, if the source is silent')


def run(options: argparse.Namespace) -> int:
    """Writes the file and says what is in it."""
    source, target = expanded(options.source), expanded(options.target)
    chosen = (options.to, options.layout, options.backbone, *options.leave_out)
    if not any(chosen) and not os.path.isdir(source) and source.suffix.lower() not in READABLE:
        print(f'{target}: {convert(source, target)} tensors')
        return 0
    written = carry(
        source,
        target,
        options.to or 'safetensors',
        layout=options.layout,
        leave_out=options.leave_out,
        backbone=options.backbone and read_backbone(options.backbone),
    )
    print(written)
    return 0
