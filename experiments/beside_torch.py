"""A step of a method beside the same step in PyTorch: milliseconds of each, and the ratio.

    python -m experiments.beside_torch simclr --size=resnet18 --batch=16 --threads=1
    python -m experiments.beside_torch mae --size=base --batch=256    # on a GPU

Both start from the same weights, see the same views, and must give the same loss before anything is
timed. A step is forward, backward, AdamW and the teacher; the views are made beforehand. Timed
blocks of both alternate, so that what else the machine does meets both. On a GPU PyTorch compiles,
and both compute in bfloat16 unless told otherwise. Every result is a line of a file.
"""

import argparse
import functools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.reporting import append, circumstances, positive, show, show_json
from experiments.torch_device import use_device
from experiments.twins.pairs import Run, pair
from experiments.twins.sizes import METHODS, Case, make_case
from jssl.errors import JsslError
from jssl.training.huge_pages import restart_with_huge_pages

RESULTS = Path('runs/beside_torch.jsonl')


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    options = parser().parse_args(argv)
    try:
        device = use_device(options.threads)
        dtype = options.dtype or ('bfloat16' if device == 'cuda' else 'float32')
        case = make_case(options.method, options.size, options.image, options.batch, dtype)
        ours, theirs, losses = pair(case, device, dtype)
        seconds = alternate(ours, theirs, options.repeats, options.steps)
    except JsslError as error:
        print(f'beside_torch: {error}', file=sys.stderr)
        return 2
    numbers = setting(options, case, device, dtype) | {'losses': losses}
    numbers |= summary(seconds, case.batch)
    append(options.results, numbers)
    show(title(numbers), table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = argparse.ArgumentParser(
        'experiments.beside_torch',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    sizes = '; '.join(f'{name}: {", ".join(sizes)}' for name, (_, sizes) in METHODS.items())
    result.add_argument('method', choices=METHODS)
    result.add_argument('--size', default='embedded', help=f'of the network ({sizes})')
    add = functools.partial(result.add_argument, type=positive)
    add('--image', help='side of the large views in pixels, where it is not the usual one')
    add('--batch', help='images in a step (64)')
    add('--repeats', default=5, help='timed blocks of each')
    add('--steps', default=3, help='steps in a block')
    add('--threads', default=2, help='cores that both may use, without a GPU')
    result.add_argument('--dtype', choices=('float32', 'bfloat16'), help='of the computation')
    result.add_argument('--results', type=Path, default=RESULTS, help=f'a file ({RESULTS})')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def alternate(ours: Run, theirs: Run, repeats: int, steps: int) -> NDArray[np.float64]:
    """Times blocks of `steps` steps of both in turn.

    Returns:
      Seconds per step (repeats, 2, 2): of ours and of theirs, of the wall clock and of all cores.
    """
    return np.array([[timed(run, steps) for run in (ours, theirs)] for _ in range(repeats)])


def timed(run: Run, steps: int) -> tuple[float, float]:
    """Seconds per step, of the wall clock and of all cores; a block ends when its loss is known."""
    wall, cores = time.perf_counter(), time.process_time()
    losses = [run() for _ in range(steps)]
    float(losses[-1])
    return (time.perf_counter() - wall) / steps, (time.process_time() - cores) / steps


def summary(seconds: NDArray[np.float64], batch_size: int) -> dict[str, Any]:
    """Medians over the repetitions of what `alternate` measured; ratios are of neighbours."""
    ratios = seconds[:, 0] / seconds[:, 1]
    numbers: dict[str, Any] = {}
    for name, (wall, cores) in zip(('jax', 'torch'), np.median(seconds, axis=0), strict=True):
        numbers[f'{name}_ms'] = 1e3 * wall
        numbers[f'{name}_cpu_ms'] = 1e3 * cores
        numbers[f'{name}_images_per_second'] = batch_size / wall
    numbers['ratio'], numbers['cpu_ratio'] = np.median(ratios, axis=0).tolist()
    numbers['ratio_range'] = [ratios[:, 0].min(), ratios[:, 0].max()]
    return numbers


def setting(options: argparse.Namespace, case: Case, device: str, dtype: str) -> dict[str, Any]:
    """What was measured, and on what."""
    return {
        'method': options.method,
        'size': options.size,
        'batch_size': case.batch,
        'sides': case.sides,
        'dtype': dtype,
        **circumstances(None if device == 'cuda' else options.threads, 'torch'),
    }


def title(numbers: dict[str, Any]) -> str:
    """What was measured, in a line."""
    sides = [f'{numbers["sides"].count(side)} of {side} px' for side in sorted({*numbers['sides']})]
    return (
        f'{numbers["method"]} {numbers["size"]}, batch {numbers["batch_size"]}, views: '
        f'{", ".join(reversed(sides))}, {numbers["dtype"]}'
    )


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    low, high = numbers['ratio_range']
    rows = {
        f'{name} {numbers["versions"][name]}': f'{numbers[f"{name}_ms"]:,.1f} ms per step, '
        f'{numbers[f"{name}_images_per_second"]:,.1f} images/s, '
        f'{numbers[f"{name}_cpu_ms"]:,.1f} ms of CPU time'
        for name in ('jax', 'torch')
    }
    threads = numbers['threads']
    if threads and numbers['torch_cpu_ms'] < 0.8 * threads * numbers['torch_ms']:
        rows['beware'] = 'other jobs held the cores: repeat when it is quiet, or with --threads=1'
    where = numbers['device'] if threads is None else f'{threads} cores'
    return rows | {
        'time, jax / torch': f'{numbers["ratio"]:.2f} ({low:.2f} to {high:.2f})',
        'CPU time, jax / torch': f'{numbers["cpu_ratio"]:.2f}',
        'loss, both': ' '.join(f'{loss:.6f}' for loss in numbers['losses']),
        'machine': f'{where}, host {numbers["processor"]}',
    }


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(main())
