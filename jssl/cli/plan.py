"""What a run takes of machines that are not there: memory, arithmetic, messages, hours.

    jssl plan simclr:imagenet --on=8xh200
    jssl plan dinov2:imagenet --on=v5p-64 --config.mesh.fsdp=32 --largest=64

The whole step is compiled for that machine, which takes minutes and no accelerator. NVIDIA's cards
are a100 (80 GB), h100 and h200, so many of them (8xh200) or so many hosts with so many each
(4x8xh100); slices of TPUs are called as Google calls them (v4-32, v5e-64, v5p-64, v6e-8).
"""

import argparse
import json

from jssl.checks import Count, check_value
from jssl.cli.configs import title
from jssl.cli.experiments import add_config, settle
from jssl.cli.parser import Parser
from jssl.planning.estimate import estimate
from jssl.planning.machines import EXAMPLES, parse
from jssl.planning.program import lacks, restart
from jssl.planning.words import lines
from jssl.runs.record import recordable


def add_arguments(parser: Parser) -> None:
    """What `jssl plan` takes."""
    add_config(parser)
    parser.add_argument('--on', metavar='MACHINE', required=True, help=f'such as {EXAMPLES}')
    parser.add_argument(
        '--images',
        type=int,
        help='how many there are to train on, for data that are not here; of ImageNet, CIFAR-10 '
        'and the digits that is known',
    )
    batches = parser.add_mutually_exclusive_group()
    batches.add_argument(
        '--largest',
        type=int,
        metavar='UNIT',
        help='find the largest batch that fits, a multiple of this, by compiling several; without '
        'it the largest is estimated from two',
    )
    batches.add_argument(
        '--quick', action='store_true', help='compile the batch of the config alone, no second one'
    )
    parser.add_argument('--json', action='store_true', help='print one line of JSON')


def run(options: argparse.Namespace) -> int:
    """Prints the plan."""
    fleet = parse(options.on)
    for name in ('images', 'largest'):
        if (value := getattr(options, name)) is not None:
            check_value(f'--{name}', value, Count)
    if not lacks(fleet.machine):
        restart(fleet.machine)
    config = recordable(settle(options).config)
    numbers = estimate(
        config, fleet, images=options.images, unit=options.largest, second=not options.quick
    )
    if options.json:
        print(json.dumps({'config': title(options.named), **numbers}))
    else:
        print('\n'.join(lines(title(options.named), numbers)))
    return 0
