"""What holds for every algorithm that compares two views of an image."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Algorithm
from jssl.algorithms import BYOL, DenseCL, MoCo, MoCoV3, SimSiam
from jssl.backbones import MoCoV3ViT, ResNet
from jssl.heads import ContrastiveHead, LatentPredictHead, MoCoV3Head
from jssl.necks import DenseCLNeck, LinearNeck, MoCoV2Neck, NonLinearNeck
from tests.algorithms import runs, tiny_models
from tests.checks import assert_trees_close, refused

# The batch of shuffled, grouped statistics is a matter of order; see test_moco.py for it.
BUILDERS = {**runs.ALGORITHMS, 'MoCo': tiny_models.tiny_moco}
METRICS = {
    'BYOL': {'momentum', 'feature_std'},
    'DenseCL': {
        'accuracy',
        'loss_single',
        'loss_dense',
        'queue_fill',
        'queue_norm',
        'queue2_norm',
    },
    'MoCo': {'accuracy', 'queue_fill', 'queue_norm'},
    'MoCoV3': {'accuracy', 'momentum', 'feature_std'},
    'SimCLR': {'accuracy'},
    'SimSiam': {'feature_std'},
}


@functools.cache
def algorithm(name: str) -> Algorithm:
    return dataclasses.replace(BUILDERS[name](), run=runs.RUN)


@functools.cache
def start(name: str) -> tuple[Any, Any]:
    return jax.jit(algorithm(name).init)(jax.random.key(0), runs.seen())


@functools.cache
def compiled(name: str) -> Any:
    return jax.jit(algorithm(name).loss)


@pytest.mark.parametrize('name', METRICS)
def test_the_order_of_the_images_does_not_matter(name: str) -> None:
    views, order = runs.seen()['views'], np.random.default_rng(0).permutation(tiny_models.BATCH)
    loss, (state, metrics) = compiled(name)(*start(name), {**runs.seen(), 'views': views})
    reordered = tuple(view[order] for view in views)
    other, (other_state, _) = compiled(name)(*start(name), {**runs.seen(), 'views': reordered})
    assert float(other) == pytest.approx(float(loss), rel=1e-5)
    assert_trees_close(other_state['batch_stats'], state['batch_stats'], atol=1e-5)
    assert metrics.keys() == METRICS[name]
    assert all(np.shape(value) == () for value in metrics.values())


@pytest.mark.parametrize('name', METRICS)
def test_the_state_keeps_its_form_and_changes_in_every_part(name: str) -> None:
    params, state = start(name)
    _, (after, _) = compiled(name)(params, state, runs.seen())
    same = jax.tree.map(
        lambda old, new: (old.shape, old.dtype) == (new.shape, new.dtype), state, after
    )
    assert all(jax.tree.leaves(same))
    for part in state:
        changed = jax.tree.map(lambda old, new: bool(np.any(old != new)), state[part], after[part])
        assert any(jax.tree.leaves(changed)), part


@pytest.mark.parametrize('name', METRICS)
@pytest.mark.parametrize('copies', [1, 3])
def test_two_views_are_needed(name: str, copies: int) -> None:
    views = (runs.seen()['views'][0],) * copies
    with refused(name, 'two views', f'got {copies}', 'copies=2'):
        jax.eval_shape(algorithm(name).loss, *start(name), {'views': views})


@pytest.mark.parametrize('name', sorted(METRICS.keys() - {'SimCLR'}))
def test_bfloat16_compute_keeps_loss_and_state_in_float32(name: str) -> None:
    half = tiny_models.Stem(dtype=jnp.bfloat16)
    built = dataclasses.replace(getattr(runs, f'tiny_{name.lower()}')(half), run=runs.RUN)
    loss, (after, metrics) = jax.eval_shape(built.loss, *start(name), runs.seen())
    floats = [leaf for leaf in jax.tree.leaves((loss, after, metrics)) if leaf.dtype != 'int32']
    assert {leaf.dtype for leaf in floats} == {jnp.dtype('float32')}


def projector(widths: tuple[int, int, int], num_layers: int = 2, **fields: Any) -> NonLinearNeck:
    return NonLinearNeck(*widths, num_layers, **fields)


def predictor(widths: tuple[int, int, int], **fields: Any) -> NonLinearNeck:
    return projector(widths, with_avg_pool=False, **fields)


def byol() -> BYOL:
    biased = {'with_bias': True, 'with_last_bn': False}
    head = LatentPredictHead(predictor((256, 4096, 256), **biased))
    return BYOL(ResNet(50), projector((2048, 4096, 256), **biased), head)


def simsiam() -> SimSiam:
    small = predictor((2048, 512, 2048), with_last_bn=False, with_last_bias=True)
    neck = projector((2048, 2048, 2048), 3, with_last_bn_affine=False)
    return SimSiam(ResNet(50), neck, LatentPredictHead(small))


def mocov3() -> MoCoV3:
    head = MoCoV3Head(predictor((256, 4096, 256), with_last_bn=False))
    return MoCoV3(ResNet(50), projector((2048, 4096, 256), with_last_bn_affine=False), head)


def mocov3_vit(arch: str, width: int) -> MoCoV3:
    plain = {'with_last_bn_affine': False}
    neck = projector((width, 4096, 256), 3, vit_backbone=True, with_avg_pool=False, **plain)
    head = MoCoV3Head(predictor((256, 4096, 256), **plain), temperature=0.2, loss_weight=0.4)
    return MoCoV3(MoCoV3ViT(arch, stop_grad_conv1=True), neck, head)


def moco(neck: Any) -> MoCo:
    return MoCo(ResNet(50), neck, ContrastiveHead())


def densecl() -> DenseCL:
    return DenseCL(ResNet(50), DenseCLNeck(2048, 2048, 128), ContrastiveHead())


@pytest.mark.parametrize(
    ('built', 'count'),
    [
        (byol(), 68_024_448),
        (simsiam(), 38_199_360),
        (mocov3(), 68_012_160),
        (mocov3_vit('mocov3-small', 384), 84_266_752),
        (mocov3_vit('base', 768), 215_678_464),
        (mocov3_vit('large', 1024), 652_781_568),
        (moco(LinearNeck(2048, 128)), 47_540_608),
        (moco(MoCoV2Neck(2048, 2048, 128)), 55_933_312),
        (densecl(), 64_850_560),
    ],
    ids=['BYOL', 'SimSiam', 'MoCoV3', 'ViT-S', 'ViT-B', 'ViT-L', 'MoCo v1', 'MoCo v2', 'DenseCL'],
)
def test_published_models_have_their_number_of_parameters(built: Algorithm, count: int) -> None:
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), 'float32')
    shapes = jax.eval_shape(built.init, jax.random.key(0), {'views': (images, images)})
    trained, kept = shapes[0], shapes[1].get('teacher', {}).get('params', {})
    assert sum(math.prod(leaf.shape) for leaf in jax.tree.leaves((trained, kept))) == count


@pytest.mark.parametrize('name', ['BYOL', 'MoCoV3'])
def test_a_rising_momentum_needs_the_length_of_the_run(name: str) -> None:
    built = BUILDERS[name]()
    with refused(
        f'{name} depends on how long', 'dataclasses.replace(algorithm, run=jssl.Run(samples='
    ):
        jax.eval_shape(built.loss, *start(name), runs.seen())


@pytest.mark.parametrize(
    ('name', 'field'),
    [
        ('byol', 'base_momentum'),
        ('mocov3', 'base_momentum'),
        ('moco', 'momentum'),
        ('densecl', 'momentum'),
    ],
)
def test_a_momentum_outside_0_to_1_is_refused(name: str, field: str) -> None:
    with refused(f'.{field}=1.5', 'between 0 and 1'):
        getattr(runs, f'tiny_{name}')(**{field: 1.5})
