"""How a golden file becomes an algorithm, its state and batches, and how results are compared."""

import dataclasses
import fnmatch
import functools
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Algorithm, Batch, Params, Run, State
from jssl.interop import mmselfsup
from jssl.weights.names import UNREAD
from tests import families, golden
from tests.checks import structure
from tests.within import with_norms

Arrays = dict[str, np.ndarray]

# Float32 rounds each number by up to 6e-8 of itself. However a processor orders its sums, a hundred
# layers gather less than a thousand such roundings.
ROUNDINGS = 1e-4

# What the reference has on its way and we have not: a positive's logit beside those of its
# negatives, of images or of cells; a pair's logits without the image itself; scores with those of
# the queue.
ONLY_THERE = {
    **dict.fromkeys(('MoCo', 'NPID', 'SimCLR'), ('logits0',)),
    'DenseCL': ('logits0', 'logits1'),
    'SwAV': ('sinkhorn_in*',),
}
CHECKS = ('*_margin',)  # how clear a choice was

# Names of what is recorded for each sample, in the reference and here.
FIELDS = {
    'sample_idx': 'index',
    'clustering_label': 'target',
    'rot_label': 'target',
    'patch_label': 'target',
    'mask': 'mask',
}


def algorithm(saved: golden.File) -> Algorithm:
    """The model of a file, as in a run of as many iterations as the reference was told."""
    if is_of_family(saved):
        return families.FAMILIES[saved.meta['algorithm']].make(saved)
    model = golden.plain(saved.meta['model'])
    hooks = golden.plain(saved.meta.get('hooks', []))
    if queue := saved.meta['options'].get('queue'):  # SwAV's, given filled and without its hook
        hooks = [{'type': 'SwAVHook', 'queue_length': queue, 'epoch_queue_starts': 0}]
    built = mmselfsup.build_model(model, hooks)
    samples = model.get('memory_bank', {}).get('length', 64)
    run = Run(samples=samples, steps_per_epoch=saved.meta.get('max_iters') or 1, epochs=1)
    return dataclasses.replace(built, run=run)


def is_of_family(saved: golden.File) -> bool:
    """Whether a file is of another repository than MMSelfSup."""
    return 'type' not in saved.meta['model']


def export(saved: golden.File, params: Params, state: State | None, algorithm: Algorithm) -> Arrays:
    """Parameters and state, or gradients alone, as the reference names and lays them out."""
    if is_of_family(saved):
        return families.export(saved, params, state)
    if state is None:  # gradients, of which a module that is there twice has one
        return mmselfsup.export_state(params)
    return mmselfsup.export_state(params, state, algorithm=algorithm)


def batch(saved: golden.File, inputs: Arrays, dtype: str, step: int | None = None) -> Batch:
    """Views, and whatever else was drawn or recorded, under the names of the algorithms.

    `step` is its number in a trajectory; that of a single step is what the file was told, or 1
    where the reference's hook has run.
    """
    views = tuple(_image(inputs[name], dtype) for name in saved.meta['views'])
    names = {array: FIELDS[field] for field, array in saved.meta['sample_fields'].items()}
    rest = {k: jax.device_put(x) for k, x in inputs.items() if k not in saved.meta['views']}
    rest = {names.get(name, name): value for name, value in rest.items()}
    if is_of_family(saved):
        rest = families.inputs(saved, rest)
        rest |= families.FAMILIES[saved.meta['algorithm']].more(saved, inputs)
    if 'shuffle' in rest:  # the reference's order is one of the whole batch
        rest['shuffle'] = rest['shuffle'][None]
    if 'label_bank' in rest:
        rest['target'] = rest['label_bank'][rest['index']]
    if step is None and is_of_family(saved):
        step = families.FAMILIES[saved.meta['algorithm']].step(saved.meta)
    if step is None:
        options = saved.meta['options']
        step = options.get('step', int(options.get('class_weight', False)))
    number = {'step': jnp.array(step, 'int32')}
    return {'index': jnp.arange(len(views[0])), **rest, **number, 'views': views}


def step_inputs(saved: golden.File, step: int) -> Arrays:
    """The inputs of a step of a trajectory: drawn by its seed, and recorded for it."""
    spec, seed = golden.plain(saved.meta['input_spec']), saved.meta['step_seeds'][step]
    drawn = golden.reader(saved.path.parent).make_inputs(spec, seed)
    return drawn | saved.group(f'in/step{step}')


