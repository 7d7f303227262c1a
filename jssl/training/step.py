"""The train step: canvas -> views -> draw -> loss -> gradient -> optimizer -> after_step.

One program for every algorithm, compiled once, with the state donated. Nothing in it waits for the
host, and nothing in it depends on how many devices there are.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, use_abstract_mesh

from jssl.accumulation import accumulating
from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, TrainState
from jssl.data.canvas import Canvas
from jssl.errors import JsslError
from jssl.kinds import VIEW
from jssl.training.rows import Rows
from jssl.training.skipping import skipping

Views = Annotated[Callable[[jax.Array, Canvas], Mapping[str, Any]], VIEW]
Step = Callable[..., tuple[TrainState, Metrics]]
# What the step and the log add to the metrics of a loss.
RESERVED = {
    *('loss', 'grad_norm', 'lr', 'images_per_second', 'data_wait'),
    *('step', 'epoch', 'time', 'seconds', 'kind', 'subject', 'skipped', 'skipped_in_a_row'),
}


def make_train_step(
    algorithm: Algorithm,
    views: Views,
    optimizer: optax.GradientTransformation,
    *,
    shardings: TrainState | None = None,
    accumulate: int = 1,
    skip: bool = False,
) -> Step:
    """One optimizer step as a compiled function.

    Args:
      algorithm: anything that fulfils the contract of `jssl.algorithm`.
      views: (key, canvas) of one image -> what it adds to the batch, such as `{'views': (a, b)}`.
      optimizer: any optax transformation; the loss is given to one that asks for its `value`.
      shardings: where the state lives, one `NamedSharding` a leaf; None leaves it to the inputs.
      accumulate: in how many parts the backbone sees a batch, see `jssl.accumulation`.
      skip: leave out a step whose numbers are not finite; the optimizer is one of
        `skipping.counting` then.

    Returns:
      ``step(train_state, batch, data=None) -> (train_state, metrics)``. `batch` holds `canvas`,
      a `Canvas` of pixels (B, S, S, C) uint8 and sizes (B, 2), `index` (B,) and perhaps `label`
      (B,); or only `index`, and `data` holds the other entries for the whole set, whose rows are
      gathered in the step; best as `rows.as_rows` gives it.
      The train state that goes in is donated: its buffers are gone afterwards. Metrics are scalars:
      what the loss reports, and `loss` and `grad_norm`.
    """
    mesh = None if shardings is None else jax.tree.leaves(shardings)[0].mesh
    platform = jax.default_backend() if mesh is None else mesh.devices.flat[0].platform
    step = plain_train_step(algorithm, views, optimizer, mesh=mesh, accumulate=accumulate)
    compiled = functools.partial(
        jax.jit,
        skipping(step) if skip else step,
        donate_argnums=0,
        compiler_options=in_place(platform),
    )
    return compiled() if shardings is None else compiled(out_shardings=(shardings, None))


def plain_train_step(
    algorithm: Algorithm,
    views: Views,
    optimizer: optax.GradientTransformation,
    *,
    mesh: Mesh | None = None,
    accumulate: int = 1,
) -> Step:
    """The step of `make_train_step`, not compiled: a sweep makes one program of several.

    Args:
      algorithm, views, optimizer, accumulate: as there.
      mesh: over which the state is split; None for a single device.
    """

    def step(
        train_state: TrainState, batch: Batch, data: Batch | None = None
    ) -> tuple[TrainState, Metrics]:
        # What has to know how a sharded memory is split finds the mesh in JAX's context.
        with contextlib.nullcontext() if mesh is None else use_abstract_mesh(mesh.abstract_mesh):
            return advance(train_state, batch, data)

    def advance(
        train_state: TrainState, batch: Batch, data: Batch | None
    ) -> tuple[TrainState, Metrics]:
        batch = drawn(algorithm, views, train_state, gather(batch, data))
        given = train_state, batch, accumulate
        found = computed(algorithm, checked(algorithm), optimizer, *given)
        metrics = {'loss': found.loss, 'grad_norm': optax.tree.norm(found.grads)}
        return found.train_state, {**found.metrics, **metrics}

    return step


class Computed(NamedTuple):
    """What a step computes, in that order.

    Attributes:
      loss, state, metrics: what the loss of the algorithm gives.
      grads: of the loss, shaped like the parameters.
      updates: what the optimizer adds to the parameters.
      train_state: after the step.
    """

    loss: jax.Array
    state: State
    metrics: Metrics
    grads: Params
    updates: Params
    train_state: TrainState


def drawn(
    algorithm: Algorithm, views: Views, train_state: TrainState, batch: Batch
) -> dict[str, Any]:
    """A batch of canvases as the loss takes it: views, the number of the step, what is drawn."""
    view_key, draw_key = step_keys(train_state.rng, train_state.step)
    batch = {**make_views(views, view_key, batch), 'step': train_state.step}
    return dict(algorithm.draw(draw_key, train_state.state, batch))


def computed(
    algorithm: Algorithm,
    loss: Callable[..., tuple[jax.Array, tuple[State, Metrics]]],
    optimizer: optax.GradientTransformation,
    train_state: TrainState,
    batch: Batch,
    accumulate: int,
) -> Computed:
    """Everything that follows the drawing of a batch, for the step and for who looks into it.

    Args:
      algorithm: says what follows the optimizer.
      loss: of it, as `checked` gives it.
      optimizer: as in `make_train_step`.
      train_state: before the step.
      batch: of `drawn`.
      accumulate: as in `make_train_step`.
    """
    (value, (left, metrics)), grads = differentiated(loss, train_state, batch, accumulate)
    updates, params, opt_state = optimized(optimizer, train_state, grads, value)
    params, state = strongly_typed(algorithm.after_step(params, left, train_state.step))
    after = dataclasses.replace(
        train_state, step=train_state.step + 1, params=params, state=state, opt_state=opt_state
    )
    return Computed(value, left, metrics, grads, updates, after)


def differentiated(
    loss: Callable[..., tuple[jax.Array, tuple[State, Metrics]]],
    train_state: TrainState,
    batch: Batch,
    accumulate: int,
) -> tuple[tuple[jax.Array, tuple[State, Metrics]], Params]:
    """What the loss gives, and its gradient; the arguments are those of `computed`."""
    with accumulating(accumulate, len(batch['index'])):
        return jax.value_and_grad(loss, has_aux=True)(train_state.params, train_state.state, batch)


def optimized(
    optimizer: optax.GradientTransformation, train_state: TrainState, grads: Params, loss: jax.Array
) -> tuple[Params, Params, optax.OptState]:
    """What the optimizer adds to the parameters, the parameters with it, and its state."""
    updates, opt_state = optax.with_extra_args_support(optimizer).update(
        grads, train_state.opt_state, train_state.params, value=loss
    )
    return updates, optax.apply_updates(train_state.params, updates), opt_state


IN_PLACE = {
    'cpu': 'xla_cpu_copy_insertion_use_region_analysis',
    **dict.fromkeys(('gpu', 'cuda', 'rocm'), 'xla_gpu_copy_insertion_use_region_analysis'),
}


@functools.cache
def in_place(platform: str) -> dict[str, bool]:
    """What makes the compiler update the rows of a donated memory where they are.

    XLA copies a bank or a queue whole, twice a step, unless it looks at what is read of it after
    the write; for TPUs it does so by itself. An XLA that does not know the option copies.
    """
    if platform not in IN_PLACE:
        return {}
    options = {IN_PLACE[platform]: True}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:
        return {}
    return options


def jit_once(function: Callable[..., Any], platform: str, **options: Any) -> Callable[..., Any]:
    """`jax.jit` for what runs once: on a CPU it is compiled in a third of the time, less well.

    Args:
      function: what to compile.
      platform: of the devices.
      **options: those of `jax.jit`.
    """
    quick = {'xla_backend_optimization_level': 0} if platform == 'cpu' else None
    return jax.jit(function, compiler_options=quick, **options)


def checked(algorithm: Algorithm) -> Callable[..., tuple[jax.Array, tuple[State, Metrics]]]:
    """The loss of an algorithm, held to what a loss returns; that costs nothing in the program.

    Raises:
      JsslError: when traced, for what is not ``(loss, (state, metrics))``: a number, the state with
        the entries and shapes it had, and a dict of numbers; names what differs.
    """

    def loss(params: Params, state: State, batch: Batch) -> tuple[jax.Array, tuple[State, Metrics]]:
        returned: Any = algorithm.loss(params, state, batch)
        if wrong := _wrong(state, returned):
            raise JsslError(
                f'{type(algorithm).__name__}.loss must return (loss, (state, metrics)): a number, '
                f'the state as init made it, and a dict of numbers. {wrong}'
            )
        return returned

    return loss


def _wrong(before: State, returned: Any) -> str:
    """What is wrong with what a loss returned, in a sentence; nothing if it is right."""
    pair = isinstance(returned, tuple) and len(returned) == 2
    if not pair or not isinstance(returned[1], tuple) or len(returned[1]) != 2:
        return 'It returned something else; write for example return loss, (state, {}).'
    loss, (state, metrics) = returned
    if jnp.shape(loss) != ():
        return f'Its loss has the shape {jnp.shape(loss)}; take for example jnp.mean of it.'
    shapes, expected = (_shapes(tree) for tree in (state, before))
    for path in dict.fromkeys((*expected, *shapes)):
        found, wanted = shapes.get(path, 'absent'), expected.get(path, 'absent')
        if found != wanted:
            return f'state{path} was {wanted} and is {found}; return {{**state, ...}} with it.'
    if not isinstance(metrics, Mapping):
        return f'Its metrics are a {type(metrics).__name__}.'
    if taken := sorted({*metrics} & RESERVED):
        return f'Metrics called {", ".join(taken)} are logged already; choose other names.'
    arrays = {name: jnp.shape(value) for name, value in metrics.items() if jnp.shape(value)}
    return f'Metrics with more than one number: {arrays}; take their mean.' if arrays else ''


def _shapes(tree: Any) -> dict[str, str]:
    """The shapes of the leaves of a tree, by their paths such as ``['batch_stats']['mean']``."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f'of shape {jnp.shape(leaf)}' for path, leaf in leaves}


