"""A picture of what a config makes of some images: a row for each, the image and its views.

    jssl views simclr --images=8 --out=views.png

Views of several sizes are shown on one scale, and where the algorithm draws a mask what it hides of
the first view is covered with grey.
"""

import argparse

from jssl.checks import Count, check_value
from jssl.cli.experiments import add_config, settle
from jssl.cli.parser import Parser
from jssl.config import experiment
from jssl.data.reading.decoding import quiet
from jssl.fitting.pictures import draw_picture
from jssl.runs.record import recordable
from jssl.visualization.picture_file import check_path, save


def add_arguments(parser: Parser) -> None:
    """What `jssl views` takes."""
    add_config(parser)
    parser.add_argument('--images', type=int, default=8, help='rows of the picture')
    parser.add_argument('--out', default='views.png', help='the file to write, .png or .webp')


@quiet()
def run(options: argparse.Namespace) -> int:
    """Writes the picture and prints its path."""
    check_value('--images', options.images, Count)
    path = check_path(options.out)
    subject = experiment(recordable(settle(options).config))
    save(draw_picture(subject, options.images), path)
    print(path)
    return 0
