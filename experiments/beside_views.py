"""SimCLR's views beside torchvision's and kornia's: milliseconds per view, and the ratios.

    python -m experiments.beside_views --threads=1
    python -m experiments.beside_views --block=512    # on a GPU

Crop and resize, mirror, jitter, grey, blur and normalise, with the same distributions in all. The
images are decoded and on the device already. Ours is one compiled program for the batch; kornia
takes the batch too; torchvision's transforms draw once a call, so that they take an image at a
time. Blocks of all three alternate. On a CPU it is CPU time, of all cores together, so that other
jobs do not count. Every result is a line of a file.
"""

import argparse
import functools
import importlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import kornia.augmentation as K
import numpy as np
import torch

from experiments.augmentation import canvases, spread
from experiments.pillow_views import HEIGHT, MEAN, STD, WIDTH
from experiments.reporting import append, circumstances, positive, show, show_json
from experiments.torch_device import declare_operators, use_device
from jssl.components import build
from jssl.errors import JsslError
from jssl.recipes import policies
from jssl.training.huge_pages import restart_with_huge_pages
from jssl.training.step import make_views

RESULTS = Path('runs/beside_views.jsonl')
VIEWS = 512  # for which the table says the time
JITTER = (0.8, 0.8, 0.8, 0.2)
Make = Callable[[torch.Tensor], torch.Tensor]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    options = parser().parse_args(argv)
    try:
        device = use_device(options.threads)
    except JsslError as error:
        print(f'beside_views: {error}', file=sys.stderr)
        return 2
    block = options.block + options.block % 2
    numbers = measure(block, options.size, options.repeats, device)
    numbers |= circumstances(options.threads if device == 'cpu' else None, 'torch', *OTHERS)
    append(options.results, numbers)
    show(f'Views of SimCLR, {options.size} px, {block} at a time', table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = argparse.ArgumentParser(
        'experiments.beside_views',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = functools.partial(result.add_argument, type=positive)
    add('--block', default=64, help='views in a block, two of each image')
    add('--size', default=224, help='side of the views in pixels')
    add('--repeats', default=5, help='timed blocks of each')
    add('--threads', default=2, help='cores that all may use, without a GPU')
    result.add_argument('--results', type=Path, default=RESULTS, help=f'a file ({RESULTS})')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def measure(block: int, size: int, repeats: int, device: str) -> dict[str, Any]:
    """Milliseconds per view of each, and how many times as long the others take as ours."""
    batch = canvases(block // 2)
    pixels = np.asarray(batch['canvas'].pixels)[:, :HEIGHT, :WIDTH]
    images = torch.tensor(pixels).permute(0, 3, 1, 2).contiguous().to(device)
    ours = compiled(size, batch)
    keys = iter(jax.random.split(jax.random.key(0), repeats + 1))
    makers: dict[str, Callable[[], Any]] = {
        'jssl': lambda: jax.block_until_ready(ours(next(keys), batch)),
        **{name: functools.partial(finished, make(size), images) for name, make in OTHERS.items()},
    }
    found: dict[str, list[float]] = {name: [] for name in makers}
    clock = time.perf_counter if device == 'cuda' else time.process_time
    for _ in range(repeats + 1):
        for name, views in makers.items():
            found[name].append(1e3 * seconds(views, clock) / block)
    found = {name: times[1:] for name, times in found.items()}  # the first is a warm-up
    over = {
        name: [other / own for other, own in zip(found[name], found['jssl'], strict=True)]
        for name in OTHERS
    }
    spreads = {name: spread(times) for name, times in found.items()}
    return {
        'size': size,
        'block': block,
        'view_ms': spreads,
        'over_ours': {name: spread(ratios) for name, ratios in over.items()},
    }


def compiled(size: int, batch: Mapping[str, Any]) -> Any:
    """Our two views of each image of a batch, as a program of (key, batch)."""
    views = build('view', policies.simclr(size))
    return jax.jit(functools.partial(make_views, views)).lower(jax.random.key(0), batch).compile()


def finished(make: Make, images: torch.Tensor) -> torch.Tensor:
    """Two views of each of the images (B, 3, H, W), as float32 (2 B, 3, size, size)."""
    views = torch.cat([make(images), make(images)])
    if views.is_cuda:
        torch.cuda.synchronize()
    return views


def by_torchvision(size: int) -> Make:
    """torchvision's second transforms, of one image of uint8 after the other."""
    declare_operators()
    v2 = importlib.import_module('torchvision.transforms.v2')
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.08, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.RandomApply([v2.ColorJitter(*JITTER)], p=0.8),
            v2.RandomGrayscale(p=0.2),
            v2.RandomApply([v2.GaussianBlur(kernel(size), (0.1, 2.0))], p=0.5),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN.tolist(), STD.tolist()),
        ]
    )
    return lambda images: torch.stack([transform(image) for image in images])


def by_kornia(size: int) -> Make:
    """kornia's augmentations of a whole batch, without antialiasing, which its crop does not do."""
    transform = K.AugmentationSequential(
        K.RandomResizedCrop((size, size), scale=(0.08, 1.0)),
        K.RandomHorizontalFlip(),
        K.ColorJitter(*JITTER, p=0.8),
        K.RandomGrayscale(p=0.2),
        K.RandomGaussianBlur((kernel(size),) * 2, (0.1, 2.0), p=0.5),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    )
    return lambda images: transform(images.float() / 255)


OTHERS: Mapping[str, Callable[[int], Make]] = {'torchvision': by_torchvision, 'kornia': by_kornia}


def kernel(size: int) -> int:
    """The side of the blur's kernel: a tenth of the view, odd."""
    return size // 10 // 2 * 2 + 1


def seconds(action: Callable[[], Any], clock: Callable[[], float]) -> float:
    """How long it takes by a clock."""
    start = clock()
    action()
    return clock() - start


def table(numbers: Mapping[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    rows = {}
    for name, times in numbers['view_ms'].items():
        rows[f'{name}, {VIEWS} views'] = (
            f'{VIEWS * times["median"]:,.0f} ms, {times["median"]:.3g} ms each '
            f'({times["lowest"]:.3g} to {times["highest"]:.3g})'
        )
    for name, ratio in numbers['over_ours'].items():
        rows[f'{name} / jssl'] = (
            f'{ratio["median"]:.2f} ({ratio["lowest"]:.2f} to {ratio["highest"]:.2f})'
        )
    threads = numbers['threads']
    where = f'{threads} cores' if threads else numbers['device']
    return rows | {'machine': f'{where}, host {numbers["processor"]}'}


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(main())