def init_train_state(
    algorithm: Algorithm,
    views: Views,
    optimizer: optax.GradientTransformation,
    batch: Batch,
    *,
    seed: int | jax.Array,
) -> TrainState:
    """The state before the first step; trace it under `jax.jit` or `jax.eval_shape`.

    Args:
      algorithm: gives parameters and state.
      views: as in `make_train_step`; only the shapes they produce matter here.
      optimizer: gives its own state.
      batch: as the step takes it; only its shapes matter.
      seed: of everything random in the run.
    """
    rng = jax.random.key(seed)
    init_key, view_key, run_key = jax.random.split(rng, 3)
    step = jnp.zeros((), jnp.int32)
    batch = {**make_views(views, view_key, batch), 'step': step}
    params, state = strongly_typed(algorithm.init(init_key, batch))
    return TrainState(
        step=step,
        params=params,
        state=state,
        opt_state=optimizer.init(params),
        rng=run_key,
    )


def strongly_typed(tree: Any) -> Any:
    """The same arrays without the weak type that JAX gives to those made of a Python number.

    It would not survive a checkpoint, and its loss after the first step would compile a second one.
    """
    return jax.tree.map(lambda leaf: jax.lax.convert_element_type(leaf, leaf.dtype), tree)


def step_keys(rng: jax.Array, step: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The keys of one step: for its views, and for what the algorithm draws."""
    view_key, draw_key = jax.random.split(jax.random.fold_in(rng, step))
    return view_key, draw_key


def refresh_key(rng: jax.Array, step: jax.Array) -> jax.Array:
    """The key of what happens between epochs, after `step` steps."""
    # 0 and 1 are those that `step_keys` splits off.
    return jax.random.fold_in(jax.random.fold_in(rng, step), 2)


def gather(batch: Batch, data: Batch | None) -> dict[str, jax.Array]:
    """A batch with its rows of `data`, chosen by `index`."""
    if data is None:
        return dict(batch)
    index, is_rows = batch['index'], lambda value: isinstance(value, Rows)
    return {**jax.tree.map(lambda array: array[index], dict(data), is_leaf=is_rows), **batch}


def make_views(views: Views, key: jax.Array, batch: Batch) -> dict[str, Any]:
    """Replaces the canvases of a batch by the views made of them.

    Each image's key depends on `key` and its position in the global batch alone, so that the same
    images get the same augmentation on any number of devices.
    """
    rest = {name: value for name, value in batch.items() if name != 'canvas'}
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(batch['index'])))
    return {**rest, **jax.vmap(views)(keys, batch['canvas'])}
