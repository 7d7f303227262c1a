"""Fine-tuning on a few labels: a run's backbone against the same network trained from scratch.

    python -m experiments.finetune --run=runs/mae
    python -m experiments.finetune --run=runs/mae --labels=100 --seeds 0 1 2 \
        --config.optimizer.lr=5e-4

Both begin with `configs/eval/finetune.py` on the run's backbone and data and take the same steps on
the same images; only the initial weights differ. Further --config.… fields are set for both. A
comparison that is complete already is not repeated.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.reporting import processor, show_json
from jssl.cli.train import parse
from jssl.config import experiment
from jssl.errors import JsslError
from jssl.fitting.fit import fit
from jssl.fitting.outcome import REPORT, final_scores
from jssl.runs.metrics import METRICS, read_metrics
from jssl.training.huge_pages import restart_with_huge_pages

CONFIG = Path(__file__).resolve().parent.parent / 'configs' / 'eval' / 'finetune.py'
STARTS = {'pretrained': 'fine-tuned', 'scratch': 'from scratch'}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is missing and prints the table; the exit status, 2 for bad input."""
    options = _options(argv)
    accuracies: dict[str, list[float]] = {start: [] for start in STARTS}
    try:
        for seed in options.seeds:
            for start in STARTS:
                folder = options.runs / f'{options.run.name}-{options.labels}-{start}-{seed}'
                accuracies[start].append(compare(options, start, seed, folder))
    except JsslError as error:
        print(f'experiments.finetune: {error}', file=sys.stderr)
        return 2
    print(f'\n{markdown(options.run.name, options.labels, options.seeds, accuracies)}')
    if options.json:
        show_json(accuracies)
    return 0


def compare(options: argparse.Namespace, start: str, seed: int, folder: Path) -> float:
    """The test accuracy of one of the two, which is trained unless it has been."""
    if not (folder / REPORT).exists():
        described = describe(options, start, seed)
        fit(experiment(described), config=described, workdir=folder)
    return final_scores(read_metrics(folder / METRICS))['test_accuracy']


def describe(options: argparse.Namespace, start: str, seed: int) -> dict[str, Any]:
    """The config of one of the two; `start` is a key of `STARTS`."""
    arguments = [
        f'--config={CONFIG}',
        f'--config.pretrained={options.run}',
        f'--config.data.split=train[:{options.labels}]',
        f'--config.batch_size={min(options.batch_size, options.labels)}',
        f'--config.epochs={options.epochs}',
        f'--config.schedule.warmup_epochs={options.epochs / 10}',
        '--config.evaluate.every_epochs=0',
        f'--config.seed={seed}',
        *options.overrides,
    ]
    described = parse(arguments).config
    return described | ({} if start == 'pretrained' else {'pretrained': ''})


def markdown(
    name: str, labels: int, seeds: Sequence[int], accuracies: dict[str, list[float]]
) -> str:
    """The table as Markdown: every seed's accuracy and the mean."""
    head = f'| {labels} labels, {name} | accuracy, seeds {", ".join(map(str, seeds))} | mean |'
    rows = [
        f'| {STARTS[start]} | {" / ".join(f"{value:.3f}" for value in values)} '
        f'| {float(np.mean(values)):.3f} |'
        for start, values in accuracies.items()
    ]
    return '\n'.join([f'Held-out images; {processor()}.', '', head, '|---|---|---|', *rows, ''])


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--run', type=Path, required=True, help='the --workdir of a run')
    parser.add_argument('--labels', type=int, default=100, help='how many training images')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0, 1, 2])
    parser.add_argument('--batch-size', type=int, default=50)
    parser.add_argument('--epochs', type=int, default=100)
    parser.add_argument('--runs', type=Path, default=Path('runs/finetune'))
    parser.add_argument('--json', action='store_true', help='end with a line of JSON')
    options, overrides = parser.parse_known_args(argv)
    options.overrides = overrides
    return options


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(main())
