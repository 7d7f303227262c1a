"""MoCo in a loop of one's own: a slow teacher, and a queue of its keys as negatives.

    python examples/moco.py --steps=400

He, Fan, Wu, Xie, Girshick, CVPR 2020, arXiv 1911.05722, on the embedded handwritten digits.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jssl.augment.views import MultiView, View
from jssl.backbones import ResNet
from jssl.data import TFDS, Canvas, resident
from jssl.layers.normalize import l2_normalize
from jssl.losses import contrast_accuracy, info_nce, queue_similarities
from jssl.memories.queue import enqueue, init_queue
from jssl.memories.teacher import init_teacher, update_teacher
from jssl.necks import MoCoV2Neck
from jssl.networks import Encoder, forward

State = Mapping[str, Any]
BATCH, WIDTH, QUEUE = 64, 64, 1024
ENCODER = Encoder(
    backbone=ResNet(
        depth=10, base_channels=16, strides=(1, 2, 2), out_indices=(3,), cifar_stem=True
    ),
    neck=MoCoV2Neck(in_channels=64, hid_channels=128, out_channels=WIDTH),
)
VIEWS = MultiView(View(size=24, scale=(0.5, 1.0), flip=0.0, jitter=0.3, gray=0.0, blur=0.1))
OPTIMIZER = optax.sgd(0.06, momentum=0.9)


def loss_of(params: Any, state: State, views: Sequence[jax.Array]) -> tuple[jax.Array, Any]:
    """InfoNCE of queries and keys against the queue; the state after it, and a metric."""
    query, stats = forward(ENCODER, params, state['batch_stats'], views[0])
    teacher = update_teacher(state['teacher'], params, stats, momentum=0.99)
    key, slow_stats = forward(ENCODER, teacher['params'], teacher['batch_stats'], views[1])
    query, key = l2_normalize(query), l2_normalize(key)
    loss = info_nce(query, key, state['queue'], temperature=0.2)
    queue, pointer = enqueue(state['queue'], state['pointer'], key)
    teacher = {**teacher, 'batch_stats': slow_stats}
    after = {'batch_stats': stats, 'teacher': teacher, 'queue': queue, 'pointer': pointer}
    return loss, (after, contrast_accuracy(*queue_similarities(query, key, state['queue'])))


@jax.jit
def train_step(params: Any, state: State, opt_state: Any, key: jax.Array, canvas: Canvas) -> Any:
    """One step: a query and a key of every image, InfoNCE, SGD."""
    views = jax.vmap(VIEWS)(jax.random.split(key, BATCH), canvas)['views']
    differentiate = jax.value_and_grad(loss_of, has_aux=True)
    (loss, (state, accuracy)), grads = differentiate(params, state, views)
    updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), state, opt_state, loss, accuracy


def main(argv: Sequence[str] | None = None) -> float:
    """Trains, prints, and gives the last loss."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--steps', type=int, default=400)
    steps = parser.parse_args(argv).steps
    canvases = resident(TFDS('embedded_digits', 'train'), 32)['canvas']
    rng, init_key, queue_key = jax.random.split(jax.random.key(0), 3)
    variables = jax.jit(ENCODER.init)(init_key, jnp.zeros((2, 24, 24, 3)))
    params, stats = variables['params'], variables['batch_stats']
    opt_state = OPTIMIZER.init(params)
    state: State = {
        'batch_stats': stats,
        'teacher': init_teacher(params, stats),
        'queue': init_queue(queue_key, QUEUE, WIDTH),
        'pointer': jnp.zeros((), jnp.int32),
    }
    order, loss = np.random.default_rng(0), jnp.nan
    for step in range(1, steps + 1):
        rows = order.choice(len(canvases.size), BATCH, replace=False)
        canvas = Canvas(canvases.pixels[rows], canvases.size[rows])
        key = jax.random.fold_in(rng, step)
        params, state, opt_state, loss, found = train_step(params, state, opt_state, key, canvas)
        if step == steps or step % 50 == 0:
            print(f'step {step:4d}  loss {loss:.3f}  its own key found {found:.0%}')
    return float(loss)


if __name__ == '__main__':
    main()
