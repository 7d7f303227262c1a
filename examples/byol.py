"""BYOL in a loop of one's own: predict a slow teacher's projection of the other view.

    python examples/byol.py --steps=400

Grill et al., NeurIPS 2020, arXiv 2006.07733, on the embedded handwritten digits.
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
from jssl.heads import LatentPredictHead
from jssl.layers.normalize import feature_std
from jssl.losses import byol_regression
from jssl.memories.teacher import cosine_momentum, init_teacher, update_teacher
from jssl.necks import NonLinearNeck
from jssl.networks import Network, each

State = Mapping[str, Any]
BATCH = 64
NETWORK = Network(
    backbone=ResNet(
        depth=10, base_channels=16, strides=(1, 2, 2), out_indices=(3,), cifar_stem=True
    ),
    neck=NonLinearNeck(64, hid_channels=128, out_channels=64, with_last_bn=False),
    head=LatentPredictHead(
        NonLinearNeck(
            64, hid_channels=128, out_channels=64, with_last_bn=False, with_avg_pool=False
        )
    ),
)
VIEW = View(size=24, scale=(0.5, 1.0), flip=0.0, jitter=1.0, saturation=0.0, hue=0.0, gray=0.0)
VIEWS = MultiView(VIEW)
OPTIMIZER = optax.adamw(3e-3, weight_decay=1e-4)


def loss_of(
    params: Any, state: State, views: Sequence[jax.Array], momentum: jax.Array
) -> tuple[jax.Array, Any]:
    """Both orders of equation 2; the state after it, and the spread of the projections."""
    z, stats = each(NETWORK, params, state['batch_stats'], views, method='encode')
    teacher = update_teacher(state['teacher'], params, stats, momentum)
    slow = teacher['params'], teacher['batch_stats']
    targets, teacher['batch_stats'] = each(NETWORK, *slow, views, method='encode')
    first, second = targets
    predictions, stats = each(NETWORK, params, stats, z, method='predict')
    loss = byol_regression(predictions[0], second) + byol_regression(predictions[1], first)
    return loss, ({'batch_stats': stats, 'teacher': teacher}, feature_std(z[0]))


@jax.jit
def train_step(
    params: Any, state: State, opt_state: Any, key: jax.Array, canvas: Canvas, momentum: jax.Array
) -> Any:
    """One step: two views of every image, the regression, AdamW."""
    views = jax.vmap(VIEWS)(jax.random.split(key, BATCH), canvas)['views']
    differentiate = jax.value_and_grad(loss_of, has_aux=True)
    (loss, (state, spread)), grads = differentiate(params, state, views, momentum)
    updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), state, opt_state, loss, spread


def main(argv: Sequence[str] | None = None) -> float:
    """Trains, prints, and gives the last loss."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--steps', type=int, default=400)
    steps = parser.parse_args(argv).steps
    canvases = resident(TFDS('embedded_digits', 'train'), 32)['canvas']
    rng, init_key = jax.random.split(jax.random.key(0))
    variables = jax.jit(NETWORK.init)(init_key, jnp.zeros((2, 24, 24, 3)))
    params, stats = variables['params'], variables['batch_stats']
    opt_state = OPTIMIZER.init(params)
    state: State = {'batch_stats': stats, 'teacher': init_teacher(params, stats)}
    order, loss = np.random.default_rng(0), jnp.nan
    for step in range(1, steps + 1):
        rows = order.choice(len(canvases.size), BATCH, replace=False)
        canvas = Canvas(canvases.pixels[rows], canvases.size[rows])
        momentum = cosine_momentum(step - 1, steps, base=0.97)
        inputs = jax.random.fold_in(rng, step), canvas, momentum
        params, state, opt_state, loss, spread = train_step(params, state, opt_state, *inputs)
        if step == steps or step % 50 == 0:
            print(f'step {step:4d}  loss {loss:.3f}  spread of projections {spread:.3f}')
    return float(loss)


if __name__ == '__main__':
    main()
