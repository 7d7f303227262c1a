"""A run, traced in shapes: what does not fit together is found before data are read."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from jssl.algorithm import TrainState
from jssl.augment.views.places import policies
from jssl.errors import JsslError, UnevenPatches, in_words
from jssl.training import sharding
from jssl.training.experiment import Experiment
from jssl.training.rows import as_rows

EPOCHS = 1000  # among which an algorithm that refreshes its state does so


def check_shapes(experiment: Experiment, *, copies: int = 1) -> None:
    """Traces the first state, the train step and the features of an evaluation; computes nothing.

    Args:
      experiment: what is to run.
      copies: how many train states and batches are on the devices at a time.

    Raises:
      JsslError: says what does not fit; for an error that is none of ours, its type, its text and
        the line of code it comes from, that of a user's own algorithm among them.
    """
    try:
        _check_shapes(experiment, copies)
    except UnevenPatches as error:
        raise JsslError(f'{error}{_other_sides(experiment, error)}') from error


def _check_shapes(experiment: Experiment, copies: int) -> None:
    state = _traced('the first state', lambda: experiment.state_shapes)
    batch = _traced('a batch', lambda: jax.eval_shape(experiment.empty_batch))
    _check_memory(experiment, state, batch, copies)
    _traced('the train step', lambda: jax.eval_shape(experiment.step, *step_inputs(experiment)))
    if not _traced('the features', lambda: experiment.feature_dim):
        raise JsslError(
            f'{type(experiment.algorithm).__name__}.extract_feat gives features without a single '
            'number; let it give (B, D) of them.'
        )
    if any(map(experiment.algorithm.refreshes, range(min(experiment.epochs, EPOCHS)))):
        _traced('the refresh', lambda: jax.eval_shape(refresh_of(experiment), state))


def _other_sides(experiment: Experiment, error: UnevenPatches) -> str:
    """What to type so that views divide into patches, as a sentence with a space before it."""
    seen = {'config.views': experiment.views, 'config.eval_view': experiment.eval_view}
    typed = [
        f'--{place}.{field}={value}'
        for name, views in seen.items()
        for place, view in policies(views, name)
        for field, value in _divisible(view, error)
    ]
    ways = [' '.join(typed)] if typed else []
    ways += [f'--{error.field}={error.smaller}'] if error.smaller else []
    return f' Type {", or ".join(ways)}.' if ways else ''


def _divisible(view: Any, error: UnevenPatches) -> Iterator[tuple[str, int]]:
    """The fields of a view whose size is no multiple of the patch, with values that work."""
    size = getattr(view, 'size', None)
    if isinstance(size, int) and size % error.side:
        wanted = error.sides_near(size)[0]
        yield 'size', wanted
        if getattr(view, 'resize', wanted) < wanted:
            yield 'resize', wanted


def step_inputs(experiment: Experiment) -> tuple[Any, Any, Any]:
    """What the step of the run is given, in shapes that say where it lies.

    With them the step is traced as the run will call it, and need not be traced again.

    Returns:
      The train state, a batch, and the whole data set where that is kept on the device, or None.
    """
    mesh, whole = experiment.mesh, None
    batch = jax.eval_shape(experiment.empty_batch)
    if experiment.loader.resident:
        rows = len(experiment.data)
        kept = {name: part for name, part in batch.items() if name != 'index'}
        kept = jax.tree.map(lambda x: jax.ShapeDtypeStruct((rows, *x.shape[1:]), x.dtype), kept)
        whole = sharding.placed(as_rows(kept), sharding.replicated(mesh))
        batch = {'index': batch['index']}
    batch = sharding.placed(batch, sharding.batch_sharding(mesh))
    return experiment.placed_state, batch, whole


def refresh_of(experiment: Experiment) -> Callable[[TrainState], Any]:
    """What happens between epochs, with features for all images."""
    algorithm = experiment.algorithm

    def refresh(train_state: TrainState) -> Any:
        params, state = train_state.params, train_state.state
        row = algorithm.refresh_feat(params, state, experiment.empty_image())
        features = jnp.broadcast_to(row, (len(experiment.data), row.shape[-1]))
        return algorithm.refresh(params, state, features, train_state.rng)

    return refresh


def _check_memory(experiment: Experiment, state: Any, batch: Any, copies: int) -> None:
    """Refuses a state and a batch that alone are larger than the memory they are to lie in."""
    devices = list(experiment.mesh.local_devices)
    sharing = len(devices) if devices[0].platform == 'cpu' else 1  # those of a host share its own
    kept, split = _sizes({'train state': state}), _sizes({'batch': batch})
    shards, sizes = experiment.runtime.mesh.fsdp, {**kept, **split}
    each = sum(kept.values()) / shards + sum(split.values()) / experiment.mesh.size
    need, have = copies * sharing * each, memory(devices[0])
    if have is None or need <= have:
        return
    largest = sorted(sizes, key=sizes.__getitem__)[:-4:-1]
    shown = ', '.join(f'{name} {sizes[name] / 2**30:,.1f} GiB' for name in largest)
    raise JsslError(
        f'The train state and a batch take {need / 2**30:,.1f} GiB and there are '
        f'{have / 2**30:,.1f} GiB (the largest: {shown}). Make the network, its memory bank or '
        'queue, or config.batch_size smaller.'
    )


def _sizes(tree: Any) -> dict[str, int]:
    """The bytes of the leaves of a tree, by their dotted paths."""
    return {
        jax.tree_util.keystr(path, simple=True, separator='.'): leaf.size * leaf.dtype.itemsize
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def memory(device: jax.Device) -> int | None:
    """Bytes of memory that a device has, the host's for a CPU; None where it is not known."""
    stats = device.memory_stats() or {}
    if device.platform == 'cpu' and hasattr(os, 'sysconf'):
        return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
    return stats.get('bytes_limit')


def _traced(what: str, trace: Callable[[], Any]) -> Any:
    """What `trace` gives; its errors as sentences."""
    try:
        return trace()
    except JsslError:
        raise
    except Exception as error:
        raise JsslError(
            f'{what[0].upper()}{what[1:]} cannot be built: {in_words(error).rstrip(".")}. Sizes in '
            'the config that do not fit each other, or a slip in an algorithm of your own, are the '
            'usual reasons.'
        ) from error
