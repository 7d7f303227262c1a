"""The page and the picture of the parity certificate, made of rows that were measured."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Row = Mapping[str, Any]

DTYPES = ('float64', 'float32')
KINDS = {
    'step': ('One step', ('loss', 'gradients', 'state')),
    'trajectory': ('Several steps with an optimizer', ('trajectory', 'state')),
    'backbone': ('Backbones', ('features', 'gradients', 'state')),
    'part': ('Parts', ('part',)),
}
MARKERS = {
    'loss': 'o',
    'trajectory': 'D',
    'gradients': '^',
    'state': 's',
    'features': 'v',
    'part': 'P',
}
COLORS = {'float64': '#1b6ca8', 'float32': '#d1495b'}
LEAST = 1e-17  # where a picture of logarithms shows an error of 0
INTRODUCTION = """# Parity certificate

How far jssl is from the numbers of the reference, file by file. `python -m experiments.parity`
measures what is missing and writes this page and its picture; nobody edits them by hand.

A file holds the numbers of public reference code: MMSelfSup in `golden`, the authors' repositories
in `golden2`. Weights and images are drawn by a rule, so that both sides start from the same ones.
The exact numbers are those that the reference computed in float64, and both columns are measured
against them.

An error is the largest of all arrays of a file: the difference of the norm, the first eight values
and a probe that notices order, relative to the norm of the array. The loss is relative to itself.
An array smaller than a millionth of the largest one (float32: a thousandth) is measured against
that share, for a gradient that is 0 in exact arithmetic is rounding alone.

*loss* and *gradients* are those of the first step, *state* is everything after it: weights, running
statistics, teachers, queues, banks. *trajectory* is the largest error of a loss on the way, and
*state* there is that after the last step. An empty cell means that a file has no such numbers.

Float64 shows whether the formulas are the same. Float32 shows what rounding costs, which the
network multiplies: where a unit changes sides under a ReLU, a gradient moves at once.
"""
PARTS = """The errors are those that the tests of a part meet, relative to the largest number of an
array. Tests that compare whole numbers alone find them equal or fail; their cells say *equal*.
"""


def markdown(rows: Sequence[Row], picture: Path) -> str:
    """The page.

    Args:
      rows: of each file `folder` and `name`, and what was measured: `kind` and `errors`, or
        `failed` with the reason; `reason` says why a file is not to be measured.
      picture: its path, of which the page takes the name.
    """
    parts = [INTRODUCTION, _summary(rows), f'![errors of every file](../images/{picture.name})\n']
    for kind, (title, names) in KINDS.items():
        if found := [row for row in rows if row.get('kind') == kind and 'errors' in row]:
            words = [f'## {title}', '', *([PARTS] if kind == 'part' else [])]
            parts.append('\n'.join([*words, _table(found, names)]))
    parts.append(_left(rows))
    return '\n'.join(part for part in parts if part)


def _summary(rows: Sequence[Row]) -> str:
    measured = [row for row in rows if row.get('errors') is not None]
    later = sum(bool(row['reason']) for row in rows)
    lines = [
        f'{len(rows)} files: {len(measured)} measured, {later} not to be measured, '
        f'{len(rows) - len(measured) - later} not measured yet; the last table says why.'
    ]
    for dtype in DTYPES:
        found = [
            (error, name, row)
            for row in measured
            for name, error in row['errors'].get(dtype, {}).items()
        ]
        if found:
            error, name, row = max(found, key=lambda item: item[0])
            lines.append(f'The largest error in {dtype} is {error:.1e}: {name} of `{_file(row)}`.')
    commits = collections.Counter(row['commit'] for row in measured)
    if commits:
        told = ', '.join(f'`{name}` ({count})' for name, count in commits.most_common())
        lines.append(f'Measured on one CPU with the package as of {told}.')
    return '\n'.join(lines) + '\n'


def _table(rows: Sequence[Row], names: Sequence[str]) -> str:
    columns = [(dtype, name) for dtype in DTYPES for name in names]
    head = ['file', *(f'{dtype}: {name}' for dtype, name in columns)]
    lines = [f'| {" | ".join(head)} |', '|---' * len(head) + '|']
    for row in rows:
        cells = [_cell(row, *column) for column in columns]
        lines.append(f'| `{_file(row)}` | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def _cell(row: Row, dtype: str, name: str) -> str:
    error = row['errors'].get(dtype, {}).get(name)
    if error is None:
        return 'equal' if not row['errors'] and row.get('tests') else ''
    return f'{error:.1e}' if error else '0'


def _left(rows: Sequence[Row]) -> str:
    """The files without errors, each with the reason."""
    left = [
        f'| `{_file(row)}` | {row.get("reason") or row.get("failed") or "not measured yet"} |'
        for row in rows
        if row.get('errors') is None
    ]
    return (
        '\n'.join(['## Not measured', '', '| file | why |', '|---|---|', *left, '']) if left else ''
    )


def _file(row: Row) -> str:
    return f'{row["folder"]}/{row["name"]}'


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draws the errors of every file, a panel for each folder, and writes the picture."""
    from matplotlib.figure import Figure

    folders = dict.fromkeys(row['folder'] for row in rows)
    groups = [[row for row in rows if row['folder'] == folder] for folder in folders]
    lines = max(map(len, groups), default=1)
    height = 2 + 0.19 * lines
    figure = Figure(figsize=(7.5 * len(groups), height), layout='constrained')
    for axes, group in zip(figure.subplots(1, len(groups), squeeze=False)[0], groups, strict=True):
        _panel(axes, group, lines)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc='outside lower center', ncols=6, frameon=False)
    figure.savefig(path, dpi=80)


def _panel(axes: Any, rows: Sequence[Row], lines: int) -> None:
    """One folder: a line for each file, from above, a mark for each error; room for `lines`."""
    axes.set_title(rows[0]['folder'])
    for dtype in DTYPES:
        for name, marker in MARKERS.items():
            points = [
                (max(row['errors'][dtype][name], LEAST), place)
                for place, row in enumerate(rows)
                if name in (row.get('errors') or {}).get(dtype, {})
            ]
            x, y = zip(*points, strict=True) if points else ((), ())
            style: Any = dict(color=COLORS[dtype], marker=marker, alpha=0.75, linewidths=0)
            axes.scatter(x, y, s=22, label=f'{dtype}: {name}', **style)
    for place, row in enumerate(rows):
        if not row.get('errors'):
            why = 'equal' if row.get('tests') else row.get('reason') or 'not measured'
            axes.text(2 * LEAST, place, why, va='center', fontsize=7, color='gray')
    axes.set_xscale('log')
    axes.set_xlim(LEAST / 2, 1)
    axes.set_ylim(lines - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [row['name'] for row in rows], fontsize=7)
    axes.grid(axis='both', color='0.92')
    axes.set_axisbelow(True)
    axes.set_xlabel('relative error (0 stands at the left edge)')
