"""What NPID's bank costs in a step beside the network: drawing, similarities, gradient, update.

    python -m experiments.memory_bank --config=configs/npid.py
    python -m experiments.memory_bank --config=configs/npid.py:imagenet --images=1281167

Both parts are compiled and timed by themselves on one device: the bank with random projections, the
network with random images of the size of its views, forward and backward.
"""

import argparse
import dataclasses
import statistics
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments.reporting import mebibytes, positive, processor, show, show_json
from experiments.throughput_measure import timed
from jssl.algorithm import Run
from jssl.algorithms import NPID
from jssl.cli.configs import title
from jssl.cli.train import parse
from jssl.components import build
from jssl.errors import JsslError
from jssl.layers.normalize import l2_normalize
from jssl.losses import instance_discrimination
from jssl.memories.bank import similarities, update_rows
from jssl.networks import forward
from jssl.runs.workdir import versions

Program = Callable[[], Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    options, rest = parser().parse_known_args(argv)
    try:
        values = parse(rest)
        config = values.config
        algorithm = build('model', config['model'])
        if not isinstance(algorithm, NPID):
            raise JsslError(
                f'{type(algorithm).__name__} has no bank of rows; take configs/npid.py.'
            )
        batch = options.batch or config['batch_size']
        side = config['views']['view']['size']
        numbers = {'config': title(values.named), 'batch': batch, 'images': options.images}
        numbers |= measure(algorithm, batch, side, options.images, options.repeats)
    except JsslError as error:
        print(f'memory_bank: {error}', file=sys.stderr)
        return 2
    show(f'{numbers["config"]}, batch {batch}, bank of {options.images:,} rows', table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line besides those of `jssl train`."""
    result = argparse.ArgumentParser(
        'experiments.memory_bank',
        description=f'{__doc__}\nAll other arguments are those of jssl train.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument('--images', type=positive, default=6000, help='rows of the bank')
    result.add_argument('--batch', type=positive, help="the config's, if not given")
    result.add_argument('--repeats', type=positive, default=5, help='how often each part is timed')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def measure(algorithm: NPID, batch: int, side: int, images: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of both parts, in turns, and the bytes of the bank."""
    run = Run(samples=images, steps_per_epoch=1, epochs=1)
    algorithm = dataclasses.replace(algorithm, run=run)
    inputs = jax.random.normal(jax.random.key(0), (batch, side, side, 3))
    index = jnp.arange(batch) * (images // batch) if batch <= images else jnp.zeros(batch, int)
    given = {'views': (inputs,), 'index': index}
    params, state = jax.jit(algorithm.init)(jax.random.key(1), given)
    parts = {
        'bank': bank_part(algorithm, state, given),
        'network': network_part(algorithm, params, state, inputs),
    }
    seconds: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(repeats):
        for name, part in parts.items():
            seconds[name].append(timed(part)[1])
    return {
        **{f'{name}_ms': 1e3 * statistics.median(found) for name, found in seconds.items()},
        'bank_bytes': state['bank'].nbytes,
        'processor': processor(),
        'versions': versions(),
    }


def bank_part(algorithm: NPID, state: Any, batch: Any) -> Program:
    """Everything in a step that touches the bank, compiled."""
    memory = algorithm.memory_bank
    projections = jax.random.normal(jax.random.key(2), (len(batch['index']), memory.feat_dim))

    def loss(projections: jax.Array, bank: jax.Array, index: jax.Array, rows: jax.Array) -> Any:
        features = l2_normalize(projections)
        products = similarities(bank, features, jnp.concatenate([index[:, None], rows], axis=1))
        after, _ = update_rows(bank, index, features, memory.momentum)
        return instance_discrimination(products, algorithm.head.temperature), after

    def part(state: Any, projections: jax.Array, index: jax.Array) -> Any:
        rows = algorithm.draw(jax.random.key(3), state, {'index': index})['neg_idx']
        return jax.grad(loss, has_aux=True)(projections, state['bank'], index, rows)

    return compiled(part, state, projections, batch['index'])


def network_part(algorithm: NPID, params: Any, state: Any, images: jax.Array) -> Program:
    """Forward and backward pass of backbone and neck, compiled."""

    def part(params: Any, stats: Any, images: jax.Array) -> Any:
        def total(params: Any) -> Any:
            projections, stats_after = forward(algorithm.encoder, params, stats, images)
            return jnp.square(projections).sum(), stats_after

        return jax.grad(total, has_aux=True)(params)

    return compiled(part, params, state['batch_stats'], images)


def compiled(function: Callable[..., Any], *arguments: Any) -> Program:
    """The function on these arguments, compiled and run once."""
    program = jax.jit(function).lower(*arguments).compile()
    jax.block_until_ready(program(*arguments))
    return lambda: jax.block_until_ready(program(*arguments))


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    bank, network = numbers['bank_ms'], numbers['network_ms']
    return {
        'bank': f'{bank:,.1f} ms, {mebibytes(numbers["bank_bytes"])}',
        'network': f'{network:,.1f} ms',
        'share of the bank': f'{bank / (bank + network):.1%}',
        'machine': f'{numbers["versions"]["platform"]}, host {numbers["processor"]}',
    }


if __name__ == '__main__':
    sys.exit(main())
