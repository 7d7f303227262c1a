"""Our SimCLR step beside the same step in PyTorch, on the CPU: milliseconds of each, and the ratio.

    python -m experiments.torch_simclr --depth=18 --batch=64 --threads=2
    python -m experiments.torch_simclr --preset=embedded

Both start from the same weights, see the same views, and must give the same loss before anything is
timed. A step is forward, backward and AdamW; the views are made beforehand. Timed blocks of both
alternate, so that what else the machine does meets both.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from numpy.typing import NDArray

from configs.simclr import get_config, model
from experiments.reporting import positive, processor, show, show_json
from experiments.torch_twin import Twin, interleave, load_weights
from jssl.algorithm import Batch, TrainState
from jssl.algorithms import SimCLR
from jssl.components import build
from jssl.data import Canvas
from jssl.errors import JsslError
from jssl.optim.optimizers import AdamW, make_optimizer
from jssl.optim.schedules import Constant
from jssl.training.step import init_train_state, make_train_step

Run = Callable[[], float]  # one step; its loss before the update
TOLERANCE = 1e-4  # relative, of the first loss
OPTIMIZER = AdamW(lr=1e-3, weight_decay=1e-4)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    options = parser().parse_args(argv)
    try:
        use_cores(options.threads)
        algorithm, image, batch = network(options)
        ours, theirs, losses = pair(algorithm, image, batch)
        seconds = alternate(ours, theirs, options.repeats, options.steps)
    except JsslError as error:
        print(f'torch_simclr: {error}', file=sys.stderr)
        return 2
    numbers = setting(algorithm, image, batch, options.threads) | {'losses': losses}
    numbers |= summary(seconds, batch)
    show(
        f'SimCLR step, {numbers["backbone"]}, {batch} images, two views of {image} px',
        table(numbers),
    )
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = argparse.ArgumentParser(
        'experiments.torch_simclr',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        '--preset',
        choices=('embedded', 'cifar10', 'imagenet'),
        help='the network, image and batch size of this variant of configs/simclr.py; '
        'then --depth, --base-channels and --cifar-stem are not used',
    )
    result.add_argument('--depth', type=positive, default=18, help='of the ResNet')
    result.add_argument('--base-channels', type=positive, default=64, help='of its first stage')
    result.add_argument('--cifar-stem', action=argparse.BooleanOptionalAction, default=True)
    result.add_argument('--image', type=positive, help='side of the views in pixels (32)')
    result.add_argument('--batch', type=positive, help='images in a batch (64), two views of each')
    result.add_argument('--repeats', type=positive, default=5, help='timed blocks of each')
    result.add_argument('--steps', type=positive, default=3, help='steps in a block')
    result.add_argument('--threads', type=positive, default=2, help='cores that both may use')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def use_cores(count: int) -> None:
    """Restricts this process to `count` cores; JAX counts them when its first array is made.

    Raises:
      JsslError: there are fewer cores, the system has no affinity, or JAX has started already.
    """
    if not hasattr(os, 'sched_setaffinity'):
        raise JsslError('This system cannot restrict a process to some cores; use Linux.')
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= count <= len(cores):
        raise JsslError(f'--threads={count} must be from 1 to {len(cores)}, the cores there are.')
    os.sched_setaffinity(0, cores[:count])
    torch.set_num_threads(count)
    jax.config.update('jax_platforms', 'cpu')


def network(options: argparse.Namespace) -> tuple[SimCLR, int, int]:
    """The algorithm, the side of its images and the batch size that the arguments describe."""
    if options.preset:
        config = get_config(options.preset).to_dict()
        image, batch = config['views']['view']['size'], config['batch_size']
        algorithm = build('model', config['model'])
    else:
        image, batch, algorithm = 32, 64, build('model', resnet(options))
    return algorithm, options.image or image, options.batch or batch


def resnet(options: argparse.Namespace) -> dict[str, Any]:
    """A model with the ResNet of the arguments and the neck of SimCLR for CIFAR-10."""
    features = 8 * options.base_channels * (4 if options.depth >= 50 else 1)  # bottlenecks widen
    backbone = {'type': 'ResNet', 'depth': options.depth, 'base_channels': options.base_channels}
    return model(
        backbone | {'cifar_stem': options.cifar_stem, 'out_indices': (4,)},
        (features, features, 128),
        temperature=0.1,
    )


def unpack(key: jax.Array, canvas: Canvas) -> dict[str, Any]:
    """Views that are made already: the canvas of an image holds both."""
    del key
    return {'views': (canvas.pixels[0], canvas.pixels[1])}


def pair(algorithm: SimCLR, image: int, batch_size: int) -> tuple[Run, Run, list[float]]:
    """Both steps from the same weights on the same views, and the first loss of each.

    Both have been run once, so that everything is compiled and allocated.

    Raises:
      JsslError: the losses differ, or the twin lacks something of the model.
    """
    views = np.random.default_rng(0).normal(size=(batch_size, 2, image, image, 3))
    batch = {
        'canvas': Canvas(
            jnp.asarray(views, jnp.float32), jnp.full((batch_size, 2), image, jnp.int32)
        ),
        'index': jnp.arange(batch_size),
    }
    optimizer = make_optimizer(OPTIMIZER, Constant(), steps_per_epoch=1, epochs=1)
    initial = jax.jit(lambda: init_train_state(algorithm, unpack, optimizer, batch, seed=0))()
    theirs = torch_run(algorithm, initial, batch)
    ours = jax_run(make_train_step(algorithm, unpack, optimizer), initial, batch)
    losses = [ours(), theirs()]
    if not math.isclose(*losses, rel_tol=TOLERANCE):
        raise JsslError(f'The two steps compute different losses: {losses[0]} and {losses[1]}.')
    return ours, theirs, losses


def jax_run(step: Callable[..., Any], train_state: TrainState, batch: Batch) -> Run:
    """Our step as a function that keeps its state."""

    def run() -> float:
        nonlocal train_state
        train_state, metrics = step(train_state, batch)
        return float(metrics['loss'])

    return run


def torch_run(algorithm: SimCLR, train_state: TrainState, batch: Batch) -> Run:
    """PyTorch's step as a function that keeps its state, from the weights of `train_state`."""
    twin = Twin(algorithm)
    load_weights(twin, train_state.params, train_state.state)
    images = interleave((batch['canvas'].pixels[:, 0], batch['canvas'].pixels[:, 1]))
    optimizer = torch.optim.AdamW(
        twin.parameters(),
        lr=OPTIMIZER.lr,
        betas=OPTIMIZER.betas,
        eps=OPTIMIZER.eps,
        weight_decay=OPTIMIZER.weight_decay,
        fused=True,  # PyTorch's fastest
    )

    def run() -> float:
        optimizer.zero_grad()
        loss = twin(images)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def alternate(ours: Run, theirs: Run, repeats: int, steps: int) -> NDArray[np.float64]:
    """Times blocks of `steps` steps of both in turn.

    Returns:
      Seconds per step (repeats, 2, 2): of ours and of theirs, of the wall clock and of all cores.
    """
    return np.array([[timed(run, steps) for run in (ours, theirs)] for _ in range(repeats)])


