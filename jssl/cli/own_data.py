"""`--data`, `--test_data` and `--probe_data`: a config on a user's own images."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax

from jssl.cli import configs
from jssl.cli.data import Once, described, source_of
from jssl.cli.parser import Parser
from jssl.components import build
from jssl.data.reading.remarks import median_side
from jssl.data.sources import Source, has_labels
from jssl.errors import JsslError
from jssl.recipes.own_images import HELD_OUT, SIZES, OwnImages

Sentences = Callable[[Mapping[str, Any]], list[str]]
FIELDS = {'data': 'train', 'test_data': 'test', 'probe_data': 'train'}  # and splits of TFDS
MEANINGS = {
    'data': 'your own images to train on: folder:photos, list:train.txt, tfds:name/split, '
    'hf:folder, parquet:files or webdataset:shards; sizes, network and length follow from how many '
    'and how large they are, and are printed',
    'test_data': 'images to judge the features on; without them every fifth image of labelled data '
    'is held out',
    'probe_data': 'labelled images that kNN and the linear probe learn from, where those to train '
    'on have no labels',
}


def add_data(parser: Parser) -> None:
    """The data sets as arguments, and how large the network sees them."""
    for field, meaning in MEANINGS.items():
        parser.add_argument(f'--{field}', action=Once, metavar='KIND:WHERE', help=meaning)
    parser.add_argument(
        '--size',
        type=int,
        choices=SIZES,
        help='pixels that the network sees of your images on a side, at most',
    )


def load(options: argparse.Namespace) -> tuple[dict[str, Any], Sentences]:
    """The config that the options name, on the data that they name, if they do.

    Returns:
      The config, and what there is to say of it once its fields are set: the rules of
      `jssl.recipes.own_images` chose them.

    Raises:
      JsslError: there is no such config, or no such data.
    """
    config = configs.load(options.named)
    given = {
        field: described(text, argument=f'--{field}', split=split)
        for field, split in FIELDS.items()
        if (text := getattr(options, field)) is not None
    }
    if 'data' not in given:
        if options.size is not None:
            raise JsslError('--size goes with --data; without it set config.views and eval_view.')
        return config | given, partial(_only, [])
    made = {
        field: source_of(getattr(options, field), argument=f'--{field}', split=FIELDS[field])
        for field in given
    }
    parts, said = held_out(given, made)
    own = configs.own(options.named)
    say: Sentences = partial(_only, said)
    if own is not None:
        count = len(build('data', parts['data']))
        if count < 2:
            raise JsslError(
                f'--data={options.data} has one image to train on, and what is learned is how '
                'images differ; give two images or more.'
            )
        accelerated = jax.default_backend() != 'cpu'
        images = OwnImages(count, median_side(made['data']), accelerated, options.size)
        config = own(images)
        larger = f'  larger: --size, --config.epochs, or {options.named.partition(":")[0]}:imagenet'
        say = partial(_chosen, images, [*said, larger])
    return config | dict(test_data=None, probe_data=None) | parts, say


def _only(said: list[str], config: Mapping[str, Any]) -> list[str]:
    """What there is to say, whatever the config."""
    del config
    return said


def _chosen(images: OwnImages, more: list[str], config: Mapping[str, Any]) -> list[str]:
    """What the rules chose, where no argument says otherwise, and what else there is to say."""
    return [*images.sentences(dict(config)), _network(config['model']['backbone']), *more]


def _network(backbone: Mapping[str, Any]) -> str:
    """What the backbone is, in a line."""
    fields = [
        f'{key}={backbone[key]}' for key in ('depth', 'base_channels', 'arch') if key in backbone
    ]
    return f'  network {backbone["type"]} with {", ".join(fields)} (--config.model.backbone)'


def held_out(
    given: Mapping[str, dict[str, Any]], made: Mapping[str, Source]
) -> tuple[dict[str, Any], list[str]]:
    """The data of a config, with some held out of what has labels where there are no test data.

    Args:
      given: how each of the data sets is described.
      made: the data sets.

    Returns:
      The descriptions, and what there is to say of them.
    """
    if 'test_data' in given:
        return dict(given), []
    labelled = [field for field in ('probe_data', 'data') if field in made]
    labelled = [field for field in labelled if has_labels(made[field])]
    if not labelled or len(made[labelled[0]]) < 2 * HELD_OUT:
        return dict(given), [
            '  no labels to judge by: the spread and the rank of the features are watched '
            '(--test_data, --probe_data; of a table, the column behind ?label=)'
        ]
    field = labelled[0]
    part = dict(type='Part', data=given[field], every=HELD_OUT)
    said = (
        f'  judged by kNN and a linear probe on every {HELD_OUT}th image of {field}, held out '
        '(--test_data)'
    )
    return dict(given) | {field: part, 'test_data': part | dict(held_out=True)}, [said]
