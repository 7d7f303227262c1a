"""The sections of a report that show features: their map, and the images they call alike."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from html import escape

import numpy as np

from jssl.evaluation.collapse import evenly_spaced
from jssl.visualization.embedding import MOST_ROWS, project
from jssl.visualization.figures import (
    CLASS_COLORS,
    MARKER_LETTERS,
    draw_map,
    drawn_name,
    frequent_classes,
    to_png,
)
from jssl.visualization.images import is_small, picture_uri, to_picture
from jssl.visualization.names import class_name, shorten
from jssl.visualization.page import image, name_of_file, section, themed_image

LONGEST_NAME = 80  # characters of a class's name, or of a file's
CELL = 112  # pixels of the longest side of an image in a grid


@dataclasses.dataclass(frozen=True)
class Shown:
    """Images on a page.

    Attributes:
      images: uint8 (N, h, w, C).
      names: of the files, or their numbers.
      labels: (N,) class indices, if any.
    """

    images: np.ndarray
    names: Sequence[str]
    labels: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Neighbors:
    """Some held-out images, and for each those whose features are most similar.

    Attributes:
      queries: Q images.
      found: Q * K images, those of the first query first.
      searched: among how many they were searched.
      where: what was searched, such as 'labelled images that kNN searches'.
    """

    queries: Shown
    found: Shown
    searched: int
    where: str


def map_section(
    features: np.ndarray,
    labels: np.ndarray | None,
    label_names: Sequence[str] | None,
    *,
    seen: bool = False,
    judged: str = 'held-out',
) -> str:
    """Features (N, D) of `judged` images on a plane, with the names of classes.

    `seen` says that the training has labels.
    """
    rows = evenly_spaced(len(features), MOST_ROWS)
    points = project(features[rows])
    classes = None if labels is None else np.asarray(labels)[rows]
    draw = partial(draw_map, points, labels=classes, names=label_names)
    text = (
        f't-SNE of the features of {len(rows):,} {judged} images; images that the network finds '
        'alike lie together. '
    )
    if classes is not None:
        text += 'Colours, markers and names show the classes'
        text += '.' if seen else ', which the training has not seen.'
        text += (
            '' if len(np.unique(classes)) <= len(CLASS_COLORS) else ' The ten largest are named.'
        )
    plot = themed_image(draw, to_png, 'image/png', 't-SNE map of the test features')
    legend = '' if classes is None else _legend(frequent_classes(classes), label_names)
    return section('Map of the test features', text, f'<div class="map">{plot}</div>\n{legend}')


def _legend(shown: Sequence[int], names: Sequence[str] | None) -> str:
    """The classes with their markers; a number too where the map has only that for a name."""
    entries = ''
    for index, label in enumerate(shown):
        name = shorten(class_name(label, names), LONGEST_NAME)
        number = f'#{label} ' if drawn_name(label, names) == f'#{label}' else ''
        mark = f'<span style="color: {CLASS_COLORS[index]}">{MARKER_LETTERS[index]}</span>'
        entries += f'<li>{mark} {escape(number + name)}</li>\n'
    return f'<ul class="names">\n{entries}</ul>\n'


def neighbors_section(
    neighbors: Neighbors, label_names: Sequence[str] | None, judged: str = 'held-out'
) -> str:
    """Some `judged` images, each beside those whose features are most alike."""
    queries, found = neighbors.queries, neighbors.found
    count = len(found.images) // max(len(queries.images), 1)
    text = (
        f'{judged.capitalize()} images, and beside each the {count} whose features are most '
        f'similar among {neighbors.searched:,} {neighbors.where}. '
    )
    same = None
    if queries.labels is not None and found.labels is not None:
        same = found.labels == np.repeat(queries.labels, count)
        text += (
            f'{100 * same.mean():.0f} % of these {same.size} have the class of their image '
            '(full frame); the others have a dashed frame.'
        )
    groups = []
    for row in range(len(queries.images)):
        cells = [_cell(queries, row, 'query', label_names)]
        for other in range(row * count, (row + 1) * count):
            style = '' if same is None else 'right' if same[other] else 'wrong'
            cells.append(_cell(found, other, style, label_names))
        groups.append(
            f'<div class="neighbors" style="--columns: {count}">\n{"".join(cells)}</div>\n'
        )
    return section('Nearest neighbours', text, *groups)


def _cell(shown: Shown, row: int, style: str, label_names: Sequence[str] | None) -> str:
    label = '' if shown.labels is None else class_name(int(shown.labels[row]), label_names)
    label, file = (shorten(name, LONGEST_NAME) for name in (label, shown.names[row]))
    description = ' '.join(filter(None, (style or 'neighbour', label, file)))
    small = is_small(shown.images[row])
    uri = picture_uri(to_picture(shown.images[row], CELL), lossless=small)
    picture = image(uri, description, 'pixels' if small else '')
    caption = f'<figcaption>{escape(label)}<small>{name_of_file(file)}</small></figcaption>'
    return f'<figure class="{style}">{picture}{caption}</figure>\n'
