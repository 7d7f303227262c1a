"""What every algorithm reaches on the embedded digits: kNN and linear accuracy over several seeds.

    python -m experiments.results
    python -m experiments.results --configs byol swav --seeds 0 1 --write=table.md

Runs the default of each config as a user would, `python -m jssl.main --config=configs/NAME.py`, one
after the other. A run that is complete already is not repeated, one that was stopped goes on.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.reporting import processor, show_json
from jssl.durations import format_duration
from jssl.evaluation.evaluator import RANDOM_NETWORK, RAW_PIXELS
from jssl.fitting.outcome import REPORT, baseline_scores, final_scores
from jssl.runs.metrics import METRICS, read_metrics

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
SCORES = {'knn': 'kNN', 'linear': 'linear probe'}
OWN_TASKS = ('accuracy', 'explained_variance')


class Result(NamedTuple):
    """What one run ended with.

    Attributes:
      scores: of its features, by the names in `SCORES` and others.
      baselines: of raw pixels and of the untrained network.
      own_task: accuracy in what the loss asks for, or the share of the variance of hidden patches
        that it explains, over the last epoch; None where there is neither.
      seconds: from the first to the last line of its metrics.
    """

    scores: dict[str, float]
    baselines: dict[str, dict[str, float]]
    own_task: float | None
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is missing, prints the table; returns the exit status, 1 if a run failed."""
    options = _options(argv)
    names = options.configs or sorted(path.stem for path in CONFIGS.glob('*.py'))
    table = {}
    for name in names:
        folders = [options.runs / f'{name}-{seed}' for seed in options.seeds]
        for seed, folder in zip(options.seeds, folders, strict=True):
            if not (folder / REPORT).exists() and not run(name, seed, folder, options.overrides):
                print(f'{name} with seed {seed} failed; its directory is {folder}', file=sys.stderr)
                return 1
        table[name] = [read(folder) for folder in folders]
        print(_row(name, table[name]), flush=True)
    text = markdown(table, options.seeds)
    print(f'\n{text}')
    if options.write:
        options.write.write_text(text, encoding='utf-8')
    if options.json:
        show_json({name: [result.scores for result in results] for name, results in table.items()})
    return 0


def run(name: str, seed: int, folder: Path, overrides: Sequence[str]) -> bool:
    """One run of a config's default, in a process of its own; whether it ended well."""
    command = [sys.executable, '-m', 'jssl.main', f'--config={CONFIGS / name}.py', *overrides]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f'{folder.name}.log').open('w', encoding='utf-8') as log:
        arguments = [f'--config.seed={seed}', f'--workdir={folder}']
        return subprocess.run([*command, *arguments], stdout=log, stderr=log).returncode == 0


def read(folder: Path) -> Result:
    """What the metrics of a finished run say."""
    metrics = read_metrics(folder / METRICS)
    seconds = metrics[-1]['time'] - metrics[0]['time']
    last = metrics[-1]['epoch'] - 1
    ended = [row for row in metrics if row['epoch'] > last]
    solved = [row[key] for row in ended for key in OWN_TASKS if key in row]
    own_task = float(np.mean(solved)) if solved else None
    return Result(final_scores(metrics), baseline_scores(metrics), own_task, seconds)


def markdown(table: dict[str, list[Result]], seeds: Sequence[int]) -> str:
    """The table as Markdown: every seed's accuracy, and how long a run took."""
    columns = (*SCORES.values(), *(f'untrained: {name}' for name in SCORES.values()))
    head = f'| config | {" | ".join(columns)} | own task | a run |'
    rows = [_row(name, results) for name, results in table.items()]
    raw = next(iter(table.values()))[0].baselines.get(RAW_PIXELS, {})
    scores = [f'{raw[key]:.3f}' if key in raw else '' for key in SCORES]
    rows.append(f'| raw pixels | {" | ".join(scores)} |' + ' |' * (len(columns) - len(scores) + 2))
    title = (
        f'Accuracy on held-out embedded digits, seeds {", ".join(map(str, seeds))}; {processor()}.'
    )
    return '\n'.join([title, '', head, '|---' * (len(columns) + 3) + '|', *rows, ''])


def _row(name: str, results: Sequence[Result]) -> str:
    """One config: its seeds side by side, the mean of its untrained networks, the median time."""
    cells = [' / '.join(f'{result.scores[key]:.3f}' for result in results) for key in SCORES]
    for key in SCORES:
        networks = [result.baselines.get(RANDOM_NETWORK, {}) for result in results]
        untrained = [network[key] for network in networks if key in network]
        cells.append(f'{np.mean(untrained):.3f}' if untrained else '')
    solved = [result.own_task for result in results if result.own_task is not None]
    own_task = ' / '.join(f'{accuracy:.2f}' for accuracy in solved)
    seconds = float(np.median([result.seconds for result in results]))
    return f'| {name} | {" | ".join(cells)} | {own_task} | {format_duration(seconds)} |'


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--configs', nargs='*', help='names under configs/; all by default')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--runs', type=Path, default=Path('runs/results'))
    parser.add_argument('--write', type=Path, help='a Markdown file for the table')
    parser.add_argument('--json', action='store_true', help='end with a line of JSON')
    options, overrides = parser.parse_known_args(argv)
    options.overrides = overrides
    return options


if __name__ == '__main__':
    sys.exit(main())
