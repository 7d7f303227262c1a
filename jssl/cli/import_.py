"""Weights and configs of other libraries as files that jssl reads, weights in a third's layout too.

    jssl import byol_resnet50_16xb256-coslr-200e_in1k.py byol.py
    jssl import dalle_encoder.pth weights/dalle_encoder.safetensors
    jssl import vit_small.safetensors vit_small_hf --to=huggingface
    jssl import checkpoint.pth dino.safetensors --to=safetensors --layout=dino

A .py file is a whole config of MMSelfSup or MMPretrain (docs/tutorials/mmselfsup.md). It is read
with its _base_ files and never run; what has no counterpart is listed by file and line.

Without an option the tensors of a checkpoint of PyTorch are written under their own names. Else
the layout of the file is recognised and said, and what has no place is an error
(docs/guides/weights.md). Only tensors are read, never code: a file that holds more than that is
refused. Checkpoints need PyTorch here and nowhere else.
"""

import argparse
import os
import shlex
from pathlib import Path

from jssl.checks import Count, check_value
from jssl.cli.networks import read_backbone
from jssl.cli.parser import Parser
from jssl.counts import counted
from jssl.errors import JsslError
from jssl.files import replace_file
from jssl.inference.carry import carry
from jssl.interop.configs.carrying import carry as carry_config
from jssl.interop.configs.carrying import sentences
from jssl.interop.configs.writing import written
from jssl.interop.convert import convert
from jssl.interop.exporters import formats
from jssl.interop.layouts import LAYOUTS
from jssl.paths import expanded
from jssl.weights.files import READABLE

CONFIG = '.py'
FOR_CONFIGS = ('processes', 'images')
FOR_WEIGHTS = ('to', 'layout', 'backbone')


def add_arguments(parser: Parser) -> None:
    """What `jssl import` takes."""
    parser.add_argument(
        'source',
        type=Path,
        help='.pth, .pt, .pkl, .safetensors or .npz, a folder with one, or a config in a .py',
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
        help='how the names of arrays, or of settings of a config, begin that need no place',
    )
    parser.add_argument('--backbone', metavar='DICT', help='the network, if the source is silent')
    parser.add_argument(
        '--processes',
        type=int,
        metavar='N',
        help='of a config: how many processes (GPUs) it is for, if its name says no 8xb256',
    )
    parser.add_argument(
        '--images', type=int, metavar='N', help='of a config: how many there are to train on'
    )


def run(options: argparse.Namespace) -> int:
    """Writes the file and says what is in it."""
    source, target = expanded(options.source), expanded(options.target)
    if source.suffix.lower() == CONFIG:
        return _config(source, target, options)
    if target.suffix.lower() == CONFIG:
        raise JsslError(
            f'{source} does not end in {CONFIG}, as a config does that {target} can be.'
        )
    for name in FOR_CONFIGS:
        if getattr(options, name) is not None:
            raise JsslError(f'--{name} is for configs, and {source} does not end in {CONFIG}.')
    chosen = (options.to, options.layout, options.backbone, *options.leave_out)
    if not any(chosen) and not os.path.isdir(source) and source.suffix.lower() not in READABLE:
        print(f'{target}: {counted(convert(source, target), "tensor")}')
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


def _config(source: Path, target: Path, options: argparse.Namespace) -> int:
    """Writes a config of jssl and says what is different in it."""
    for name in FOR_WEIGHTS:
        if getattr(options, name) is not None:
            raise JsslError(f'--{name} is for weights, and {source} is a config; leave it out.')
    for name in FOR_CONFIGS:
        check_value(f'--{name}', getattr(options, name), Count | None)
    if target.suffix.lower() != CONFIG or os.path.lexists(target):
        why = 'is there already' if os.path.lexists(target) else f'must end in {CONFIG}'
        raise JsslError(f'{target} {why}; name another file for the config.')
    numbers = {name: getattr(options, name) for name in FOR_CONFIGS}
    carried = carry_config(source, leave_out=options.leave_out, **numbers)
    said = [carried.about, *sentences(carried.notes, source)]
    text = written(carried.config, carried.comments, said)
    try:
        os.makedirs(target.parent, exist_ok=True)
        replace_file(target, text.encode())
    except OSError as error:
        why = f'{target} cannot be written: {error.strerror}; name another file.'
        raise JsslError(why) from error
    print(*said, sep='\n')
    print(f'jssl train --config={shlex.quote(str(target))}')
    return 0
