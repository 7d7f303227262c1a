"""The page beside exported weights: what they are, how they came about, how to use them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jssl.files import replace_file
from jssl.inference.pretrained import Pretrained

SCORES = {
    'test_accuracy': 'accuracy',
    'test_top5': 'top-5 accuracy',
    'knn': 'kNN accuracy',
    'knn_top5': 'kNN top-5 accuracy',
    'linear': 'linear probe accuracy',
    'feature_std': 'spread of the features (0 collapsed, 1 even)',
    'rankme': 'RankMe',
}


LICENCE = """## Licence

Whoever trained the weights says how they may be used, with the terms of the images in mind.
Weights that began with somebody's checkpoint stay under its licence, which for DINOv3 and I-JEPA
limits what they may be used for."""


def write_card(path: Path, network: Pretrained, *, use: str, **options: bool) -> Path:
    """Writes the page of the weights at `path`: ``<path>.md`` of a file, README.md of a folder.

    A file's page is called after it, for a README.md beside it may be that of somebody's project.

    Args:
      path: of the weights.
      network, use: see `card_text`, which takes the options too.

    Raises:
      OSError: it cannot be written.
    """
    card = path / 'README.md' if path.is_dir() else path.with_name(f'{path.name}.md')
    replace_file(card, card_text(path.name, network, use=use, **options).encode())
    return card


def card_text(
    name: str, network: Pretrained, *, use: str, whole: bool = False, arrays: bool = True
) -> str:
    """The page, as Markdown.

    Args:
      name: of the file of weights.
      network: whose weights they are.
      use: how it is read elsewhere, of `jssl.interop.exporters.use`.
      whole: whether all that the algorithm has is in the file.
      arrays: whether `jssl.load` reads it.
    """
    told = {key: _read(value) for key, value in network.metadata.items()}
    method = told.get('algorithm')
    backbone = told.get('backbone') or {}
    kind = backbone.get('type', type(getattr(network.algorithm, 'backbone', None)).__name__)
    parts = [
        f'# {kind}, pre-trained by {method}' if method else f'# {kind}',
        f'{"All weights of the algorithm" if whole else "The backbone"} in `{name}`, written by '
        'jssl.',
        _table('', _training(told)),
        _table('Scores', _scores(told.get('scores') or {})),
        _table('Preparation of images', _preparation(network)),
        _table('Network', backbone),
        _usage(name, use, arrays),
        LICENCE,
    ]
    return '\n\n'.join(filter(None, parts)) + '\n'


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _training(told: Mapping[str, Any]) -> dict[str, Any]:
    names = ('algorithm', 'data', 'images', 'epochs', 'steps', 'batch_size')
    return {name.replace('_', ' '): told[name] for name in names if told.get(name) is not None}


def _scores(scores: Mapping[str, float]) -> dict[str, str]:
    return {SCORES.get(name, name): f'{value:.4g}' for name, value in scores.items()}


def _preparation(network: Pretrained) -> dict[str, Any]:
    """How an image becomes what the network sees."""
    view = _read(network.metadata.get('eval_view', '{}'))
    shrunk = f'larger images are shrunk to {network.canvas} pixels on their long side first'
    return {'channels': network.channels, 'canvas': shrunk} | view


def _table(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ''
    lines = [f'| {name} | {_cell(value)} |' for name, value in rows.items()]
    return '\n'.join([*([f'## {title}', ''] if title else []), '| | |', '|---|---|', *lines])


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return ' '.join(text.replace('|', '\\|').split())


def _usage(name: str, use: str, arrays: bool) -> str:
    lines = [
        '```python',
        'import jssl',
        f'network = jssl.load({name!r})',
        "features = network.features(['a.jpg', 'b.jpg'])",
        '```',
        '',
    ]
    return '\n'.join(['## Use', '', *(lines if arrays else []), use])
