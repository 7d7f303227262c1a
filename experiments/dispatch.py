"""What a step costs the host before the device has anything to do: handing its arrays over.

    python -m experiments.dispatch simclr:imagenet
    python -m experiments.dispatch mae:imagenet --config.model.backbone.arch=large

The tree of the config's train state goes in, donated, and comes out, as in training, in a program
that adds one to every leaf; each is a single number here, so that the program itself takes nothing.
Times are of the thread that calls, in CPU time. Where a device's step takes longer, the host is
ahead of it and costs nothing.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from experiments import on_config
from experiments.reporting import processor
from jssl.algorithm import TrainState
from jssl.training.experiment import Experiment
from jssl.training.sharding import replicated

PARTS = ('params', 'state', 'opt_state')
WARM_UP = 5  # calls that are not timed, compiling among them


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    parser = on_config.parser('dispatch', __doc__, steps=300)
    return on_config.run(argv, parser, measure, table, 'a step without work')


def measure(subject: Experiment, steps: int) -> dict[str, Any]:
    """Milliseconds of a call: whole, with the leaves as arguments alone, and as results alone."""
    tree = subject.state_shapes
    where = replicated(subject.mesh)
    small = jax.device_put(jax.tree.map(_small, tree), where)
    places = jax.tree.map(lambda _: where, tree)
    step = jax.jit(advance, donate_argnums=0, out_shardings=places)
    made = jax.jit(lambda: jax.tree.map(_small, tree), out_shardings=places)
    first = jax.jit(lambda state: advance(state).step)
    parts = {name: len(jax.tree.leaves(getattr(tree, name))) for name in PARTS}
    return {
        'leaves': {**parts, 'together': len(jax.tree.leaves(tree))},
        'in': milliseconds(lambda _: first(small), None, steps),
        'out': milliseconds(lambda _: made(), None, steps),
        'in_and_out': milliseconds(step, jax.tree.map(jnp.copy, small), steps),
        'processor': processor(),
    }


def _small(leaf: jax.ShapeDtypeStruct) -> jax.Array:
    """One number for a whole array; a key stays a key."""
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key(0) if is_key else jnp.zeros((), leaf.dtype)


def advance(state: TrainState) -> TrainState:
    """Changes every leaf, so that none goes through untouched."""
    return jax.tree.map(_next, state)


def _next(leaf: jax.Array) -> jax.Array:
    if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.fold_in(leaf, 0)
    return leaf ^ True if leaf.dtype == bool else leaf + 1


def milliseconds(call: Callable[[Any], Any], given: Any, steps: int) -> dict[str, float]:
    """The median and the least of `steps` calls, each given what the last one gave."""
    seconds = []
    for _ in range(steps + WARM_UP):
        jax.block_until_ready(given)
        start = time.thread_time()
        given = call(given)
        seconds.append(time.thread_time() - start)
    timed = seconds[WARM_UP:]
    return {'median': 1e3 * statistics.median(timed), 'lowest': 1e3 * min(timed)}


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    leaves = numbers['leaves']
    parts = ', '.join(f'{name} {leaves[name]}' for name in PARTS)

    def words(name: str) -> str:
        found = numbers[name]
        each = 1e3 * found['lowest'] / leaves['together']
        return f'{found["median"]:.2f} ms (at least {found["lowest"]:.2f}, {each:.2f} µs a leaf)'

    return {
        'leaves': f'{leaves["together"]}: {parts}',
        'arguments alone': words('in'),
        'results alone': words('out'),
        'a step': words('in_and_out'),
        'host': numbers['processor'],
    }


if __name__ == '__main__':
    sys.exit(main())
