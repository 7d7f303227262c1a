"""Curves of a healthy run and of collapsed ones, for docs/tutorials/indicators.md.

    python -m experiments.indicators

Trains on 2,000 of the embedded digits what `CASES` says, one after the other, draws a picture of
each method and prints what each run ended with. A run that is complete is not repeated.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib.ticker
import numpy as np
from matplotlib.figure import Figure

from jssl.algorithm import Batch, Metrics, Params, State, two_views
from jssl.algorithms import SimSiam
from jssl.fitting.outcome import REPORT
from jssl.layers.normalize import feature_std
from jssl.networks import each
from jssl.runs.metrics import METRICS, read_metrics

PICTURES = Path(__file__).resolve().parent.parent / 'docs' / 'images'
COLORS = {'healthy': '#0072b2', 'first': '#d55e00', 'second': '#832db6'}


class NoStopGradient(SimSiam):
    """SimSiam whose targets are trained too, which nothing then keeps from being all alike."""

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """That of SimSiam, without its two stop-gradients."""
        views, stats = two_views(batch, 'SimSiam'), state['batch_stats']
        (z1, z2), stats = each(self.network, params, stats, views, method='encode')
        (p1, p2), stats = each(self.network, params, stats, (z1, z2), method='predict')
        loss = (self.distance(p1, z2) + self.distance(p2, z1)) / 2
        return loss, ({**state, 'batch_stats': stats}, {'feature_std': feature_std(z1)})


class Case(NamedTuple):
    """One run.

    Attributes:
      name: in the legend.
      settings: what differs from the config, as the command line takes it.
    """

    name: str
    settings: tuple[str, ...] = ()


SHORT = (
    '--config.data.split=train[:2000]',
    '--config.epochs=8',
    '--config.evaluate.every_epochs=1',
    '--config.log_every=5',
)
CASES: Mapping[str, tuple[Case, ...]] = {
    'simsiam': (
        Case('healthy'),
        Case(
            'no stop-gradient',
            ('--config.model.type=experiments.indicators:NoStopGradient',),
        ),
        Case('rate 100 times as high', ('--config.optimizer.lr=0.3',)),
    ),
    'dino': (
        Case('healthy'),
        Case('no centering', ('--config.model.center_momentum=1',)),
        Case(
            'no sharpening',
            (
                '--config.model.teacher_temperature=1',
                '--config.model.warmup_teacher_temperature=1',
            ),
        ),
    ),
}
# Title, key in the metrics, and the kind of rows that have it.
PANELS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    'simsiam': (
        ('loss', 'loss', 'step'),
        ('feature_std of the features', 'feature_std', 'evaluation'),
        ('rankme of the features', 'rankme', 'evaluation'),
        ('linear probe', 'linear', 'evaluation'),
    ),
    'dino': (
        ('loss', 'loss', 'step'),
        ('teacher_entropy, nats', 'teacher_entropy', 'step'),
        ('kl, nats', 'kl', 'step'),
        ('linear probe', 'linear', 'evaluation'),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is missing, draws, prints; returns the exit status, 1 if a run failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--runs', type=Path, default=Path('runs/indicators'))
    parser.add_argument('--pictures', type=Path, default=PICTURES, help='the folder for them')
    options, more = parser.parse_known_args(argv)
    options.pictures.mkdir(parents=True, exist_ok=True)
    for method, cases in CASES.items():
        found = {}
        for case in cases:
            folder = options.runs / f'{method}-{case.name.replace(" ", "-")}'
            settings = [*case.settings, *SHORT, *more]
            if not (folder / REPORT).exists() and not run(method, folder, settings):
                print(f'{folder} failed; {folder}.log says why', file=sys.stderr)
                return 1
            found[case.name] = read_metrics(folder / METRICS)
            print(f'{method}, {case.name}: {last(found[case.name], method)}', flush=True)
        draw(found, method).savefig(options.pictures / f'indicators_{method}.png', dpi=110)
    return 0


def run(config: str, folder: Path, settings: Sequence[str]) -> bool:
    """One run of a config, in a process of its own; whether it ended well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, '-m', 'jssl', 'train', config, f'--workdir={folder}', *settings]
    with Path(f'{folder}.log').open('w', encoding='utf-8') as log:
        return subprocess.run(command, stdout=log, stderr=log).returncode == 0


def last(rows: Sequence[Mapping[str, Any]], method: str) -> str:
    """The values of all panels at the end of a run."""
    ends = {title: values(rows, key, kind)[1][-1] for title, key, kind in PANELS[method]}
    return ', '.join(f'{title} {value:.3g}' for title, value in ends.items())


def values(rows: Sequence[Mapping[str, Any]], key: str, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """A curve: the epochs (N,) and the values (N,)."""
    found = [row for row in rows if row['kind'] == kind and key in row]
    return np.array([row['epoch'] for row in found]), np.array([row[key] for row in found])


def draw(found: Mapping[str, Sequence[Mapping[str, Any]]], method: str) -> Figure:
    """The panels of a method side by side, a curve for each run."""
    figure = Figure(figsize=(12, 3), layout='constrained')
    axes = figure.subplots(1, len(PANELS[method]))
    for axis, (title, key, kind) in zip(axes, PANELS[method], strict=True):
        for (name, rows), color in zip(found.items(), COLORS.values(), strict=True):
            axis.plot(*values(rows, key, kind), color=color, label=name)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel('epoch')
        axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc='outside lower center', ncols=len(names), frameon=False)
    return figure


if __name__ == '__main__':
    sys.exit(main())
