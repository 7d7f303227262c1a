"""report.html: what a run has reached and what it looked like, on one page without network."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from jssl.durations import format_duration
from jssl.errors import JsslError, attempt
from jssl.evaluation.collapse import evenly_spaced
from jssl.files import replace_file
from jssl.visualization.features import CELL, map_section, neighbors_section
from jssl.visualization.figures import (
    Line,
    Panel,
    draw_panel,
    to_svg,
)
from jssl.visualization.images import is_small, picture_uri, view_grid
from jssl.visualization.page import (
    cards,
    folded,
    image,
    page,
    pairs,
    section,
    table,
    themed_image,
    warning,
)
from jssl.visualization.reconstructions import Reconstructions

Row = Mapping[str, Any]
Tell = Callable[[str], None]

ACCURACIES = {
    'test_accuracy': 'accuracy',
    'test_top5': 'top-5',
    'knn': 'kNN',
    'knn_top5': 'kNN top-5',
    'linear': 'linear probe',
}
INDICATORS = {'feature_std': 'feature spread', 'rankme': 'RankMe'}
PANELS = {
    'Loss': ('loss',),
    'Accuracy on held-out images': ('test_accuracy', 'knn', 'linear'),
    'Learning rate': ('lr',),
    'Explained variance of what is masked': ('explained_variance',),
    'Feature spread': ('feature_std',),
    'Effective rank (RankMe)': ('rankme',),
    'Images per second': ('images_per_second',),
}
PAINTED = 8  # images whose reconstructions are shown


def write_report(
    path: str | Path,
    *,
    title: str,
    metrics: Sequence[Row],
    summary: Row,
    baselines: Mapping[str, Mapping[str, float]],
    config: Row,
    views: np.ndarray | None = None,
    test_images: np.ndarray | None = None,
    features: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    label_names: Sequence[str] | None = None,
    reconstructions: Reconstructions | None = None,
    missing: Sequence[str] = (),
    tell: Tell = print,
) -> Path:
    """Writes the report of a run, whole or not at all; a part that fails is missing in it alone.

    Args:
      path: the file to write.
      title: its heading.
      metrics: rows of ``metrics.jsonl``: `step`, perhaps `epoch`, and any of `loss`, `lr`,
        `images_per_second`, `knn`, `linear`, `feature_std`, `rankme`.
      summary: the result: `knn`, `knn_top5`, `linear` (0 to 1), `feature_std`, `rankme`, `epochs`,
        `seconds`, `images_per_second`, `warning` (a sentence); whatever is there, and more.
      baselines: `Evaluator.baselines`, such as ``{'raw pixels': {'knn': 0.53}}``.
      config: the resolved config; `versions` in it is shown as a table.
      views: uint8 (rows, columns, h, w, C), the first column the originals.
      test_images: uint8 (N, h, w, C), to be shown; a few thousand are plenty.
      features: (N, D), of the test images.
      labels: (N,) class indices, if any.
      label_names: of the classes.
      reconstructions: what a masked image model makes of held-out images, if it is one.
      missing: sentences about what there should have been.
      tell: is told, in a sentence each, of parts that cannot be made.

    Returns:
      `path`.

    Raises:
      JsslError: images, features and labels of different lengths.
      OSError: it cannot be written.
    """
    lengths = [len(part) for part in (test_images, features, labels) if part is not None]
    if len(set(lengths)) > 1:
        raise JsslError(f'Test images, features and labels differ in length: {lengths}.')
    known = (features, labels, label_names)
    parts = [
        f'<header><h1>{escape(title)}</h1></header>\n',
        *map(warning, missing),
        _part('The headline', partial(_headline, summary), tell),
        _part('The table of results', partial(_results, summary, baselines), tell),
        _curves(metrics, baselines, tell),
        *_pictures(views, reconstructions, test_images, known, tell),
        _part('The configuration', partial(_configuration, summary, config), tell),
        '<footer>Written by jssl. Nothing on this page is loaded from a network.</footer>\n',
    ]
    path = Path(path)
    replace_file(path, page(title, parts).encode())
    return path


def _pictures(
    views: np.ndarray | None,
    reconstructions: Reconstructions | None,
    test_images: np.ndarray | None,
    known: tuple[Any, Any, Any],
    tell: Tell,
) -> Iterator[str]:
    """The sections with pictures that there is something for; `known` is said of the test images:
    features, labels and names."""
    if views is not None:
        yield _part('The picture of views', partial(_views, views), tell)
    if reconstructions is not None:
        draw = partial(_reconstructions, reconstructions)
        yield _part('The picture of reconstructions', draw, tell)
    if known[0] is not None:
        yield _part('The map of the features', partial(map_section, *known), tell)
        if test_images is not None:
            draw = partial(neighbors_section, test_images, *known)
            yield _part('The nearest neighbours', draw, tell)


def _part(what: str, make: Callable[[], str], tell: Tell) -> str:
    """A part of the page, or a sentence in its place."""
    said: list[str] = []
    made = attempt(what, make, said.append)
    for sentence in said:
        tell(sentence)
    return ''.join(map(warning, said)) if made is None else made


def _headline(summary: Row) -> str:
    show = {
        'test_accuracy': ('accuracy', _percent),
        'knn': ('kNN accuracy', _percent),
        'linear': ('linear probe', _percent),
        'rankme': ('RankMe', '{:.1f}'.format),
        'epochs': ('epochs', '{:g}'.format),
        'seconds': ('time', format_duration),
        'images_per_second': ('images / s', '{:,.0f}'.format),
    }
    values = {name: form(summary[key]) for key, (name, form) in show.items() if key in summary}
    found = summary.get('warning')
    return cards(values) + (warning(str(found)) if found else '')


def _percent(share: float) -> str:
    return f'{100 * share:.1f} %'


def _results(summary: Row, baselines: Mapping[str, Mapping[str, float]]) -> str:
    rows = {'this run': summary} | {name: row for name, row in baselines.items() if row}
    keys = [key for key in (*ACCURACIES, *INDICATORS) if any(key in row for row in rows.values())]
    if not keys:
        return ''
    cells = [_result_row(name, row, keys) for name, row in rows.items()]
    names = ACCURACIES | INDICATORS
    text = (
        'Held-out images, frozen features. Training has to beat the raw pixels and the untrained '
        'network: what lies above them is what it has learned.'
    )
    head = ['', *(names[key] for key in keys)]
    return section('Result beside the baselines', text, table(head, cells, 'results'))


def _result_row(name: str, row: Row, keys: Sequence[str]) -> str:
    cells = ''.join(f'<td>{_result_cell(key, row.get(key))}</td>' for key in keys)
    style = 'result' if name == 'this run' else ''
    return f'<tr class="{style}"><th scope="row">{escape(name)}</th>{cells}</tr>\n'


def _result_cell(key: str, value: float | None) -> str:
    if value is None:
        return '&ndash;'
    if key in INDICATORS:
        return f'{value:.2f}' if key == 'feature_std' else f'{value:.1f}'
    bar = f'<span class="bar"><span style="width: {100 * value:.1f}%"></span></span>'
    return f'{_percent(value)}{bar}'


def _curves(
    metrics: Sequence[Row], baselines: Mapping[str, Mapping[str, float]], tell: Tell
) -> str:
    def draw(title: str, keys: Sequence[str]) -> str:
        panel = _panel(title, keys, metrics, baselines)
        return _panel_figure(panel) if panel.lines else ''

    figures = [
        _part(f'The curve {title!r}', partial(draw, title, keys), tell)
        for title, keys in PANELS.items()
    ]
    if not any(figures):
        return ''
    text = (
        'A feature spread of 1 means features spread evenly over all directions, 0 that all images '
        'look alike to the network; the effective rank counts the directions in use. If either '
        'falls for good, the features collapse.'
    )
    return section('Curves', text, f'<div class="panels">\n{"".join(figures)}</div>\n')


def _panel(
    title: str,
    keys: Sequence[str],
    metrics: Sequence[Row],
    baselines: Mapping[str, Mapping[str, float]],
) -> Panel:
    x = 'epoch' if all('epoch' in row for row in metrics) else 'step'
    lines = [series(metrics, x, key) for key in keys]
    noisy = keys[0] in ('loss', 'explained_variance', 'images_per_second')
    references = {f'{name} (kNN)': row['knn'] for name, row in baselines.items() if 'knn' in row}
    return Panel(
        title=title,
        lines=tuple(line for line in lines if len(line.x)),
        x_label=x,
        references=references if 'knn' in keys else {},
        smooth=noisy,
        from_zero='images_per_second' in keys,
    )


def series(metrics: Sequence[Row], x: str, key: str) -> Line:
    """The finite values of `key` in the rows of metrics that have it, as a curve over `x`."""
    points = [(row[x], row[key]) for row in metrics if math.isfinite(row.get(key, math.nan))]
    values = np.array(points, float).reshape(-1, 2)
    return Line(ACCURACIES.get(key, key), values[:, 0], values[:, 1])


def _panel_figure(panel: Panel) -> str:
    last = ', '.join(f'{line.name} {line.y[-1]:.4g}' for line in panel.lines)
    description = f'{panel.title} over {panel.x_label}; at the end: {last}'
    plot = themed_image(partial(draw_panel, panel), to_svg, 'image/svg+xml', description)
    return f'<figure>\n<h3>{escape(panel.title)}</h3>\n{plot}</figure>\n'


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


def _configuration(summary: Row, config: Row) -> str:
    rest = {key: value for key, value in config.items() if key != 'versions'}
    text = json.dumps(rest, indent=2, default=str, ensure_ascii=False)
    content = [folded('Full config', f'<pre>{escape(text)}</pre>\n')]
    if config.get('versions'):
        content.append(folded('Versions', pairs(config['versions'])))
    content.append(folded('Summary', pairs(summary)))
    return section('Configuration', '', *content)
