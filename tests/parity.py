"""How a golden file becomes an algorithm, its state and batches, and how results are compared."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Algorithm, Batch, Params, Run, State
from jssl.interop import mmselfsup

Arrays = dict[str, np.ndarray]


def reference(folder: Path, case: str) -> Any:
    """A golden file, read by the folder's own reader, which the fixture puts on the path."""
    from weights import Golden

    return Golden(folder / f'{case}.npz')


def algorithm(saved: Any) -> Algorithm:
    """The model of a file, as in a run of as many iterations as the reference was told."""
    hooks = saved.meta.get('hooks', ())
    if saved.meta['options'].get('queue'):  # SwAV's, which is given filled and without its hook
        length = saved.meta['options']['queue']
        hooks = [{'type': 'SwAVHook', 'queue_length': length, 'epoch_queue_starts': 0}]
    built = mmselfsup.build_model(saved.meta['model'], hooks)
    iterations = saved.meta.get('max_iters') or 1
    samples = saved.meta['model'].get('memory_bank', {}).get('length', 64)
    return built.for_run(Run(samples=samples, steps_per_epoch=iterations, epochs=1))


def batch(saved: Any, inputs: Arrays, dtype: str) -> Batch:
    """Views, and whatever else was drawn or recorded, under the reference's names."""
    views = tuple(_image(inputs[name], dtype) for name in saved.meta['views'])
    rest = {name: jnp.asarray(x) for name, x in inputs.items() if name not in saved.meta['views']}
    index = rest.pop(saved.meta['sample_fields'].get('sample_idx'), jnp.arange(len(views[0])))
    return {**rest, 'views': views, 'index': index}


def step_inputs(saved: Any, step: int) -> Arrays:
    """The inputs of a step of a trajectory: drawn by its seed, and recorded for it."""
    from weights import make_inputs

    prefix = f'in/step{step}/'
    recorded = {k.removeprefix(prefix): v for k, v in saved.arrays.items() if k.startswith(prefix)}
    return make_inputs(saved.meta['input_spec'], saved.meta['step_seeds'][step]) | recorded


def start(saved: Any, algorithm: Algorithm, batch: Batch, dtype: str) -> tuple[Params, State]:
    """The parameters and the state that the file says, floats as `dtype`."""
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), batch)
    weights = {
        key: np.asarray(value, dtype if np.issubdtype(value.dtype, np.floating) else value.dtype)
        for key, value in saved.state().items()
    }
    params, state = mmselfsup.import_state(weights, *shapes, algorithm=algorithm)
    queue = {'feature_queue': jnp.asarray(batch['queue'], dtype)} if 'queue' in batch else {}
    return params, {**state, **queue, **_odc_memory(saved, batch, state, dtype)}


def _odc_memory(saved: Any, batch: Batch, state: State, dtype: str) -> State:
    """What the reference keeps outside its state, and that its hook has run where it has."""
    if 'feature_bank' not in batch:
        return {}
    return {
        'bank': jnp.asarray(batch['feature_bank'], dtype),
        'labels': jnp.asarray(batch['label_bank'], state['labels'].dtype),
        'iterations': state['iterations'] + int(saved.meta['options']['class_weight']),
    }


def compare_gradients(ours: Arrays, saved: Any, table: str, bound: Any) -> None:
    """Every gradient that the reference has; what it does not train has none here."""
    rows, exact = saved.table(table), saved.table('grad64')
    largest = max(row[0] for row in exact.values())
    # A bias in front of a batch norm: 0 in exact arithmetic, rounding alone in float32.
    zeros = {key for key, row in exact.items() if row[0] < 1e-12 * largest}
    for key in zeros if table == 'grad' else ():
        assert np.linalg.norm(ours[key]) < 1e-6 * largest, key
        del rows[key]
    _compare(ours, rows, bound)
    for key in ours.keys() - rows.keys() - zeros:
        assert not np.any(ours[key]), key


def compare_state(ours: Arrays, before: Arrays, saved: Any, table: str, bound: float) -> None:
    """Everything that the reference changed; all the rest is as it was before."""
    rows = {k: row for k, row in saved.table(table).items() if not k.endswith(mmselfsup.UNREAD)}
    _compare(ours, rows, bound)
    for key in ours.keys() - rows.keys():
        np.testing.assert_array_equal(ours[key], before[key], err_msg=key)


def compare_queue(state: State, saved: Any) -> None:
    """SwAV's queue, which the reference keeps in a hook: a float32 array, where a file has one."""
    if 'out/queue_after' in saved.arrays:
        np.testing.assert_allclose(
            state['feature_queue'], saved.arrays['out/queue_after'], atol=1e-5
        )


def _compare(ours: Arrays, rows: Arrays, bound: Any) -> None:
    """Norm, first values and probe, by distance relative to the norm."""
    from weights import row

    assert rows.keys() <= ours.keys(), sorted(rows.keys() - ours.keys())
    scale = max((expected[0] for expected in rows.values()), default=0.0)
    for key, expected in rows.items():
        difference = np.abs(row(ours[key]) - expected)
        floor = 1e-12 * scale * np.sqrt(ours[key].size)  # a gradient that is 0 in exact arithmetic
        spread = np.ones(10)
        spread[-1] = np.sqrt(ours[key].size)  # the probe adds up the error of every entry
        relative = bound[key] if isinstance(bound, dict) else bound
        assert (difference <= relative * spread * expected[0] + floor).all(), (key, difference)


def _image(array: np.ndarray, dtype: str) -> jax.Array:
    return jnp.asarray(array.transpose(0, 2, 3, 1), dtype)
