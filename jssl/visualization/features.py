"""The sections of a report that show features: their map, and the images they call alike."""

from collections.abc import Sequence
from functools import partial
from html import escape

import numpy as np

from jssl.evaluation.collapse import evenly_spaced
from jssl.visualization.embedding import MOST_ROWS, choose_queries, nearest, project
from jssl.visualization.figures import draw_map, drawn_name, frequent_classes, to_png
from jssl.visualization.images import is_small, picture_uri, to_picture
from jssl.visualization.names import class_name, shorten
from jssl.visualization.page import image, section, themed_image

QUERIES = 10
NEIGHBORS = 8
LONGEST_NAME = 80  # characters of a class's name
CELL = 112  # pixels of the longest side of an image in a grid


def map_section(
    features: np.ndarray, labels: np.ndarray | None, label_names: Sequence[str] | None
) -> str:
    """Features (N, D) on a plane, with the names of classes."""
    rows = evenly_spaced(len(features), MOST_ROWS)
    points = project(features[rows])
    classes = None if labels is None else np.asarray(labels)[rows]
    draw = partial(draw_map, points, labels=classes, names=label_names)
    text = (
        f't-SNE of the features of {len(rows)} held-out images; images that the network finds '
        'alike lie together. '
    )
    if classes is not None:
        most = 'Colours, markers and names show the classes, which the training has not seen.'
        text += most if len(np.unique(classes)) <= 10 else f'{most} The ten largest are named.'
    plot = themed_image(draw, to_png, 'image/png', 't-SNE map of the test features')
    numbered = '' if classes is None else _numbered(frequent_classes(classes), label_names)
    plot = f'<div class="map scroll">{plot}</div>\n{numbered}'
    return section('Map of the test features', text, plot)


def _numbered(shown: Sequence[int], names: Sequence[str] | None) -> str:
    """Names of classes that the map only has numbers for, a browser having more letters."""
    entries = [
        f'#{label} {class_name(label, names)}'
        for label in shown
        if drawn_name(label, names) == f'#{label}'
    ]
    numbers = ''.join(f'<li>{escape(entry)}</li>\n' for entry in entries)
    return f'<ul class="names">\n{numbers}</ul>\n' if entries else ''


def neighbors_section(
    images: np.ndarray,
    features: np.ndarray,
    labels: np.ndarray | None,
    label_names: Sequence[str] | None,
) -> str:
    """Some images (N, h, w, C) uint8, each beside those whose features are most alike."""
    named = partial(_label_name, labels, label_names)
    queries = choose_queries(len(features), labels, QUERIES)
    found = nearest(features, queries, NEIGHBORS)
    text = 'Held-out images, and beside each the others whose features are most similar to it. '
    if labels is not None:
        classes = np.asarray(labels)
        right = int((classes[found] == classes[queries][:, None]).sum())
        text += (
            f'{right} of these {found.size} neighbours have the class of their image (full frame); '
            'the others have a dashed frame.'
        )
    cells = []
    for query, row in zip(queries, found, strict=True):
        cells.append(_cell(images[query], 'query', named(query)))
        for other in row:
            same = labels is None or labels[other] == labels[query]
            style = '' if labels is None else 'right' if same else 'wrong'
            cells.append(_cell(images[other], style, named(other)))
    grid = (
        f'<div class="neighbors" style="--columns: {found.shape[1] + 1}">\n{"".join(cells)}</div>'
    )
    return section('Nearest neighbours', text, f'<div class="scroll">{grid}</div>\n')


def _cell(array: np.ndarray, style: str, name: str) -> str:
    description = ' '.join(filter(None, (style or 'neighbour', name)))
    small = is_small(array)
    uri = picture_uri(to_picture(array, CELL), lossless=small)
    picture = image(uri, description, 'pixels' if small else '')
    caption = f'<figcaption>{escape(name)}</figcaption>' if name else ''
    return f'<figure class="{style}">{picture}{caption}</figure>\n'


def _label_name(labels: np.ndarray | None, names: Sequence[str] | None, row: int) -> str:
    return '' if labels is None else shorten(class_name(int(labels[row]), names), LONGEST_NAME)
