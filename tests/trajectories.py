"""How a golden file of several steps is trained, with the optimizer that it says."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jssl.algorithm import Algorithm
from jssl.components import build
from jssl.optim.optimizers import make_optimizer
from tests import families, golden, parity


def transformation(saved: golden.File, algorithm: Algorithm) -> optax.GradientTransformation:
    """The optimizer of a trajectory; its rate changes by step where the file says so."""
    if parity.is_of_family(saved):
        return families.transformation(saved, algorithm)
    settings = saved.meta['optim']
    groups = golden.plain(settings.get('paramwise_cfg', {}).get('custom_keys', {}))
    names = saved.meta['param_groups']
    groups = {key: group for key, group in groups.items() if any(key in name for name in names)}
    clip = settings.get('clip_grad', {}).get('max_norm')
    fields = {**golden.plain(settings['optimizer']), 'custom_keys': groups, 'clip': clip}
    optimizer = build('optimizer', fields)

    def schedule(base_lr: float, **length: int) -> Any:
        del length
        rates = np.asarray(saved.meta['lrs'] or [optimizer.lr] * saved.meta['steps'])
        return lambda step: jnp.asarray(base_lr / optimizer.lr * rates)[step]

    length = {'steps_per_epoch': 1, 'epochs': saved.meta['steps']}
    return make_optimizer(optimizer, schedule, **length, is_frozen=algorithm.is_frozen)


def train(saved: golden.File, dtype: str) -> tuple[list[float], parity.Arrays, parity.Arrays]:
    """The losses of a trajectory, and everything before its first and after its last step.

    Args:
      saved: the file.
      dtype: of images, weights and state; float64 needs JAX's 64 bits switched on.
    """
    algorithm = parity.algorithm(saved)
    optimizer = transformation(saved, algorithm)
    batches = [
        parity.batch(saved, parity.step_inputs(saved, step), dtype, step)
        for step in range(saved.meta['steps'])
    ]
    params, state = parity.start(saved, algorithm, batches[0], dtype)
    before = parity.export(saved, params, state, algorithm)
    opt_state = optimizer.init(params)
    differentiate = parity.Differentiated(
        algorithm, saved.meta
    )  # as of a single step: compiled once for both
    follow = jax.jit(algorithm.after_step)

    @jax.jit
    def update(params: Any, opt_state: Any, grads: Any) -> Any:
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    losses = []
    # What follows a step of SwAV opens the next one there, so its prototypes are saved before it.
    opens = saved.meta['model'].get('type') == 'SwAV'
    for batch in batches:
        if opens:
            params, state = follow(params, state, batch['step'])
        if saved.meta['model'].get('type') == 'ODC':  # whose labels follow from the steps before
            labels = algorithm.cluster_labels(state)
            assert labels is not None
            batch = {**batch, 'target': labels[batch['index']]}
        (loss, (state, *_)), grads = differentiate(params, state, batch)
        params, opt_state = update(params, opt_state, grads)
        if not opens:
            params, state = follow(params, state, batch['step'])
        losses.append(float(loss))
    parity.compare_queue(state, saved)
    return losses, before, parity.export(saved, params, state, algorithm)
