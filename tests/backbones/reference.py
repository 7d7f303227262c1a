"""A backbone's golden file against ours: features, gradients of images and parameters, statistics.

What is differentiated is the sum over all features of sum_i f_i cos(i), flattened as NCHW.
"""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.components import build
from jssl.interop import mmselfsup
from jssl.interop.model_dicts import model_config
from jssl.weights.names import UNREAD
from tests import golden, parity


class Backbone:
    """The network of a file in one precision, its images and what they are differentiated by."""

    def __init__(self, saved: golden.File, dtype: str) -> None:
        self.model = build('backbone', model_config(golden.plain(saved.meta['model'])))
        self.images = jnp.asarray(saved.inputs()['img'].transpose(0, 2, 3, 1), dtype)
        weights = {key: np.asarray(value, dtype) for key, value in saved.state().items()}
        init = functools.partial(self.model.init, train=False)
        shapes = jax.eval_shape(init, jax.random.key(0), self.images)
        stats = {'batch_stats': shapes.get('batch_stats', {})}
        self.params, self.stats = mmselfsup.import_state(weights, shapes['params'], stats)
        total = functools.partial(_total, model=self.model)
        differentiated = jax.value_and_grad(total, (0, 1), has_aux=True)
        self._run = parity.compiled(differentiated, saved.meta, static_argnames='train')

    def __call__(self, train: bool, change: Any = lambda tree: tree) -> tuple[Any, Any, Any]:
        """Outputs with the gradient of the images, those of parameters, the statistics after."""
        params, images = change(self.params), change(self.images)
        stats = change(self.stats['batch_stats'])
        (_, (features, after)), (grads, of_images) = self._run(params, images, stats, train=train)
        outputs = {f'feat{i}': np.asarray(feature) for i, feature in enumerate(features)}
        outputs['input_grad'] = np.asarray(_channels_first(of_images))
        return outputs, mmselfsup.export_state(grads), after


def check(saved: golden.File, network: Backbone, mode: str) -> None:
    """Every number of a file in one mode ('train', 'eval'), which says whose statistics count."""
    outputs, grads, after = network(mode == 'train')
    _compare(saved, outputs, saved.table(f'{mode}64/out'))
    _compare(saved, grads, saved.table(f'{mode}64/grad'))
    if f'{mode}64/after/table' in saved.arrays:
        _compare(saved, _statistics(after), _statistics_rows(saved, mode))
    else:
        jax.tree.map(np.testing.assert_array_equal, after, network.stats['batch_stats'])
    for name, whole in saved.group(mode).items():
        if not name.endswith('/table'):  # whole features, of the float32 run
            np.testing.assert_allclose(outputs[name], whole, rtol=1e-4, atol=1e-4)


def mode_errors(
    saved: golden.File, network: Backbone, mode: str, smallest: float
) -> dict[str, dict[str, float]]:
    """How far features, gradients and statistics are off in one mode, see `parity.row_errors`."""
    outputs, grads, after = network(mode == 'train')
    tables = {
        'features': (outputs, saved.table(f'{mode}64/out')),
        'gradients': (grads, saved.table(f'{mode}64/grad')),
    }
    if f'{mode}64/after/table' in saved.arrays:
        tables['state'] = (_statistics(after), _statistics_rows(saved, mode))
    return {
        name: parity.row_errors(saved, ours, rows, smallest)
        for name, (ours, rows) in tables.items()
    }


def _statistics(after: Any) -> parity.Arrays:
    return mmselfsup.export_state({}, {'batch_stats': after})


def _statistics_rows(saved: golden.File, mode: str) -> parity.Arrays:
    rows = saved.table(f'{mode}64/after')
    return {key: row for key, row in rows.items() if not key.endswith(UNREAD)}


def check_features(saved: golden.File, network: Backbone) -> None:
    """The features in eval mode alone."""
    variables = {'params': network.params, **network.stats}
    features = jax.jit(functools.partial(network.model.apply, train=False))(
        variables, network.images
    )
    found = {f'feat{i}': np.asarray(_channels_first(x)) for i, x in enumerate(features)}
    rows = saved.table('eval64/out')
    rows = {name: row for name, row in rows.items() if name != 'input_grad'}
    _compare(saved, found, rows)


def check_float32(saved: golden.File) -> None:
    """Float32 errs less than what it rounds moves in float64, see `tests.test_parity`."""
    with jax.enable_x64(True):
        wide = Backbone(saved, 'float64')
        exact = wide(True)
        others = [wide(True, functools.partial(parity.changed, seed=seed)) for seed in (0, 1)]
    found = Backbone(saved, 'float32')(True)
    for part in (0, 1):
        parity.compare_distances(found[part], exact[part], [other[part] for other in others])


def _total(params: Any, images: jax.Array, stats: Any, model: nn.Module, train: bool) -> Any:
    variables = {'params': params, 'batch_stats': stats}
    features, updates = model.apply(variables, images, train, mutable=['batch_stats'])
    flat = [_channels_first(feature) for feature in jax.tree.leaves(features)]
    scalar = sum(jnp.sum(x.ravel() * jnp.cos(jnp.arange(x.size))) for x in flat)
    return scalar, (flat, updates.get('batch_stats', {}))


def _channels_first(feature: jax.Array) -> jax.Array:
    return feature.transpose(0, 3, 1, 2) if feature.ndim == 4 else feature


def _compare(saved: golden.File, ours: parity.Arrays, rows: parity.Arrays) -> None:
    assert rows.keys() == ours.keys()
    parity.compare_rows(saved, ours, rows, 1e-6)