def start(
    saved: golden.File, algorithm: Algorithm, batch: Batch, dtype: str
) -> tuple[Params, State]:
    """The parameters and the state that the file says, floats as `dtype`."""
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), batch)
    weights = {
        key: np.asarray(value, dtype if np.issubdtype(value.dtype, np.floating) else value.dtype)
        for key, value in saved.state().items()
    }
    if is_of_family(saved):
        return families.load(saved, weights, *shapes)
    params, state = mmselfsup.import_state(weights, *shapes, algorithm=algorithm)
    queue = {}
    if 'queue' in batch:  # its newest batch comes first, here the oldest
        batches = batch['queue'].reshape(state['feature_queue'].shape)[:, ::-1]
        queue = {'feature_queue': jnp.asarray(batches, dtype)}
    return params, {**state, **queue, **_odc_memory(batch, state, dtype)}


def _odc_memory(batch: Batch, state: State, dtype: str) -> State:
    """What the reference keeps outside its state."""
    if 'feature_bank' not in batch:
        return {}
    memory = state['memory']
    labels = jnp.asarray(batch['label_bank'], memory['labels'].dtype)
    bank = jnp.asarray(batch['feature_bank'], dtype)
    return {'memory': {**memory, 'bank': bank, 'labels': labels}}


def compiled(function: Callable[..., Any], meta: golden.Meta, **options: Any) -> Any:
    """Compiled without optimisation, as in all tests, but for networks of convolutions.

    A step of these takes five times as long in plain loops, which is more than compiling saves.
    """
    if golden.is_residual(meta):
        options['compiler_options'] = {'xla_backend_optimization_level': 1}
    return jax.jit(function, **options)


class Differentiated:
    """One compiled program: loss, gradients, new state, metrics; and what it read of its batch.

    With `sizes`, the norms of the arrays of these sizes on its way come third beside the metrics.
    """

    def __init__(
        self, algorithm: Algorithm, meta: golden.Meta, sizes: Collection[int] = ()
    ) -> None:
        self.read: set[str] = set()
        noted = with_norms(functools.partial(self._loss, algorithm), sizes)

        def loss(params: Params, state: State, batch: Batch) -> Any:
            (loss, aux), norms = noted(params, state, batch)
            return loss, (*aux, norms)

        self._run = compiled(jax.value_and_grad(loss, has_aux=True), meta)

    def _loss(self, algorithm: Algorithm, params: Params, state: State, batch: Batch) -> Any:
        entries = golden.Entries(batch)
        result = algorithm.loss(params, state, entries)
        self.read |= batch.keys() - set(entries.unread())
        return result

    def __call__(self, params: Params, state: State, batch: Batch) -> Any:
        return self._run(params, state, batch)


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step gave, in the reference's names and layouts."""

    loss: float
    metrics: dict[str, float]
    grads: Arrays
    before: Arrays
    after: Arrays
    state: State  # as the loss left it
    read: set[str]  # of the batch
    norms: dict[int, np.ndarray]  # of arrays within, by their sizes


class Stepper:
    """The step of a file in one precision, from its own numbers or from others close to them."""

    def __init__(self, saved: golden.File, dtype: str) -> None:
        self.saved, self.algorithm = saved, algorithm(saved)
        self.batch = batch(saved, saved.inputs(), dtype)
        self.params, self.state = start(saved, self.algorithm, self.batch, dtype)
        sizes = {math.prod(shape) for shape in golden.plain(saved.meta['shapes']).values()}
        self.differentiate = Differentiated(self.algorithm, saved.meta, sizes)
        self.follow = jax.jit(self.algorithm.after_step)

    def __call__(self, change: Callable[[Any], Any] = lambda tree: tree) -> Step:
        params, state = change(self.params), change(self.state)
        batch = {**self.batch, 'views': change(self.batch['views'])}
        (loss, (left, metrics, norms)), grads = self.differentiate(params, state, batch)
        assert loss.dtype == batch['views'][0].dtype
        assert structure(left) == structure(state)
        before = export(self.saved, params, state, self.algorithm)
        moved, kept = self.follow(params, left, batch['step'])
        return Step(
            float(loss),
            {name: float(value) for name, value in metrics.items()},
            export(self.saved, grads, None, self.algorithm),
            before,
            export(self.saved, moved, kept, self.algorithm),
            left,
            self.differentiate.read,
            {size: np.asarray(values) for size, values in norms.items()},
        )


def changed(tree: Any, seed: int) -> Any:
    """The tree with every float changed by more than float32 would round it, by `ROUNDINGS`."""
    draw = np.random.default_rng(seed)

    def change(leaf: Any) -> Any:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        moved = np.asarray(leaf) * (1 + ROUNDINGS * draw.standard_normal(leaf.shape))
        return jax.device_put(moved.astype(leaf.dtype))

    return jax.tree.map(change, tree)


