"""What MAE's encoder saves by seeing a quarter of the patches, and what a step needs.

    python -m experiments.mae --arch=small --batch=4
    python -m experiments.mae --arch=large --batch=64 --dtype=bfloat16 --json    # on a GPU

Times the encoder, forward and backward, on 25 % and on 100 % of the patches, in alternating blocks;
then whole train steps (decoder and AdamW too) with and without rematerialisation, and with the
blocks as a loop.
"""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.reporting import mebibytes, positive, processor, show, show_json
from experiments.throughput_measure import memory
from jssl.algorithm import Batch, Params, TrainState
from jssl.algorithms import MAE
from jssl.backbones import MAEViT
from jssl.data import Canvas
from jssl.errors import JsslError
from jssl.heads import MAEPretrainHead
from jssl.necks import MAEPretrainDecoder
from jssl.runs.workdir import versions
from jssl.training.huge_pages import restart_with_huge_pages
from jssl.training.step import init_train_state, make_train_step

SHARES = (0.25, 1.0)  # of the patches that the encoder sees
OPTIMIZER = optax.adamw(1e-4)
# How the blocks of encoder and decoder are computed in a whole step.
STEPS: dict[str, dict[str, Any]] = {
    'kept': {},
    'remat': {'remat': True},
    'scan': {'scan_layers': True},
    'scan_remat': {'scan_layers': True, 'remat': True},
}
ROWS = {
    'kept': 'activations kept',
    'remat': 'rematerialised',
    'scan': 'a loop, activations kept',
    'scan_remat': 'a loop, rematerialised',
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what the arguments describe; returns the exit status, 2 for bad input."""
    options = parser().parse_args(argv)
    sizes = {'img_size': options.image, 'patch_size': options.patch, 'dtype': options.dtype}
    try:
        numbers = measure(options.arch, options.batch, options.blocks, **sizes)
    except JsslError as error:
        print(f'mae: {error}', file=sys.stderr)
        return 2
    show(f'MAE, ViT {options.arch}, batch {options.batch}, {options.image} px', table(numbers))
    if options.json:
        show_json(numbers)
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line."""
    result = argparse.ArgumentParser(
        'experiments.mae',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument('--arch', default='small', help='small, base, large or huge')
    result.add_argument('--image', type=positive, default=224, help='side of the images in pixels')
    result.add_argument('--patch', type=positive, default=16, help='side of a patch in pixels')
    result.add_argument('--batch', type=positive, default=8, help='images in a step')
    result.add_argument('--blocks', type=positive, default=5, help='timed runs of each case')
    result.add_argument('--dtype', default='float32', help='of the computation, or bfloat16')
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    return result


def measure(
    arch: str | Mapping[str, int],
    batch: int,
    blocks: int,
    decoder: Mapping[str, int] | None = None,
    **sizes: Any,
) -> dict[str, Any]:
    """Times of the encoder and of whole steps.

    Args:
      arch: of `MAEViT`.
      batch: images in a step.
      blocks: timed runs of each case.
      decoder: fields of `MAEPretrainDecoder` other than the reference's.
      sizes: img_size, patch_size and dtype of `MAEViT`.
    """
    images = jax.random.normal(jax.random.key(0), (batch, sizes['img_size'], sizes['img_size'], 3))
    backbone = MAEViT(arch, **sizes)
    encoder = jax.jit(functools.partial(backbone.init, jax.random.key(0)))(images)['params']
    passes = [encoder_pass(backbone, encoder, images, share) for share in SHARES]
    seconds = alternate(passes, blocks)
    del encoder, passes
    ratios = [few / many for few, many in zip(*seconds, strict=True)]
    steps = {
        name: whole_step(
            model(MAEViT(arch, **how, **sizes), {**how, **(decoder or {})}), batch, blocks
        )
        for name, how in STEPS.items()
    }
    return {
        'encoder_ms': [1e3 * statistics.median(block) for block in seconds],
        'encoder_ratio': statistics.median(ratios),
        'encoder_ratios': [min(ratios), max(ratios)],
        'steps': steps,
        'device': jax.devices()[0].device_kind,
        'processor': processor(),
        'versions': versions(),
    }


def encoder_pass(
    backbone: MAEViT, params: Params, images: jax.Array, share: float
) -> Callable[[], Any]:
    """The gradient of the encoder's parameters on a share of the patches, compiled."""
    patches = (images.shape[1] // backbone.patch_size) ** 2
    ids_keep = jnp.tile(jnp.arange(int(share * patches)), (len(images), 1))

    def total(params: Params, images: jax.Array, ids_keep: jax.Array) -> jax.Array:
        latent: Any = backbone.apply({'params': params}, images, ids_keep=ids_keep)
        return jnp.sum(latent.astype(jnp.float32) ** 2)

    inputs = (params, images, ids_keep)
    return functools.partial(jax.jit(jax.grad(total)).lower(*inputs).compile(), *inputs)


def alternate(actions: Sequence[Callable[[], Any]], blocks: int) -> list[list[float]]:
    """Seconds of each action in each block, after a round that is not counted."""
    seconds: list[list[float]] = [[] for _ in actions]
    for _ in range(blocks + 1):
        for found, action in zip(seconds, actions, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(action())
            found.append(time.perf_counter() - start)
    return [found[1:] for found in seconds]


def model(backbone: MAEViT, decoder: Mapping[str, int]) -> MAE:
    """MAE on normalised patches, its decoder as the backbone needs it."""
    patches = (backbone.img_size // backbone.patch_size) ** 2
    fields: dict[str, Any] = {
        'num_patches': patches,
        'patch_size': backbone.patch_size,
        'embed_dim': backbone.size.embed_dims,
        'dtype': backbone.dtype,
    }
    neck = MAEPretrainDecoder(**fields | dict(decoder))
    return MAE(backbone, neck, MAEPretrainHead(True, backbone.patch_size))


def initial(algorithm: MAE, batch: int) -> TrainState:
    """A train state before its first step."""
    start = functools.partial(init_train_state, algorithm, as_it_is, OPTIMIZER, seed=0)
    return jax.jit(start)(gray(algorithm, batch))


def gray(algorithm: MAE, batch: int) -> Batch:
    """A batch of grey canvases."""
    side = algorithm.backbone.img_size
    pixels = jnp.full((batch, side, side, 3), 128, jnp.uint8)
    size = jnp.full((batch, 2), side, jnp.int32)
    return {'canvas': Canvas(pixels, size), 'index': jnp.arange(batch)}


def whole_step(algorithm: MAE, batch: int, blocks: int) -> dict[str, float]:
    """Images per second and memory of a train step."""
    train_state, inputs = initial(algorithm, batch), gray(algorithm, batch)
    step: Any = make_train_step(algorithm, as_it_is, OPTIMIZER)
    compiled = step.lower(train_state, inputs).compile()
    seconds = []
    for _ in range(blocks + 1):
        begin = time.perf_counter()
        train_state, _ = jax.block_until_ready(compiled(train_state, inputs))
        seconds.append(time.perf_counter() - begin)
    median = statistics.median(seconds[1:])
    used = memory(compiled, jax.devices()[:1])
    return {'step_ms': 1e3 * median, 'images_per_second': batch / median} | used


def as_it_is(key: jax.Array, canvas: Canvas) -> dict[str, Any]:
    """One view: the canvas itself, from -1 to 1."""
    del key
    return {'views': (canvas.pixels / 127.5 - 1,)}


def table(numbers: dict[str, Any]) -> dict[str, str]:
    """The rows that a person reads."""
    few, many = numbers['encoder_ms']
    lowest, highest = numbers['encoder_ratios']
    rows = {
        'encoder, 25 % of the patches': f'{few:,.1f} ms',
        'encoder, 100 % of the patches': f'{many:,.1f} ms',
        'ratio': f'{numbers["encoder_ratio"]:.2f} ({lowest:.2f} to {highest:.2f})',
    }
    for name, step in numbers['steps'].items():
        rows[f'step, {ROWS[name]}'] = (
            f'{step["images_per_second"]:,.1f} images per second, '
            f'{mebibytes(step["program_bytes"])} by XLA; peak so far '
            f'{mebibytes(step["peak_bytes"])} ({step["peak_of"]})'
        )
    return rows | {'machine': f'{numbers["device"]}, host {numbers["processor"]}'}


if __name__ == '__main__':
    restart_with_huge_pages()
    sys.exit(main())
