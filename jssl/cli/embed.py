"""Features of images in a table: a row for each, in the order of the data.

    jssl embed runs/first --data=folder:photos --out=features.parquet
    jssl embed backbone.safetensors --data=list:photos.txt --out=features.npz --layer=patch_mean

Columns are id (path or name of the image), ok, label if there is one, and features. An image that
cannot be read keeps its row, with ok False and features NaN. Who is stopped goes on by the same
command. docs/guides/features.md shows how to look up neighbours.
"""

import argparse
import logging
import sys

import jax

from jssl.checks import Count, check_value
from jssl.cli.data import Once, source_of
from jssl.cli.jobs import add_job, connect
from jssl.cli.networks import add_network, open_network
from jssl.cli.parser import Parser
from jssl.counts import counted
from jssl.data.reading.decoding import quiet
from jssl.inference.embed import embed, place_of
from jssl.inference.layers import POOLED
from jssl.inference.pretrained import BATCH
from jssl.interrupts import status


def add_arguments(parser: Parser) -> None:
    """What `jssl embed` takes."""
    add_network(parser)
    parser.add_argument(
        '--data',
        action=Once,
        required=True,
        metavar='KIND:WHERE',
        help='the images: folder:photos, list:photos.txt, tfds:cifar10/test, hf:folder, '
        'parquet:files or webdataset:shards',
    )
    parser.add_argument('--data_dir', help='where TFDS data sets lie')
    parser.add_argument('--out', required=True, help='the table, .parquet or .npz')
    parser.add_argument(
        '--layer',
        default=POOLED,
        help='pooled (default), class_token, patch_mean, patches, map, or the number of a stage or '
        'block, from 1, or from -1 at the end',
    )
    meaning = f'images computed at a time (default: {BATCH})'
    parser.add_argument('--batch_size', type=int, default=BATCH, help=meaning)
    add_job(parser)


@quiet()
def run(options: argparse.Namespace) -> int:
    """Writes the table and prints its path; 130 for Ctrl-C, 143 for SIGTERM."""
    logging.getLogger('absl').setLevel(logging.ERROR)
    check_value('--batch_size', options.batch_size, Count)
    place_of(options.out)  # before a network is opened
    connect(options)
    source = source_of(options.data, split='test', data_dir=options.data_dir)
    network = open_network(options)
    try:
        done = embed(
            network, source, options.out, layer=options.layer, batch_size=options.batch_size
        )
    except KeyboardInterrupt as stop:
        print('jssl: stopped; the same command continues.', file=sys.stderr)
        return status(stop)
    if jax.process_index() != 0:
        return 0
    broken = f', {done.broken:,} of them broken (ok is False)' if done.broken else ''
    print(f'{done.path}: {counted(done.rows, "image")}{broken}')
    return 0
