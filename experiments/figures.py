"""Draws the figure of every algorithm's page: what flows where in a step.

    python -m experiments.figures
    python -m experiments.figures --only moco dino --out=/tmp/figures

The views are those that the default of a config makes of one of the embedded digits, masks
included. `experiments/diagrams` says what is drawn.
"""

import argparse
import io
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from experiments.diagrams import DIAGRAMS
from experiments.diagrams.boxes import Box, Diagram, Kind, Shown
from jssl.augment.ops.normalize import denormalize
from jssl.cli.configs import load
from jssl.config import experiment
from jssl.data.reading.bad_samples import read
from jssl.evaluation import evenly_spaced
from jssl.fitting.pictures import statistics
from jssl.training.step import make_views, step_keys
from jssl.visualization.images import as_rgb, cover

WHERE = Path('docs/images/algorithms')
COLUMN, ROW, WIDTH = 1.365, 0.8, 7.0  # inches between middles, and of the whole
BOX, TEXT, PICTURE = (1.18, 0.5), 8.2, 0.5  # inches, points, inches
IMAGES, SHOWN = 8, 2  # digits that are drawn at once, and the one that is shown
INK, FAINT = '#1f2328', '#57606a'
LOOKS: Mapping[Kind, tuple[str, str]] = {  # fill and edge
    'network': ('#dbeafe', '#0072b2'),
    'teacher': ('#ffffff', '#0072b2'),
    'memory': ('#fff3cd', '#a66a00'),
    'target': ('#e3f4e8', '#1a7f37'),
    'value': ('#f2f4f7', '#8c959f'),
    'loss': ('#fde4dc', '#d55e00'),
}
MEANING = {
    '>': 'data, a gradient comes back',
    '|': 'data, no gradient',
    '~': 'weights follow',
    '+': 'is stored',
}
Views = Mapping[tuple[int, Shown], np.ndarray]
Point = tuple[float, float]


def draw_views(name: str) -> Views:
    """What the default of a config makes of one digit: uint8 (h, w, 3) by view and what is shown.

    A view that a mask hides parts of is there as `masked` as well, I-JEPA's also as `context` and
    as `blocks`.
    """
    subject = experiment(load(name))
    rows = evenly_spaced(len(subject.data), IMAGES)
    samples = [read(subject.data, int(row), subject.canvas, subject.channels) for row in rows]
    canvas = jax.tree.map(lambda *images: np.stack(images), *(one.canvas for one in samples))
    batch = {'canvas': canvas, 'index': np.asarray(rows, 'int32')}

    @jax.jit
    def draw(batch: dict[str, Any]) -> dict[str, Any]:
        init_key, key = jax.random.split(jax.random.key(subject.runtime.seed))
        view_key, draw_key = step_keys(key, jnp.int32(0))
        viewed = {**make_views(subject.views, view_key, batch), 'step': jnp.int32(0)}
        _, state = subject.algorithm.init(init_key, viewed)
        drawn = subject.algorithm.draw(draw_key, state, viewed)
        masks = {key: drawn[key] for key in drawn.keys() & MASKS.keys()}
        return {'views': viewed['views'], 'masks': masks}

    drawn = jax.tree.map(np.asarray, draw(batch))
    told = statistics(subject, len(drawn['views']))
    pairs = zip(drawn['views'], told, strict=True)
    levels = [np.rint(denormalize(view, *one)).clip(0, 255) for view, one in pairs]
    pictures = [as_rgb(level.astype('uint8'))[SHOWN] for level in levels]
    found: dict[tuple[int, Shown], np.ndarray] = {(i, 'whole'): p for i, p in enumerate(pictures)}
    for key, mask in drawn['masks'].items():
        number, shown, hide = MASKS[key]
        picture = pictures[number]
        found[number, shown] = cover(picture[None], hide(mask, _patches(name, picture)))[0]
    return found


def _patches(name: str, picture: np.ndarray) -> int:
    """How many patches a view has."""
    return (len(picture) // load(name)['model']['backbone'].get('patch_size', 1)) ** 2


def _but(ids: np.ndarray, patches: int) -> np.ndarray:
    """All patches but the ones with these numbers, as a mask (1, N)."""
    mask = np.ones((1, patches), bool)
    mask[0, ids.ravel()] = False
    return mask


# Of what an algorithm draws: whose view it masks, what is left then, and the mask (1, ...).
MASKS: Mapping[str, tuple[int, Shown, Callable[[np.ndarray, int], np.ndarray]]] = {
    'mask': (0, 'masked', lambda mask, n: mask[SHOWN][None]),
    'masks': (0, 'masked', lambda mask, n: mask[SHOWN].reshape(-1, n)[:1]),
    'ids_keep': (1, 'masked', lambda ids, n: _but(ids[SHOWN], n)),
    'context': (0, 'context', lambda ids, n: _but(ids[SHOWN], n)),
    'blocks': (0, 'blocks', lambda ids, n: _but(ids[SHOWN], n)),
}


def draw_figure(diagram: Diagram, views: Views) -> Figure:
    """The figure of a diagram: boxes, arrows, a legend of the arrows, and the sentence below.

    Args:
      diagram: what to draw.
      views: the pictures of the views it has.
    """
    extents = [_extent(box) for box in diagram.boxes.values()]
    top, bottom = max(e[3] for e in extents) + 0.1, min(e[1] for e in extents) - 0.5
    bottom -= 0.2 * bool(diagram.note)
    figure = Figure(figsize=(WIDTH, top - bottom), facecolor='white')
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.62, WIDTH - 0.62), ylim=(bottom, top))
    axes.set_axis_off()
    for box in diagram.boxes.values():
        _draw_box(axes, box, views)
    signs = [sign for chain in diagram.arrows for sign in _draw_chain(axes, diagram, chain)]
    _draw_legend(axes, sorted(set(signs), key=list(MEANING).index), bottom + 0.16)
    if diagram.note:
        axes.text(-0.5, bottom + 0.36, diagram.note, color=FAINT, fontsize=TEXT, va='center')
    return figure


