"""SimCLR in a loop of one's own: views, network, loss and optimizer are parts like any others.

    python examples/simclr.py --steps=400

Chen, Kornblith, Norouzi, Hinton, ICML 2020, arXiv 2002.05709, on the embedded digits.
It prints the loss, and how well the features tell digits apart that the network has not seen.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jssl.augment.views import CenterView, MultiView, View
from jssl.backbones import ResNet
from jssl.data import TFDS, Canvas, resident
from jssl.evaluation import knn_accuracy
from jssl.losses import nt_xent
from jssl.necks import NonLinearNeck
from jssl.networks import Encoder, evaluate, forward

Tree = Mapping[str, Any]
BATCH = 64
ENCODER = Encoder(
    backbone=ResNet(
        depth=10, base_channels=16, strides=(1, 2, 2), out_indices=(3,), cifar_stem=True
    ),
    neck=NonLinearNeck(in_channels=64, hid_channels=128, out_channels=64),
)
VIEWS = MultiView(View(size=24, scale=(0.5, 1.0), flip=0.0, jitter=0.3, gray=0.0, blur=0.1))
PLAIN = CenterView(size=32, resize=32)
OPTIMIZER = optax.adamw(3e-3, weight_decay=1e-4)


@jax.jit
def train_step(params: Tree, stats: Tree, opt_state: Any, key: jax.Array, canvas: Canvas) -> Any:
    """One step: two views of every image, NT-Xent between them, AdamW."""
    views = jax.vmap(VIEWS)(jax.random.split(key, BATCH), canvas)['views']

    def loss_of(params: Tree) -> tuple[jax.Array, Tree]:
        projections, after = forward(ENCODER, params, stats, jnp.concatenate(views))
        first, second = jnp.split(projections, 2)
        return nt_xent(first, second, temperature=0.1), after

    (loss, stats), grads = jax.value_and_grad(loss_of, has_aux=True)(params)
    updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), stats, opt_state, loss


@jax.jit
def features(params: Tree, stats: Tree, canvas: Canvas) -> jax.Array:
    """What the backbone makes of whole images, (N, 64)."""
    images = jax.vmap(PLAIN)(canvas)
    maps = evaluate(ENCODER.backbone, params['backbone'], stats['backbone'], images)
    return maps[-1].mean((1, 2))


def main(argv: Sequence[str] | None = None) -> float:
    """Trains, prints, and gives the kNN accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--steps', type=int, default=400)
    steps = parser.parse_args(argv).steps
    train, test = (resident(TFDS('embedded_digits', part), 32) for part in ('train', 'test'))
    rng, init_key = jax.random.split(jax.random.key(0))
    variables = jax.jit(ENCODER.init)(init_key, jnp.zeros((2, 24, 24, 3)))
    params, stats = variables['params'], variables['batch_stats']
    opt_state = OPTIMIZER.init(params)
    order = np.random.default_rng(0)
    for step in range(1, steps + 1):
        rows = order.choice(len(train['label']), BATCH, replace=False)
        canvas = Canvas(train['canvas'].pixels[rows], train['canvas'].size[rows])
        key = jax.random.fold_in(rng, step)
        params, stats, opt_state, loss = train_step(params, stats, opt_state, key, canvas)
        if step == steps or step % 50 == 0:
            print(f'step {step:4d}  loss {loss:.3f}')
    found = []
    for data in (train, test):
        canvas = Canvas(data['canvas'].pixels[:1000], data['canvas'].size[:1000])
        found += [features(params, stats, canvas), data['label'][:1000]]
    accuracy = knn_accuracy(*found)
    print(f'kNN accuracy on unseen digits {accuracy:.3f}')
    return accuracy


if __name__ == '__main__':
    main()
