"""A backbone's golden file against ours: features, gradients of images and parameters, statistics.

What is differentiated is the sum over all features of sum_i f_i cos(i), flattened as NCHW.
"""

import functools
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.components import build
from jssl.interop import mmselfsup
from jssl.interop.model_dicts import model_config
from tests import parity


def check(golden: Path, case: str, mode: str, dtype: str, grad_bound: float) -> None:
    """Every number of a case in one mode ('train', 'eval') and precision.

    Args:
      golden: the folder of reference numbers.
      case: the file's name without `backbone_`.
      mode: whose batch statistics normalise.
      dtype: of parameters, images and computation.
      grad_bound: of gradients, relative to a tensor's norm.
    """
    saved = parity.reference(golden, f'backbone_{case}')
    run = mode + ('64' if dtype == 'float64' else '')
    with jax.enable_x64(dtype == 'float64'):
        outputs, grads, before, after = _differentiate(saved, mode == 'train', dtype)
    _compare(outputs, saved.table(f'{run}/out'), {'input_grad': grad_bound})
    _compare(grads, saved.table(f'{run}/grad'), dict.fromkeys(grads, grad_bound))
    if f'{run}/after' in saved.meta['tables']:
        rows = saved.table(f'{run}/after').items()
        rows = {key: row for key, row in rows if not key.endswith('num_batches_tracked')}
        _compare(mmselfsup.export_state({}, {'batch_stats': after}), rows, {})
    else:
        jax.tree.map(np.testing.assert_array_equal, after, before)
    name, whole = next((key, x) for key, x in saved.group(mode).items() if key.startswith('feat'))
    np.testing.assert_allclose(outputs[name], whole, rtol=1e-4, atol=1e-4)


def _differentiate(saved: Any, train: bool, dtype: str) -> tuple[Any, Any, Any, Any]:
    """Outputs and the image's gradient by name, parameters' gradients, statistics before, after."""
    model = build('backbone', model_config(saved.meta['model']))
    images = jnp.asarray(saved.inputs()['img'].transpose(0, 2, 3, 1), dtype)
    weights = {key: np.asarray(value, dtype) for key, value in saved.state().items()}
    shapes = jax.eval_shape(lambda key: model.init(key, images, train=False), jax.random.key(0))
    stats = {'batch_stats': shapes.get('batch_stats', {})}
    params, stats = mmselfsup.import_state(weights, shapes['params'], stats)
    total = functools.partial(_total, model=model, train=train)
    run = jax.jit(jax.value_and_grad(total, (0, 1), has_aux=True))
    (_, (features, after)), (grads, image_grad) = run(params, images, stats['batch_stats'])
    names = (name for name in saved.meta['tables']['train/out'] if name != 'input_grad')
    outputs = dict(zip(names, map(np.asarray, features), strict=True))
    outputs['input_grad'] = np.asarray(_channels_first(image_grad))
    return outputs, mmselfsup.export_state(grads), stats['batch_stats'], after


def _total(params: Any, images: jax.Array, stats: Any, model: nn.Module, train: bool) -> Any:
    variables = {'params': params, 'batch_stats': stats}
    features, updates = model.apply(variables, images, train, mutable=['batch_stats'])
    flat = [_channels_first(feature) for feature in jax.tree.leaves(features)]
    scalar = sum(jnp.sum(x.ravel() * jnp.cos(jnp.arange(x.size))) for x in flat)
    return scalar, (flat, updates.get('batch_stats', {}))


def _channels_first(feature: jax.Array) -> jax.Array:
    return feature.transpose(0, 3, 1, 2) if feature.ndim == 4 else feature


def _compare(
    ours: dict[str, np.ndarray], rows: dict[str, np.ndarray], bounds: dict[str, float]
) -> None:
    """Norm, first values and probe, by distance relative to the norm; within 1e-6 by default."""
    from weights import row  # the golden folder's own reader, put on the path by its fixture

    assert rows.keys() == ours.keys()
    largest = max(expected[0] for expected in rows.values())
    for key, expected in rows.items():
        difference = np.abs(row(ours[key]) - expected)
        spread = np.ones(10)
        spread[-1] = np.sqrt(ours[key].size)  # the probe adds up the error of every entry
        floor = 1e-12 * largest * np.sqrt(ours[key].size)  # where all is 0 in exact arithmetic
        bound = bounds.get(key, 1e-6) * spread * expected[0] + floor
        assert (difference <= bound).all(), (key, difference / expected[0])
