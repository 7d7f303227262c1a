"""Tiny runs of any algorithm: images of coarse patches and a backbone of one convolution."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jssl.algorithm import Algorithm, Batch, Run, TrainState
from jssl.data import Canvas
from jssl.heads import GramAnchoring
from jssl.training import sharding
from jssl.training.step import Step, init_train_state, make_train_step, make_views
from tests.algorithms.tiny_masked import (
    tiny_cae,
    tiny_dinov2,
    tiny_dinov3,
    tiny_ibot,
    tiny_ijepa,
    tiny_mae,
    tiny_maskfeat,
    tiny_msn,
    tiny_simmim,
)
from tests.algorithms.tiny_models import (
    BATCH,
    IMAGES,
    SIDE,
    WIDTH,
    Stem,
    tiny_barlow_twins,
    tiny_byol,
    tiny_dcl,
    tiny_deepcluster,
    tiny_densecl,
    tiny_dino,
    tiny_lejepa,
    tiny_moco,
    tiny_mocov3,
    tiny_nnclr,
    tiny_npid,
    tiny_odc,
    tiny_relative_loc,
    tiny_rotation_pred,
    tiny_simclr,
    tiny_simsiam,
    tiny_swav,
    tiny_symmetric_moco,
    tiny_tico,
    tiny_vicreg,
)
from tests.checks import widened

OPTIMIZER = optax.sgd(0.003, momentum=0.5)


RUN = Run(samples=IMAGES, steps_per_epoch=IMAGES // BATCH, epochs=4)


# What the tests of devices and of resuming run through.
ALGORITHMS: dict[str, Callable[[], Algorithm]] = {
    'BYOL': tiny_byol,
    'BarlowTwins': functools.partial(
        tiny_barlow_twins, bn_group_size=8, off_diagonal_weight=1.0, loss_weight=0.1
    ),
    'CAE': tiny_cae,
    'DCL': functools.partial(tiny_dcl, sigma=0.5),
    'DINO': tiny_dino,
    'DINOv2': tiny_dinov2,
    'DINOv3': functools.partial(tiny_dinov3, GramAnchoring(copy_epochs=(1.0,))),
    'DeepCluster': functools.partial(tiny_deepcluster, reweight=True),
    # A ReLU leaves cells with one channel; as unit vectors they are equal, and rounding decides
    # which of them is the most similar.
    'DenseCL': functools.partial(tiny_densecl, Stem(activation=nn.softplus), start_iters=2),
    'LeJEPA': functools.partial(tiny_lejepa, weight=0.5),
    'IBOT': tiny_ibot,
    'IJEPA': tiny_ijepa,
    'MAE': tiny_mae,
    'MaskFeat': tiny_maskfeat,
    'MoCo': functools.partial(tiny_moco, Stem(bn_group_size=4)),
    'MoCoV3': tiny_mocov3,
    'MSN': tiny_msn,
    'NNCLR': tiny_nnclr,
    'NPID': functools.partial(tiny_npid, ensure_neg=True),
    'ODC': tiny_odc,
    'RelativeLoc': functools.partial(tiny_relative_loc, Stem(bn_group_size=16)),
    'RotationPred': tiny_rotation_pred,
    'SimCLR': tiny_simclr,
    'SimMIM': tiny_simmim,
    'SimSiam': tiny_simsiam,
    'SwAV': functools.partial(tiny_swav, queue_length=2 * BATCH, queue_start_epoch=0),
    'SymmetricMoCo': functools.partial(tiny_symmetric_moco, Stem(bn_group_size=4)),
    'TiCo': tiny_tico,
    'VICReg': tiny_vicreg,
}


# How many views of an image they take, where these are not two.
VIEWS = {
    'DINO': 3,
    'DINOv2': 3,
    'DINOv3': 3,
    'DeepCluster': 1,
    'LeJEPA': 3,
    'IBOT': 3,
    'IJEPA': 1,
    'MAE': 1,
    'MaskFeat': 1,
    'MSN': 3,
    'NPID': 1,
    'ODC': 1,
    'RelativeLoc': 9,
    'RotationPred': 4,
    'SimMIM': 1,
}


def tinted(key: jax.Array, canvas: Canvas, copies: int = 2) -> dict[str, Any]:
    """Views that compile in no time: the image with its colours made fainter at random."""
    tints = jax.random.uniform(key, (copies, 1, 1, 3), minval=0.5)
    pixels = canvas.pixels / 128 - 1
    return {'views': tuple(pixels * tint for tint in tints)}


def views_for(algorithm: Algorithm) -> Callable[[jax.Array, Canvas], dict[str, Any]]:
    return functools.partial(tinted, copies=VIEWS.get(type(algorithm).__name__, 2))


@functools.cache
def images() -> np.ndarray:
    """Images of sixteen patches."""
    patches = np.random.default_rng(0).integers(0, 256, (IMAGES, 4, 4, 3), 'uint8')
    return patches.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)


def batch(step: int) -> dict[str, Any]:
    """What a loader gives for a step."""
    index = (np.arange(BATCH, dtype='int32') + step * BATCH) % IMAGES
    size = np.full((BATCH, 2), SIDE, 'int32')
    return {'index': index, 'canvas': Canvas(images()[index], size)}


def seen(step: int = 0, copies: int = 2) -> Batch:
    """A batch as `loss` takes it, before `draw`."""
    views = functools.partial(tinted, copies=copies)
    return {**make_views(views, jax.random.key(step), batch(step)), 'step': jnp.array(step)}


@functools.cache
def tiny(name: str) -> Algorithm:
    """The algorithm in a run of 12 steps."""
    return dataclasses.replace(ALGORITHMS[name](), run=RUN)


def begin(algorithm: Algorithm, seed: int = 0) -> TrainState:
    """The state before the first step."""
    views = views_for(algorithm)
    start = functools.partial(init_train_state, algorithm, views, OPTIMIZER, seed=seed)
    state = jax.jit(start)(batch(0))
    if not algorithm.refreshes(0):
        return state
    features = jax.random.normal(jax.random.key(1), (IMAGES, WIDTH))
    params, memory = jax.jit(algorithm.refresh)(state.params, state.state, features, state.rng)
    return state.replace(params=params, state=memory)


def check_predictions(
    algorithm: Algorithm, state: TrainState, views: tuple[jax.Array, ...], classes: int
) -> None:
    """Logits of that many classes, in eval mode: of an image whatever the others of the batch."""
    assert algorithm.predicts == 'targets'
    predict = jax.jit(algorithm.predict)
    logits = predict(state.params, state.state, {'views': views})
    assert logits.shape == (len(views[0]), classes)
    others = {'views': tuple(view.at[1:].set(0) for view in views)}
    again = predict(state.params, state.state, others)
    np.testing.assert_allclose(again[0], logits[0], atol=1e-6)


@functools.cache
def first_state(name: str) -> TrainState:
    """The state before the first step, on the host; `placed` gives what may be donated."""
    none: Any = None
    return widened(jax.device_get(dataclasses.replace(begin(tiny(name)), rng=none)))


def placed(name: str, devices: int, fsdp: int = 1) -> TrainState:
    """The state before the first step on so many devices, in float64."""
    state = jax.tree.map(np.copy, first_state(name)).replace(rng=jax.random.key(5))
    mesh = sharding.make_mesh(devices=devices, fsdp=fsdp)
    return jax.device_put(state, sharding.state_shardings(state, mesh))


@functools.cache
def step(name: str, devices: int, accumulate: int = 1, fsdp: int = 1) -> Step:
    """The step on so many devices, compiled once for all tests."""
    mesh = sharding.make_mesh(devices=devices, fsdp=fsdp)
    shardings = sharding.state_shardings(placed(name, 1), mesh)
    views = views_for(tiny(name))
    return make_train_step(tiny(name), views, OPTIMIZER, shardings=shardings, accumulate=accumulate)


def advance(
    name: str,
    devices: int,
    state: TrainState,
    steps: range,
    accumulate: int = 1,
    fsdp: int = 1,
) -> tuple[TrainState, list[float]]:
    """The state after those steps, and their losses."""
    mesh, losses = sharding.make_mesh(devices=devices, fsdp=fsdp), []
    for number in steps:
        train = step(name, devices, accumulate, fsdp)
        state, metrics = train(state, sharding.put_batch(batch(number), mesh))
        losses.append(float(metrics['loss']))
    return state, losses
