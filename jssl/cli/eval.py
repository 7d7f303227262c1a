"""What the features of a trained network are worth on labelled images.

    jssl eval runs/first --data=folder:photos/train --test_data=folder:photos/test
    jssl eval simclr.npz --data=tfds:cifar10 --test_data=tfds:cifar10 --protocol=knn --json

Protocols learn from --data and are scored on --test_data; without that, every fifth image of --data
is held out.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from jssl.checks import Count, check_value
from jssl.cli.data import Once, source_of
from jssl.cli.networks import add_network, open_network
from jssl.cli.parser import Parser
from jssl.data.reading.decoding import quiet
from jssl.data.sources import Part, Source
from jssl.evaluation.evaluator import METRICS
from jssl.evaluation.protocols import named, protocols
from jssl.inference.pretrained import BATCH
from jssl.inference.score import MAX_TRAIN, score
from jssl.recipes.own_images import HELD_OUT

NUMBERS = ('batch_size', 'max_train')
DEFAULT = ','.join(type(metric).__name__.lower() for metric in METRICS)


def add_arguments(parser: Parser) -> None:
    """What `jssl eval` takes."""
    add_network(parser)
    parser.add_argument(
        '--data',
        action=Once,
        required=True,
        metavar='KIND:WHERE',
        help='labelled images to learn from: folder:photos, list:train.txt, tfds:cifar10/train, '
        'hf:folder, parquet:files or webdataset:shards',
    )
    parser.add_argument(
        '--test_data',
        action=Once,
        metavar='KIND:WHERE',
        help=f'labelled images to score on; without them every {HELD_OUT}th of --data',
    )
    parser.add_argument('--data_dir', help='where TFDS data sets lie')
    parser.add_argument(
        '--protocol',
        default=DEFAULT,
        metavar='NAMES',
        help=f'some of {", ".join(protocols())}, separated by commas (default: {DEFAULT})',
    )
    parser.add_argument(
        '--max_train',
        type=int,
        default=MAX_TRAIN,
        help=f'images of --data that are taken at most (default: {MAX_TRAIN})',
    )
    meaning = f'images computed at a time (default: {BATCH})'
    parser.add_argument('--batch_size', type=int, default=BATCH, help=meaning)
    parser.add_argument('--json', action='store_true', help='print the numbers as JSON, no table')


@quiet()
def run(options: argparse.Namespace) -> int:
    """Prints the scores."""
    logging.getLogger('absl').setLevel(logging.ERROR)
    for name in NUMBERS:
        check_value(f'--{name}', getattr(options, name), Count)
    metrics = named(options.protocol.split(','))
    train, test = sources(options)
    scores = score(
        open_network(options),
        train,
        test,
        metrics,
        batch_size=options.batch_size,
        max_train=options.max_train,
        report=lambda line: print(line, file=sys.stderr),
    )
    images = {'train': min(len(train), options.max_train), 'test': len(test)}
    if options.json:
        print(json.dumps({'images': images, 'scores': scores}))
    else:
        show(images, scores)
    return 0


def sources(options: argparse.Namespace) -> tuple[Source, Source]:
    """The images to learn from, and those to score on."""
    data = source_of(options.data, data_dir=options.data_dir)
    if options.test_data is None:
        return Part(data, HELD_OUT), Part(data, HELD_OUT, held_out=True)
    test = source_of(
        options.test_data, argument='--test_data', split='test', data_dir=options.data_dir
    )
    return data, test


def show(images: Mapping[str, int], scores: Mapping[str, float]) -> None:
    """A line for each number."""
    print(f'{images["test"]:,} test images, {images["train"]:,} to learn from')
    table = Table()
    table.add_column('score')
    table.add_column('value', justify='right')
    for name, value in scores.items():
        table.add_row(name, f'{value:.4g}')
    Console().print(table)
