"""report.html: what a run has reached and what it looked like, on one page without network."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from jssl.errors import JsslError
from jssl.evaluation.collapse import evenly_spaced
from jssl.files import replace_file
from jssl.visualization.curves import Row, curves_section
from jssl.visualization.features import CELL, Neighbors, map_section, neighbors_section
from jssl.visualization.images import is_small, picture_uri, view_grid
from jssl.visualization.page import folded, image, page, pairs, part, section, warning
from jssl.visualization.reconstructions import Reconstructions
from jssl.visualization.results import (
    Facts,
    Scores,
    headline,
    next_section,
    results_section,
)

Tell = Callable[[str], None]
PAINTED = 8  # images whose reconstructions are shown


def write_report(
    path: str | Path,
    *,
    title: str,
    metrics: Sequence[Row],
    scores: Scores,
    baselines: Mapping[str, Scores],
    config: Mapping[str, Any],
    facts: Facts = Facts(),  # noqa: B008  a frozen dataclass
    views: np.ndarray | None = None,
    features: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    label_names: Sequence[str] | None = None,
    neighbors: Neighbors | None = None,
    reconstructions: Reconstructions | None = None,
    missing: Sequence[str] = (),
    tell: Tell = print,
) -> Path:
    """Writes the report of a run, whole or not at all; a part that fails is missing in it alone.

    Args:
      path: the file to write.
      title: its heading.
      metrics: rows of metrics.jsonl; every number in them gets a curve.
      scores: the result, such as `knn` and `linear` (0 to 1), `feature_std` and `rankme`.
      baselines: `Evaluator.baselines`, such as ``{'raw pixels': {'knn': 0.53}}``.
      config: the resolved config; `versions` in it is shown as a table.
      facts: what kind of run it is, its time, what its scores are of, what can be done next.
      views: uint8 (rows, columns, h, w, C), the first column the originals.
      features, labels: (N, D) and (N,), if any, of the test images; a few thousand are plenty.
      label_names: of the classes.
      neighbors: images beside those that the features call alike.
      reconstructions: what a masked image model makes of held-out images, if it is one.
      missing: sentences about what there should have been.
      tell: is told, in a sentence each, of parts that cannot be made.

    Raises:
      JsslError: features and labels of different lengths.
      OSError: it cannot be written.
    """
    if features is not None and labels is not None and len(features) != len(labels):
        raise JsslError(f'Features and labels differ in length: {len(features)}, {len(labels)}.')
    parts = [
        f'<header><h1>{escape(title)}</h1></header>\n',
        *map(warning, missing),
        part('The headline', partial(headline, scores, baselines, facts), tell),
        part('The table of results', partial(results_section, scores, baselines, facts), tell),
        part('What can be done next', partial(next_section, facts.commands), tell),
        curves_section(metrics, baselines, tell),
        *_pictures(views, reconstructions, tell),
        *_map(features, labels, label_names, facts, tell),
        *_neighbors(neighbors, label_names, facts.counts.judged, tell),
        part('The configuration', partial(_configuration, config), tell),
        '<footer>Written by jssl. Nothing on this page is loaded from a network.</footer>\n',
    ]
    path = Path(path)
    replace_file(path, page(title, parts).encode())
    return path


def _pictures(
    views: np.ndarray | None, reconstructions: Reconstructions | None, tell: Tell
) -> Iterator[str]:
    """The sections with pictures of the training that there is something for."""
    if views is not None:
        yield part('The picture of views', partial(_views, views), tell)
    if reconstructions is not None:
        draw = partial(_reconstructions, reconstructions)
        yield part('The picture of reconstructions', draw, tell)


def _map(
    features: np.ndarray | None,
    labels: np.ndarray | None,
    label_names: Sequence[str] | None,
    facts: Facts,
    tell: Tell,
) -> Iterator[str]:
    if features is not None:
        draw = partial(
            map_section,
            features,
            labels,
            label_names,
            seen=facts.labelled,
            judged=facts.counts.judged,
        )
        yield part('The map of the features', draw, tell)


def _neighbors(
    neighbors: Neighbors | None, label_names: Sequence[str] | None, judged: str, tell: Tell
) -> Iterator[str]:
    if neighbors is not None:
        draw = partial(neighbors_section, neighbors, label_names, judged)
        yield part('The nearest neighbours', draw, tell)


def _views(views: np.ndarray) -> str:
    grid = view_grid(views, side=CELL)
    small = is_small(views[0, 0])
    style = 'views pixels' if small else 'views'
    text = (
        'One row an image: the original at the left, then views of it as the training drew them. '
        'What stays the same along a row is what the network learns to keep.'
    )
    description = f'{views.shape[0]} images, each beside {views.shape[1] - 1} augmented views'
    return section(
        'Augmented views', text, image(picture_uri(grid, lossless=small), description, style)
    )


def _reconstructions(found: Reconstructions) -> str:
    pictures = found.pictures[evenly_spaced(len(found.pictures), PAINTED)]
    small = is_small(pictures[0, 0])
    style = 'views pixels' if small else 'views'
    text = (
        'One row a held-out image: the original, what the network saw of it, and the hidden part '
        f'as the network paints it. {found.summary}'
    )
    description = f'{len(pictures)} images, each masked and reconstructed'
    uri = picture_uri(view_grid(pictures, side=CELL), lossless=small)
    return section('Reconstructions', text, image(uri, description, style))


def _configuration(config: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in config.items() if key != 'versions'}
    text = json.dumps(rest, indent=2, default=str, ensure_ascii=False)
    content = [folded('Full config', f'<pre>{escape(text)}</pre>\n')]
    if config.get('versions'):
        content.append(folded('Versions', pairs(config['versions'])))
    return section('Configuration', '', *content)
