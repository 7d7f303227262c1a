"""What every algorithm reaches on the embedded digits: kNN and linear accuracy over several seeds.

    python -m experiments.results
    python -m experiments.results --configs byol swav --seeds 0 1 --write=docs/results.md

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
from jssl.training.logging import METRICS, read_metrics
from jssl.training.outcome import REPORT, baseline_scores, final_scores
from jssl.training.progress import format_duration

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
SCORES = {'knn': 'kNN', 'linear': 'linear probe'}
BASELINES = ('raw pixels', 'random network')


class Result(NamedTuple):
    """What one run ended with.

    Attributes:
      scores: of its features, by the names in `SCORES` and others.
      baselines: of raw pixels and of the untrained network.
      seconds: from the first to the last line of its metrics.
    """

    scores: dict[str, float]
    baselines: dict[str, dict[str, float]]
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
    return Result(final_scores(metrics), baseline_scores(metrics), seconds)


def markdown(table: dict[str, list[Result]], seeds: Sequence[int]) -> str:
    """The table as Markdown: every seed's accuracy, and how long a run took."""
    head = f'| config | {" | ".join(SCORES.values())} | the run |'
    rows = [_row(name, results) for name, results in table.items()]
    baselines = next(iter(table.values()))[0].baselines
    for name in BASELINES:
        scores = [f'{baselines.get(name, {}).get(key, float("nan")):.3f}' for key in SCORES]
        rows.append(f'| {name} | {" | ".join(scores)} | |')
    title = (
        f'Accuracy on held-out embedded digits, seeds {", ".join(map(str, seeds))}; {processor()}.'
    )
    return '\n'.join([title, '', head, '|---' * (len(SCORES) + 2) + '|', *rows, ''])


def _row(name: str, results: Sequence[Result]) -> str:
    cells = [' / '.join(f'{result.scores[key]:.3f}' for result in results) for key in SCORES]
    seconds = float(np.median([result.seconds for result in results]))
    return f'| {name} | {" | ".join(cells)} | {format_duration(seconds)} |'


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