def _extent(box: Box) -> tuple[float, float, float, float]:
    """Left, bottom, right, top in inches; a view's without its text."""
    x, y = box.at[0] * COLUMN, -box.at[1] * ROW
    width, height = (PICTURE, PICTURE) if box.kind == 'view' else BOX
    height += (box.rows - 1) * ROW
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def _draw_box(axes: Axes, box: Box, views: Views) -> None:
    left, bottom, right, top = _extent(box)
    middle = (left + right) / 2
    if box.kind == 'view':
        picture = views[box.view, box.shown]
        axes.imshow(picture, extent=(left, right, bottom, top), interpolation='nearest', zorder=2)
        axes.text(middle, bottom - 0.04, box.text, ha='center', va='top', fontsize=7.6, color=FAINT)
        return
    fill, edge = LOOKS[box.kind]
    rounding = 0.22 if box.kind == 'memory' else 0.06
    axes.add_patch(
        FancyBboxPatch(
            (left, bottom),
            right - left,
            top - bottom,
            boxstyle=f'round,pad=0,rounding_size={rounding}',
            facecolor=fill,
            edgecolor=edge,
            linewidth=1.2,
            linestyle='--' if box.kind == 'teacher' else '-',
            zorder=2,
        )
    )
    axes.text(
        middle,
        (bottom + top) / 2,
        box.text,
        ha='center',
        va='center',
        fontsize=TEXT,
        color=INK,
        linespacing=1.15,
        zorder=3,
    )


def _draw_chain(axes: Axes, diagram: Diagram, chain: str) -> list[str]:
    """Draws the arrows of a chain and gives their signs."""
    words = chain.split()
    for start, sign, end in zip(words[::2], words[1::2], words[2::2], strict=False):
        _draw_arrow(axes, *_ends(diagram.boxes[start], diagram.boxes[end]), sign)
    return words[1::2]


def _ends(start: Box, end: Box) -> tuple[Point, Point]:
    """Where an arrow leaves a box and meets another, on sides that face each other."""
    a, b = _extent(start), _extent(end)
    across = a[2] <= b[0] or b[2] <= a[0]
    if across:
        forward = a[2] <= b[0]
        ya, yb = _level((a[1], a[3]), (b[1], b[3]))
        return (a[2] if forward else a[0], ya), (b[0] if forward else b[2], yb)
    down = a[1] >= b[3]
    xa, xb = _level((a[0], a[2]), (b[0], b[2]))
    gap = 0.18 if start.kind == 'view' and down else 0  # the text below a view
    return (xa, (a[1] - gap) if down else a[3]), (xb, b[3] if down else b[1])


def _level(one: Point, other: Point) -> Point:
    """A common height if the smaller one lies within the other, else the two middles."""
    middles = [sum(pair) / 2 for pair in (one, other)]
    small, large = (0, other) if one[1] - one[0] <= other[1] - other[0] else (1, one)
    if large[0] < middles[small] < large[1]:
        return middles[small], middles[small]
    return middles[0], middles[1]


def _draw_arrow(axes: Axes, start: Point, end: Point, sign: str) -> None:
    color = LOOKS['teacher'][1] if sign == '~' else LOOKS['memory'][1] if sign == '+' else INK
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle='-|>',
            mutation_scale=9,
            shrinkA=1,
            shrinkB=1,
            color=color,
            linewidth=1.2,
            linestyle={'~': (0, (3, 2)), '+': (0, (1, 1.4))}.get(sign, '-'),
            zorder=1,
        )
    )
    if sign == '|':
        _draw_stop(axes, start, end)


def _draw_stop(axes: Axes, start: Point, end: Point) -> None:
    """Two short strokes across the middle of an arrow."""
    middle = [0.55 * a + 0.45 * b for a, b in zip(start, end, strict=True)]
    angle = math.atan2(end[1] - start[1], end[0] - start[0])
    along, normal = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
    for offset in (-0.022, 0.022):
        x, y = (m + offset * d for m, d in zip(middle, along, strict=True))
        ends = [(x + s * 0.065 * normal[0], y + s * 0.065 * normal[1]) for s in (-1, 1)]
        axes.plot(*zip(*ends, strict=True), color=LOOKS['loss'][1], linewidth=1.4, zorder=3)


def _draw_legend(axes: Axes, signs: Sequence[str], y: float) -> None:
    x = -0.5
    for sign in signs:
        _draw_arrow(axes, (x, y), (x + 0.36, y), sign)
        axes.text(x + 0.42, y, MEANING[sign], fontsize=7.6, color=FAINT, va='center')
        x += 0.62 + 0.068 * len(MEANING[sign])


def to_svg(figure: Figure, name: str) -> bytes:
    """The figure on its white card; the same figure gives the same bytes."""
    stream = io.BytesIO()
    with matplotlib.rc_context({'svg.hashsalt': name, 'image.composite_image': False}):
        figure.savefig(stream, format='svg', metadata={'Date': None}, facecolor='white')
    return stream.getvalue()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description='Draws the figures of the algorithms.')
    parser.add_argument('--only', nargs='+', default=[*DIAGRAMS], choices=[*DIAGRAMS])
    parser.add_argument('--out', type=Path, default=WHERE, help='the folder to write to')
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        path = options.out / f'{name}.svg'
        path.write_bytes(to_svg(draw_figure(DIAGRAMS[name], draw_views(name)), name))
        print(path)
    return 0


if __name__ == '__main__':
    raise SystemExit(main())
