"""What the input path costs: decoding on the host, views on the device, beside Pillow pipelines.

    python -m experiments.augmentation
    python -m experiments.augmentation --policy=byol --device-batch=512 --json

The images are synthetic JPEGs of 500x375 pixels. The host is timed on one core in CPU time, so
that other jobs on the machine do not count; blocks of the things compared alternate. The device
makes all views of a policy of `jssl.recipes.policies` in one compiled program, as a train step
does.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.pillow_views import bare_decode, simclr_views, swav_views, synthetic_jpegs
from experiments.reporting import positive, processor, show, show_json
from jssl.components import build
from jssl.data.reading.decoding import decode
from jssl.errors import JsslError, suggest
from jssl.recipes import policies
from jssl.runs.workdir import versions
from jssl.training.step import make_views

CANVAS = 512
POLICIES = (
    *('simclr', 'moco_v1', 'moco_v2', 'byol', 'moco_v3', 'swav', 'npid', 'deepcluster'),
    *('relative_loc', 'rotation_pred', 'mae', 'simmim', 'cae', 'ijepa', 'dino', 'msn', 'fine_tune'),
)
HOST: dict[str, Callable[[bytes], Any]] = {
    'decode': bare_decode,
    'canvas': functools.partial(decode, canvas=CANVAS),
    'simclr': simclr_views,
    'swav': swav_views,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    options = parser().parse_args(argv)
    try:
        jpegs = synthetic_jpegs(options.images)
        numbers: dict[str, Any] = {'kilobytes': sum(map(len, jpegs)) / len(jpegs) / 1000}
        numbers |= host(jpegs, options.blocks)
        numbers |= device(options.policy, options.size, options.device_batch, options.blocks)
    except JsslError as error:
        print(f'augmentation: {error}', file=sys.stderr)
        return 2
    numbers |= {'processor': processor(), 'versions': versions()}
    show('Input path', table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = argparse.ArgumentParser(
        'experiments.augmentation',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = functools.partial(result.add_argument, type=positive)
    add('--images', default=16, help='JPEGs in a block of the host')
    add('--blocks', default=5, help='blocks of each thing that is timed')
    add('--size', default=224, help='side of the large views on the device')
    add('--device-batch', default=None, help='images on the device; 8 on a CPU, else 256')
    result.add_argument(
        '--policy', default='simclr', help='of jssl.recipes.policies, on the device'
    )
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def host(jpegs: Sequence[bytes], blocks: int) -> dict[str, Any]:
    """Images per second and core of everything in `HOST`, and how the canvas compares to it.

    A ratio is the median over blocks of the quotient of neighbouring times.
    """
    for work in HOST.values():
        work(jpegs[0])
    seconds: dict[str, list[float]] = {name: [] for name in HOST}
    for _ in range(blocks):
        for name, work in HOST.items():
            seconds[name].append(cpu_seconds(work, jpegs) / len(jpegs))
    ratios = {
        name: [other / own for other, own in zip(seconds[name], seconds['canvas'], strict=True)]
        for name in HOST
        if name != 'canvas'
    }
    rates = {name: spread([1 / second for second in seconds[name]]) for name in HOST}
    return {'host': rates, 'canvas_over': {name: spread(found) for name, found in ratios.items()}}


def cpu_seconds(work: Callable[[bytes], Any], jpegs: Sequence[bytes]) -> float:
    """CPU time of this thread for all images; no operation of Pillow uses another one."""
    start = time.thread_time()
    for jpeg in jpegs:
        work(jpeg)
    return time.thread_time() - start


def device(policy: str, size: int, images: int | None, blocks: int) -> dict[str, Any]:
    """Milliseconds per view of a policy, and per 512 of them, on the first device."""
    if policy not in POLICIES:
        raise JsslError(f'--policy={policy!r} is not known. {suggest(policy, POLICIES)}')
    sized = {} if policy == 'relative_loc' else {'size': size}
    views = build('view', getattr(policies, policy)(**sized))
    images = images or (8 if jax.default_backend() == 'cpu' else 256)
    batch = canvases(images)
    program = (
        jax.jit(functools.partial(make_views, views)).lower(jax.random.key(0), batch).compile()
    )
    count = images * len(program(jax.random.key(0), batch)['views'])
    milliseconds = []
    for key in jax.random.split(jax.random.key(1), blocks):
        start = time.perf_counter()
        jax.block_until_ready(program(key, batch))
        milliseconds.append(1e3 * (time.perf_counter() - start) / count)
    return {
        'policy': policy,
        'views': count,
        'view_ms': spread(milliseconds),
        'device': jax.devices()[0].device_kind,
    }


def canvases(images: int) -> Mapping[str, Any]:
    """Canvases of the synthetic images, on the device."""
    decoded = [decode(jpeg, CANVAS) for jpeg in synthetic_jpegs(min(images, 8))]
    chosen = jnp.arange(images)
    rows = chosen % len(decoded)
    canvas = jax.tree.map(lambda *arrays: jnp.stack(arrays)[rows], *decoded)
    return {'canvas': canvas, 'index': chosen}


def spread(numbers: Sequence[float]) -> dict[str, float]:
    """The median and both ends."""
    return {
        'median': statistics.median(numbers),
        'lowest': min(numbers),
        'highest': max(numbers),
    }


def table(numbers: Mapping[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    host, views = numbers['host'], numbers['view_ms']
    times = {name: _spread(found) for name, found in numbers['canvas_over'].items()}
    many = {end: 512 * value for end, value in views.items()}
    faster = 'the canvas is {} times as fast'
    return {
        'bare decoding': f'{_spread(host["decode"])} images per second and core',
        'one canvas': f'{_spread(host["canvas"])}, {times["decode"]} of bare decoding',
        'SimCLR, 2 views in Pillow': f'{_spread(host["simclr"])}, {faster.format(times["simclr"])}',
        'SwAV, 8 views in Pillow': f'{_spread(host["swav"])}, {faster.format(times["swav"])}',
        f'{numbers["policy"]} on the device': f'{_spread(views)} ms per view, '
        f'{_spread(many)} ms per 512 views, {numbers["views"]} at a time',
        'machine': f'device {numbers["device"]}, host {numbers["processor"]}',
    }


def _spread(found: Mapping[str, float]) -> str:
    """The median with the range of the blocks, three digits each."""
    digits = ',.0f' if found['median'] >= 100 else '.3g'
    median, lowest, highest = (
        format(found[end], digits) for end in ('median', 'lowest', 'highest')
    )
    return f'{median} ({lowest} to {highest})'


if __name__ == '__main__':
    sys.exit(main())
