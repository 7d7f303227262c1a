"""A look into one train step: what it is given and computes, and what of that is not finite."""

import collections
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax.core.tracers import current_trace
from jax.sharding import use_abstract_mesh

from jssl.algorithm import Batch, Metrics, Params, State, TrainState
from jssl.training.experiment import Experiment
from jssl.training.sharding import replicated
from jssl.training.step import checked, computed, drawn, gather, make_views, step_keys

SHOWN = 64  # images of a batch whose views are looked at by a person
DEPTH = 2  # of a part of the parameters, such as `backbone.layer1`
Loss = Callable[[Params, State, Batch], tuple[jax.Array, tuple[State, Metrics]]]


@flax.struct.dataclass
class Inspection:
    """What a step is given and computes.

    Attributes:
      names: of all arrays of floats, in the order in which the step computes them.
      finite: whether each of them is.
      index: (B,), the numbers of the samples.
      views: of the first `SHOWN` images, each (SHOWN, H, W, C), as the policy makes them.
      mask: of them, as the algorithm draws it; None for none.
      terms: `loss`, and the metrics of the algorithm.
      gradients: norms of the gradient by part of the parameters, `''` for all of them.
      updates: norms of what the optimizer adds, likewise.
    """

    names: tuple[str, ...] = flax.struct.field(pytree_node=False)
    finite: Sequence[jax.Array]
    index: jax.Array
    views: Sequence[jax.Array]
    mask: jax.Array | None
    terms: Metrics
    gradients: Metrics
    updates: Metrics

    @property
    def not_finite(self) -> list[str]:
        """The names of what is not finite, in the order in which it is computed."""
        found = jax.device_get(list(self.finite))
        return [name for name, finite in zip(self.names, found, strict=True) if not finite]


def make_inspection(experiment: Experiment) -> Callable[..., Inspection]:
    """The step of an experiment as a function that shows what is in it.

    Returns:
      ``inspect(train_state, batch, data=None) -> Inspection``, compiled. The arguments are those of
      `make_train_step`, and nothing is donated.
    """
    algorithm, optimizer = experiment.algorithm, experiment.transformation
    mesh = experiment.mesh

    def inspect(train_state: TrainState, batch: Batch, data: Batch | None = None) -> Inspection:
        with use_abstract_mesh(mesh.abstract_mesh):  # as in the step
            return look(train_state, batch, data)

    def look(train_state: TrainState, batch: Batch, data: Batch | None) -> Inspection:
        canvases = gather(batch, data)
        view_key, _ = step_keys(train_state.rng, train_state.step)
        # As the policy makes them: an algorithm may pair or mix them. XLA makes them once.
        viewed = make_views(experiment.views, view_key, canvases).get('views', ())
        batch = drawn(algorithm, experiment.views, train_state, canvases)
        parts: list[tuple[str, Any]] = [('before the step: ', train_state), ('batch', batch)]
        loss = recorded(checked(algorithm))
        found = computed(algorithm, loss, optimizer, train_state, batch, experiment.accumulate)
        told: Any = found.metrics
        terms = {**told['terms'], 'loss': found.loss}
        parts += [('features: ', told['features']), ('terms', terms)]
        parts += [('state', found.state), ('gradients', found.grads), ('updates', found.updates)]
        named = floats([*parts, ('after the step: ', found.train_state)])
        return Inspection(
            names=tuple(named),
            finite=[jnp.isfinite(array).all() for array in named.values()],
            index=batch['index'],
            views=[view[:SHOWN] for view in viewed],
            mask=None if batch.get('mask') is None else batch['mask'][:SHOWN],
            terms=terms,
            gradients=norms(found.grads),
            updates=norms(found.updates),
        )

    return jax.jit(inspect, out_shardings=replicated(mesh))


def floats(parts: Sequence[tuple[str, Any]]) -> dict[str, jax.Array]:
    """The arrays of floats in trees, by the name of the tree and their place in it.

    Examples:
      >>> list(floats([('batch', {'views': (jnp.zeros(2),), 'index': jnp.arange(2)})]))
      ["batch['views'][0]"]
    """
    return {
        prefix + place: leaf
        for prefix, tree in parts
        for place, leaf in _leaves(prefix, tree)
        if jnp.issubdtype(leaf.dtype, jnp.inexact)
    }


def _leaves(prefix: str, tree: Any) -> Iterator[tuple[str, jax.Array]]:
    """The leaves of a tree; those of features, which have names already, in their order."""
    if isinstance(tree, tuple) and tree and isinstance(tree[0], Named):
        yield from ((one.name, one.array) for one in tree)
        return
    for path, leaf in jax.tree.leaves_with_path(tree):
        yield jax.tree_util.keystr(path).lstrip('.'), leaf


@flax.struct.dataclass
class Named:
    """An array that a module gave.

    Attributes:
      name: of the module, such as ``backbone.conv1 (Conv), pass 2``.
      array: any.
    """

    name: str = flax.struct.field(pytree_node=False)
    array: jax.Array


def recorded(loss: Loss) -> Loss:
    """A loss whose metrics are its `terms`, and `features`: what every module gave, in order."""

    def record(params: Params, state: State, batch: Batch) -> Any:
        with recording() as features:
            value, (left, metrics) = loss(params, state, batch)
        return value, (left, {'terms': metrics, 'features': tuple(features)})

    return record


@contextlib.contextmanager
def recording() -> Iterator[list[Named]]:
    """Collects what Flax modules give while it is open.

    What runs inside a scan or is computed anew in the backward pass shows as the module around it.
    """
    trace, found = current_trace(), list[Named]()
    passes: collections.Counter[str] = collections.Counter()

    def intercept(
        call: Callable[..., Any],
        args: Sequence[Any],
        options: Mapping[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        given = call(*args, **options)
        if context.method_name == '__call__' and current_trace() == trace:
            kind, path = type(context.module).__name__, '.'.join(context.module.path)
            name = f'{path} ({kind})' if path else kind
            passes[name] += 1
            number = f', pass {passes[name]}' if passes[name] > 1 else ''
            leaves = jax.tree.leaves_with_path(given)
            found.extend(
                Named(f'{name}{number}{jax.tree_util.keystr(path)}', leaf)
                for path, leaf in leaves
                if isinstance(leaf, jax.Array)
            )
        return given

    with nn.intercept_methods(intercept):
        yield found


def norms(tree: Params) -> dict[str, jax.Array]:
    """The Euclidean norms of the parts of a tree like the parameters, and of all of it as `''`.

    Examples:
      >>> found = norms({'head': {'kernel': jnp.array([3.0]), 'bias': jnp.array([4.0])}})
      >>> {part: float(norm) for part, norm in found.items()}
      {'': 5.0, 'head': 5.0, 'head.bias': 4.0, 'head.kernel': 3.0}
    """
    leaves: dict[str, list[jax.Array]] = collections.defaultdict(list)
    for path, leaf in jax.tree.leaves_with_path(tree):
        names = [str(getattr(entry, 'key', entry)) for entry in path[:DEPTH]]
        for depth in range(len(names) + 1):
            leaves['.'.join(names[:depth])].append(leaf)
    return {part: optax.tree.norm(arrays) for part, arrays in sorted(leaves.items())}