def timed(run: Run, steps: int) -> tuple[float, float]:
    """Seconds per step, of the wall clock and of all cores; a step ends when its loss is known."""
    wall, cores = time.perf_counter(), time.process_time()
    for _ in range(steps):
        run()
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


def setting(algorithm: SimCLR, image: int, batch_size: int, threads: int) -> dict[str, Any]:
    """What was measured, and on what."""
    backbone = algorithm.backbone
    return {
        'backbone': f'ResNet-{backbone.depth}, {backbone.base_channels} channels',
        'batch_size': batch_size,
        'image': image,
        'threads': threads,
        'processor': processor(),
        'versions': {'jax': jax.__version__, 'torch': torch.__version__},
    }


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    low, high = numbers['ratio_range']
    rows = {
        f'{name} {version}': f'{numbers[f"{name}_ms"]:,.1f} ms per step, '
        f'{numbers[f"{name}_images_per_second"]:,.1f} images/s, '
        f'{numbers[f"{name}_cpu_ms"]:,.1f} ms of CPU time'
        for name, version in numbers['versions'].items()
    }
    if numbers['torch_cpu_ms'] < 0.8 * numbers['threads'] * numbers['torch_ms']:
        rows['beware'] = 'other jobs held the cores: repeat when it is quiet, or with --threads=1'
    return rows | {
        'time, jax / torch': f'{numbers["ratio"]:.2f} ({low:.2f} to {high:.2f})',
        'CPU time, jax / torch': f'{numbers["cpu_ratio"]:.2f}',
        'loss, both': ' '.join(f'{loss:.6f}' for loss in numbers['losses']),
        'machine': f'{numbers["threads"]} cores of {numbers["processor"]}',
    }


if __name__ == '__main__':
    sys.exit(main())
