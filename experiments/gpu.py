"""What one GPU makes of recipes for ImageNet, in eight minutes at most.

    python -m experiments.gpu
    python -m experiments.gpu --quick                                # embedded configs, on a CPU

Each is measured by `experiments.throughput` in a process of its own, with noise for images and the
batch that one of eight GPUs would have; NPID has all of its small one. Its row is added to the rows
of that benchmark as soon as it is there. When the time is over, what runs is ended and the rest is
left out.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from experiments import throughput
from experiments.parity import append
from experiments.throughput_table import ROWS, measured, told

MINUTES = 8.0
RECIPES = {
    'simclr:imagenet': ['--config.batch_size=512'],
    'mae:imagenet': ['--config.batch_size=512'],
    'dino:imagenet': ['--config.batch_size=128'],
    'npid:imagenet': ['--config.batch_size=256'],
}
SWITCHES = ('--synthetic', '--brief', '--steps=10')
QUICK = ('--brief', '--steps=2', '--window=1')


def main(argv: Sequence[str] | None = None) -> int:
    """Measures one recipe after the other; the exit status is 1 if one of them has no row."""
    options = _options(argv)
    settings = throughput.parser().parse_args([*(QUICK if options.quick else SWITCHES)])
    end, status = time.monotonic() + 60 * options.minutes, 0
    for recipe in options.only:
        name, _, _ = recipe.partition(':')
        given = (name, ['--config.batch_size=32']) if options.quick else (recipe, RECIPES[recipe])
        row = measured(given[0], settings, given[1], limit=max(end - time.monotonic(), 0))
        print(row.get('failed') or told(row), flush=True)
        if 'failed' in row:
            status = 1
        else:
            append(options.rows, row)
    return status


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--only', nargs='+', choices=RECIPES, default=list(RECIPES))
    parser.add_argument('--minutes', type=float, default=MINUTES, help='for all of them')
    parser.add_argument('--quick', action='store_true', help='embedded configs in their place')
    parser.add_argument('--rows', type=Path, default=ROWS, help='JSON lines')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())