def compare_distances(found: Arrays, exact: Arrays, others: list[Arrays]) -> None:
    """Each array is as close to the exact one as the other ones are, by L2 distance.

    Where these do not differ, as in a gradient that is 0 in exact arithmetic, rounding of the
    largest numbers of all is left.
    """
    assert found.keys() == exact.keys()
    largest = max(np.linalg.norm(value) for value in exact.values())
    for key, expected in exact.items():
        wide = np.asarray(expected, 'float64')
        bound = max(np.linalg.norm(other[key] - wide) for other in others)
        distance = np.linalg.norm(found[key] - wide)
        assert distance <= bound + 1e-6 * largest, (key, distance, bound)


def compare_gradients(ours: Arrays, saved: golden.File, bound: float) -> None:
    """Every gradient that the reference has; what it does not train has none here."""
    rows, gaps = saved.table('grad64'), golden.plain(saved.meta['gap64'])['grad']
    compare_rows(saved, ours, rows, bound)
    for key in ours.keys() - rows.keys():
        assert not np.any(ours[key]), key
    for key, array in saved.group('grad_full').items():  # in float32, as far off as the file says
        distance = np.linalg.norm(ours[key] - array)
        assert distance <= (1.01 * gaps[key] + bound) * np.linalg.norm(array), key


def compare_state(
    ours: Arrays, before: Arrays, saved: golden.File, bound: float, whole: bool = True
) -> None:
    """Everything that the reference changed; all the rest is as it was before."""
    rows = state_rows(saved)
    compare_rows(saved, ours, rows, bound)
    for key in ours.keys() - rows.keys():
        np.testing.assert_array_equal(ours[key], before[key], err_msg=key)
    if whole:
        gaps = golden.plain(saved.meta['gap64'])['after']
        for key, array in saved.group('after_full').items():
            if not key.endswith(UNREAD):
                gap = 1.01 * gaps.get(key, 0.0) + bound
                np.testing.assert_allclose(ours[key], array, rtol=bound, atol=gap, err_msg=key)


def state_rows(saved: golden.File) -> Arrays:
    """The rows of what the reference changed, but for counters that nothing reads."""
    rows = saved.table('after64')
    return {key: row for key, row in rows.items() if not key.endswith(UNREAD)}


def compare_within(norms: Mapping[int, np.ndarray], saved: golden.File, bound: float) -> None:
    """Every tensor that the reference captured on its way is among ours, by size and norm.

    Norms are blind to layout and order, of which gradients and state tell.
    """
    shapes = golden.plain(saved.meta['shapes'])
    left_out = (*CHECKS, *ONLY_THERE.get(saved.meta['model'].get('type'), ()))
    left_out += families.only_there(saved)
    if 'out/queue_after' in saved.arrays:  # made in a branch here, which is not looked into
        left_out += ('codes*',)
    for name, (norm, *_) in saved.table('out64').items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in left_out):
            continue
        ours = norms.get(math.prod(shapes[name]), np.empty(0))
        assert (np.abs(ours - norm) <= bound * max(norm, 1e-12)).any(), (name, shapes[name], norm)


def compare_queue(state: State, saved: golden.File) -> None:
    """SwAV's queue, which the reference keeps in a hook: a float32 array, where a file has one."""
    if 'out/queue_after' in saved.arrays:
        expected = saved.arrays['out/queue_after']  # its newest batch comes first
        ours = np.roll(state['feature_queue'], -int(state['queue_ptr']), axis=1)[:, ::-1]
        np.testing.assert_allclose(ours.reshape(expected.shape), expected, atol=1e-5)


def compare_rows(saved: golden.File, ours: Arrays, rows: Arrays, bound: float) -> None:
    """Every array of a table is as close as `bound`, see `row_errors`."""
    far = {key: error for key, error in row_errors(saved, ours, rows).items() if not error <= bound}
    assert not far, far


def row_errors(
    saved: golden.File, ours: Arrays, rows: Arrays, smallest: float = 1e-6
) -> dict[str, float]:
    """How far each array of a table is off, relative to its norm.

    A row is the norm, the first values and the probe, of which the largest error counts. What is
    smaller than `smallest` of the largest array is measured against that: it may be 0 in exact
    arithmetic, as the gradient of a bias before a batch norm is.
    """
    row = golden.reader(saved.path.parent).row
    assert rows.keys() <= ours.keys(), sorted(rows.keys() - ours.keys())
    floor = smallest * max((expected[0] for expected in rows.values()), default=0.0)
    errors = {}
    for key, expected in rows.items():
        spread = np.ones(10)
        spread[-1] = np.sqrt(ours[key].size)  # the probe adds up the error of every entry
        scale = max(expected[0], floor, np.finfo('float64').tiny)
        errors[key] = float(np.max(np.abs(row(ours[key]) - expected) / spread) / scale)
    return errors


def _image(array: np.ndarray, dtype: str) -> jax.Array:
    return jax.device_put(array.transpose(0, 2, 3, 1).astype(dtype))
