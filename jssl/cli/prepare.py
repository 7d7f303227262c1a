"""Decodes a data set once and writes it at the size one trains on, as a TFDS data set.

    jssl prepare --source=train=folder:/data/imagenet/train \\
        --source=validation=folder:/data/imagenet/val --out=/data/tfds/imagenet_256 --size=256

Afterwards it is data=dict(type='TFDS', name='imagenet_256', split='train', data_dir='/data/tfds').
The same command continues what was interrupted; a data set gets its name only once it is complete.
"""

import argparse
import os
import re
import sys

from jssl.checks import Fraction, check_value
from jssl.cli.data import described
from jssl.cli.parser import Parser
from jssl.components import build
from jssl.data.preparing.conversion import Quality, Size, Target, Threads, check_split, prepare
from jssl.data.reading.decoding import quiet
from jssl.data.sources import Source
from jssl.errors import JsslError
from jssl.interrupts import status

SPLIT = re.compile(r'(\w+)=')
NUMBERS = {'size': Size, 'quality': Quality, 'workers': Threads, 'bad_samples': Fraction}


def add_arguments(parser: Parser) -> None:
    """What `jssl prepare` takes."""
    parser.add_argument(
        '--source',
        action='append',
        required=True,
        metavar='[SPLIT=]KIND:WHERE',
        help='folder:/path, list:/path, tfds:name/split, hf:/path, parquet:/path or '
        'webdataset:pattern; once for each split. Without SPLIT= it is the split of the source, or '
        'train',
    )
    parser.add_argument('--out', required=True, help='DATA_DIR/NAME of the new data set')
    parser.add_argument('--size', type=int, required=True, help='of the short side in pixels')
    parser.add_argument(
        '--encoding',
        choices=('jpeg', 'png'),
        default='jpeg',
        help='of the new files; png loses nothing and is larger (default: jpeg)',
    )
    parser.add_argument('--quality', type=int, default=95, help='of JPEG (default: 95)')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='threads')
    parser.add_argument('--bad_samples', type=float, default=0.01, help='share that may be broken')
    parser.add_argument('--root', default='', help='what the paths of a list are relative to')
    parser.add_argument('--data_dir', help='TFDS folder of tfds: sources')


def read_sources(options: argparse.Namespace) -> dict[str, Source]:
    """The source of each split.

    Raises:
      JsslError: not written as it should be, two for one split, or what the source objects to.
    """
    sources: dict[str, Source] = {}
    for given in options.source:
        named = SPLIT.match(given)
        where = given[named.end() :] if named else given
        fields = described(where, argument='--source', data_dir=options.data_dir)
        split = named[1] if named else re.split(r'\W', fields.get('split', 'train'))[0]
        check_split(split)
        if split in sources:
            raise JsslError(
                f'--source={given} is a second {split!r}; name it, as SPLIT=KIND:WHERE.'
            )
        if fields['type'] == 'ImageList':
            fields['root'] = options.root
        sources[split] = build('data', fields)
    return sources


@quiet()
def run(options: argparse.Namespace) -> int:
    """Prepares what the arguments describe; 130 for Ctrl-C, 143 for SIGTERM."""
    for name, hint in NUMBERS.items():
        check_value(f'--{name}', getattr(options, name), hint)
    sources = read_sources(options)
    for source in sources.values():
        for remark in getattr(source, 'remarks', []):
            print(f'jssl: {remark}', file=sys.stderr)
    try:
        out = prepare(
            sources,
            options.out,
            Target(options.size, options.encoding, options.quality),
            described=dict(zip(sources, options.source, strict=True)),
            threads=options.workers,
            bad_samples=options.bad_samples,
        )
    except KeyboardInterrupt as stop:
        print('jssl: stopped; the same command continues.', file=sys.stderr)
        return status(stop)
    for split in sources:
        print(
            f'data=dict(type={"TFDS"!r}, name={out.name!r}, split={split!r}, '
            f'data_dir={str(out.absolute().parent)!r})'
        )
    return 0
