"""MAE in a loop of one's own: encode a quarter of the patches and paint the rest.

    python examples/mae.py --steps=400

He, Chen, Xie, Li, Dollár, Girshick, CVPR 2022, arXiv 2111.06377, on the
embedded handwritten digits.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jssl.augment.masks import random_masking
from jssl.augment.views import View
from jssl.backbones import MAEViT
from jssl.data import TFDS, Canvas, resident
from jssl.layers.patches import patchify
from jssl.losses import explained_variance, masked_patch_error
from jssl.necks import MAEPretrainDecoder

Params = Mapping[str, Any]
BATCH, SIDE, PATCH, WIDTH = 32, 32, 4, 64
PATCHES = (SIDE // PATCH) ** 2
ENCODER = MAEViT(
    arch=dict(embed_dims=WIDTH, num_layers=4, num_heads=4, feedforward_channels=256),
    img_size=SIDE,
    patch_size=PATCH,
)
DECODER = MAEPretrainDecoder(
    num_patches=PATCHES,
    patch_size=PATCH,
    embed_dim=WIDTH,
    decoder_embed_dim=48,
    decoder_depth=1,
    decoder_num_heads=4,
)
VIEW = View(size=SIDE, scale=(0.5, 1.0), flip=0.0, jitter=0.0, gray=0.0, blur=0.0)
OPTIMIZER = optax.adamw(2e-3, b2=0.95, weight_decay=0.05)


def loss_of(params: Params, images: jax.Array, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The error of the hidden patches, and the share of their variance that is explained."""
    ids_keep, ids_restore, mask = random_masking(noise, keep=PATCHES // 4)
    latent: Any = ENCODER.apply({'params': params['encoder']}, images, ids_keep=ids_keep)
    prediction: Any = DECODER.apply({'params': params['decoder']}, latent, ids_restore)
    target = patchify(images, PATCH)
    loss = masked_patch_error(prediction, target, mask)
    return loss, explained_variance(prediction, target, mask)


@jax.jit
def train_step(params: Params, opt_state: Any, key: jax.Array, canvas: Canvas) -> Any:
    """One step: a view of every image, the noise that hides patches, the error, AdamW."""
    view_key, noise_key = jax.random.split(key)
    images = jax.vmap(VIEW)(jax.random.split(view_key, BATCH), canvas)
    noise = jax.random.uniform(noise_key, (BATCH, PATCHES))
    (loss, explained), grads = jax.value_and_grad(loss_of, has_aux=True)(params, images, noise)
    updates, opt_state = OPTIMIZER.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss, explained


@jax.jit
def init(key: jax.Array) -> Params:
    """Fresh parameters of both parts."""
    ids = jnp.arange(PATCHES)[None]
    encoder = ENCODER.init(key, jnp.zeros((1, SIDE, SIDE, 3)), ids_keep=ids[:, : PATCHES // 4])
    latent = jnp.zeros((1, 1 + PATCHES // 4, WIDTH))
    decoder = DECODER.init(jax.random.fold_in(key, 1), latent, ids)
    return {'encoder': encoder['params'], 'decoder': decoder['params']}


def main(argv: Sequence[str] | None = None) -> float:
    """Trains, prints, and gives the last loss."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--steps', type=int, default=400)
    steps = parser.parse_args(argv).steps
    canvases = resident(TFDS('embedded_digits', 'train'), 32)['canvas']
    params, rng = init(jax.random.key(0)), jax.random.key(1)
    opt_state = OPTIMIZER.init(params)
    order, loss = np.random.default_rng(0), jnp.nan
    for step in range(1, steps + 1):
        rows = order.choice(len(canvases.size), BATCH, replace=False)
        canvas = Canvas(canvases.pixels[rows], canvases.size[rows])
        inputs = jax.random.fold_in(rng, step), canvas
        params, opt_state, loss, explained = train_step(params, opt_state, *inputs)
        if step == steps or step % 50 == 0:
            print(f'step {step:4d}  loss {loss:.3f}  variance explained {explained:.2f}')
    return float(loss)


if __name__ == '__main__':
    main()
