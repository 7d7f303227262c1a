"""Every variant of every config describes an experiment whose step can be traced."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from jssl import config
from jssl.algorithm import Run, TrainState
from jssl.cli.train import parse
from jssl.components import build, build_at
from jssl.data import Arrays, Canvas
from jssl.optim.optimizers import make_optimizer
from jssl.training.experiment import Experiment
from jssl.training.step import init_train_state, make_train_step
from tests.checks import refused, structure
from tests.conftest import ROOT


def load(name: str) -> dict[str, Any]:
    return parse([f'--config={ROOT / "configs" / name}']).config


def with_fake_images(described: dict[str, Any], batch_size: int = 16) -> Experiment:
    """The experiment on grey images in place of its data set, which is not here."""
    images = np.full((2 * batch_size, 8, 8, 3), 128, np.uint8)
    wanted = [key for key in config.COMPONENTS if key in described and 'data' not in key]
    parts = {key: build_at(key, config.TOP[key], described[key]) for key in wanted}
    return Experiment(
        algorithm=parts.pop('model'),
        data=Arrays(images),
        batch_size=batch_size,
        canvas=described['canvas'],
        epochs=described['epochs'],
        **parts,
    )


# Parameters of the large variants.
LARGE = {
    # ResNet-18 without classifier and 7x7 stem, and the neck of the SimCLR paper.
    'simclr.py:cifar10': 11_168_832 + 512 * 512 + 2 * 512 + 512 * 128 + 2 * 128,
    'simclr.py:imagenet': 27_968_832,
    'barlow_twins.py:cifar10': 11_168_832 + 2048 * (512 + 2048 + 2048) + 2 * 2 * 2048,
    'barlow_twins.py:imagenet': 174_535_744,
    'swav.py:cifar10': 11_168_832 + 2048 * (512 + 128 + 3) + 128 + 3000 * 128,
    'swav.py:imagenet': 28_354_752,
    'byol.py:cifar10': 11_168_832 + 4096 * (512 + 3 + 256) + 4096 * (256 + 3 + 256),
    'byol.py:imagenet': 23_508_032 + 9_449_472 + 2_109_440,
    'simsiam.py:cifar10': 11_168_832 + 2048 * (512 + 2 + 2048 + 512 + 513) + 2 * 512,
    'simsiam.py:imagenet': 38_199_360,
    'moco.py:cifar10': 11_168_832 + 2048 * (513 + 256) + 256,
    'moco.py:imagenet-v1': 47_540_608 // 2,
    'densecl.py:imagenet': 23_508_032 + 8_917_248,
    'mocov3.py:imagenet': 23_508_032 + 9_445_376 + 2_105_344,
    'mocov3.py:imagenet-vit-base': (215_678_464 + 2_105_344) // 2,
    'mae.py:imagenet': 111_907_840,
    'simmim.py:imagenet': 89_874_104,
    # ViT-B with a mask token, and a linear layer to 108 numbers.
    'maskfeat.py:imagenet': 85_798_656 + 768 + 769 * 108,
}


@pytest.mark.parametrize('name', LARGE)
def test_large_variants_can_be_initialised(name: str) -> None:
    """Also that every key of its optimizer's groups is part of a parameter's name."""
    params = large(name).state_shapes.params
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == LARGE[name]


@pytest.mark.slow
@pytest.mark.parametrize('name', LARGE)
def test_large_variants_can_be_traced(name: str) -> None:
    experiment = large(name)
    state = experiment.state_shapes
    batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), first(experiment)
    )
    after, metrics = jax.eval_shape(experiment.step, state, batch)
    assert structure(after) == structure(state)
    assert metrics['loss'].shape == ()


def large(name: str) -> Experiment:
    """With a batch as large as any group of its norms."""
    return with_fake_images(load(name), batch_size=256)


def first(experiment: Experiment) -> dict[str, Any]:
    """The first batch as a streamed set would give it."""
    rows = experiment.loader.order(0)
    source, side = experiment.data, experiment.canvas
    canvas = np.zeros((len(rows), side, side, 3), np.uint8)
    size = np.array([np.shape(source[int(row)]['image'])[:2] for row in rows], np.int32)
    return {'canvas': Canvas(canvas, size), 'index': rows}


def test_imagenet_recipe_is_the_references() -> None:
    """ALGORITHMS 4.13: LARS 4.8, warm-up of 10 epochs from 1e-4, cosine per epoch."""
    experiment = with_fake_images(load('simclr.py:imagenet'))
    assert experiment.rate is not None
    assert experiment.rate(0) == pytest.approx(4.8e-4)
    assert experiment.rate(19) == pytest.approx(4.8)  # two steps an epoch here
    assert experiment.rate(2 * 105) == experiment.rate(2 * 105 + 1) == pytest.approx(2.4)
    described = load('simclr.py:imagenet')
    assert described['batch_size'] == 4096
    assert described['model']['head']['loss_weight'] == 1 / 16
    assert described['optimizer']['custom_keys'].keys() == {'bn', 'bias', 'downsample.1'}


@pytest.mark.parametrize('epochs', [100, 300, 1000])
def test_barlow_twins_recipes_are_the_references(epochs: int) -> None:
    """ALGORITHMS 4.1: every group ends at the same floor, norms and biases start slower."""
    described = load(f'barlow_twins.py:imagenet-{epochs}e')
    assert (described['batch_size'], described['epochs']) == (2048, epochs)
    head = described['model']['head']
    assert (head['bn_group_size'], head['loss_weight']) == (256, 1 / 8)
    schedule = build('schedule', described['schedule'])
    for base in (1.6, 1.6 * described['optimizer']['custom_keys']['bn']['lr_mult']):
        rate = schedule(base, steps_per_epoch=626, epochs=epochs)
        assert rate(0) == pytest.approx(1.6e-4 * base)
        assert rate(6259) == pytest.approx(base)
        assert rate(626 * epochs - 1) == pytest.approx(0.0016, rel=1e-3)


def test_swav_recipe_is_the_references() -> None:
    """ALGORITHMS 4.16: 2 large and 6 small crops, a queue from epoch 15, LARS on everything."""
    described = load('swav.py:imagenet')
    model, views, optimizer = (described[key] for key in ('model', 'views', 'optimizer'))
    assert (views['large_copies'], views['small_copies']) == tuple(model['head']['num_crops'])
    assert (views['large']['size'], views['small']['size']) == (224, 96)
    assert model['queue_length'] % described['batch_size'] == 0
    assert (model['queue_start_epoch'], model['freeze_prototypes']) == (15, 5005)
    assert 'custom_keys' not in optimizer
    rate = build('schedule', described['schedule'])(0.6, steps_per_epoch=5004, epochs=200)
    assert (rate(0), rate(5004 * 100)) == pytest.approx((0.6, 0.3003))


@pytest.mark.parametrize(
    ('name', 'rate', 'decay', 'momentum'),
    [
        ('byol.py:imagenet-100e', 7.2, 1e-6, 0.99),
        ('byol.py:imagenet-200e', 4.8, 1e-6, 0.99),
        ('byol.py:imagenet-300e', 4.8, 1e-6, 0.99),
        ('mocov3.py:imagenet-resnet50-100e', 9.6, 1e-6, 0.99),
        ('mocov3.py:imagenet-resnet50-300e', 4.8, 1e-6, 0.99),
        ('mocov3.py:imagenet-resnet50-800e', 4.8, 1.5e-6, 0.996),
        ('mocov3.py:imagenet-vit-base', 2.4e-3, 0.1, 0.99),
    ],
)
def test_recipes_with_a_rising_momentum_are_the_references(
    name: str, rate: float, decay: float, momentum: float
) -> None:
    """ALGORITHMS 4.3 and 4.8; BYOL's cosine goes by epochs, MoCo v3's by steps."""
    described = load(name)
    assert described['batch_size'] == 4096
    assert described['model']['base_momentum'] == momentum
    optimizer = described['optimizer']
    assert (optimizer['lr'], optimizer['weight_decay']) == (rate, decay)
    if optimizer['type'] == 'LARS':
        assert optimizer['custom_keys'].keys() == {'bn', 'bias', 'downsample.1'}
    epochs, warmup = described['epochs'], 40 if 'vit' in name else 10
    schedule = build('schedule', described['schedule'])(rate, steps_per_epoch=10, epochs=epochs)
    assert schedule(0) == pytest.approx(1e-4 * rate)
    assert schedule(10 * warmup - 1) == pytest.approx(rate)
    late = 10 * (epochs - 1)
    assert (schedule(late) == schedule(late + 9)) == ('byol' in name)


@pytest.mark.parametrize(
    ('name', 'epochs', 'rates'),
    [
        ('moco.py:imagenet', 200, (0.03, 0.015)),
        ('moco.py:imagenet-v1', 200, (0.03, 0.03)),
        ('densecl.py:imagenet', 200, (0.03, 0.015)),
        ('simsiam.py:imagenet-100e', 100, (0.05, 0.025)),
        ('simsiam.py:imagenet-200e', 200, (0.05, 0.025)),
    ],
)
def test_recipes_of_small_batches_are_the_references(
    name: str, epochs: int, rates: tuple[float, float]
) -> None:
    """ALGORITHMS 4.2, 4.7 and 4.15: SGD at batch 256, without a warm-up."""
    described = load(name)
    optimizer = described['optimizer']
    assert (described['batch_size'], described['epochs']) == (256, epochs)
    assert (optimizer['type'], optimizer['momentum'], optimizer['weight_decay']) == (
        'SGD',
        0.9,
        1e-4,
    )
    rate = build('schedule', described['schedule'])(rates[0], steps_per_epoch=10, epochs=epochs)
    assert (rate(0), rate(5 * epochs)) == pytest.approx(rates)
    assert rate(10 * epochs - 1) < 0.001
    group = described['model']['backbone'].get('bn_group_size')
    assert group == (None if 'simsiam' in name else 32)
    assert ('custom_keys' in optimizer) == ('simsiam' in name)


@pytest.mark.parametrize(
    'name',
    [
        'barlow_twins.py',
        'swav.py',
        'byol.py',
        'simsiam.py',
        'moco.py',
        'mocov3.py',
        'densecl.py',
    ],
)
def test_embedded_variants_can_be_traced(name: str) -> None:
    experiment = with_fake_images(load(name), batch_size=64)
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), first(experiment)
    )
    state = jax.eval_shape(experiment.initial_state)
    after, _ = jax.eval_shape(experiment.step, state, shapes)
    assert structure(after) == structure(state)


@pytest.mark.parametrize(
    ('name', 'size', 'parameters'),
    [
        ('mae.py:imagenet-large-1600e', 224, 329_541_888),
        ('mae.py:imagenet-huge-1600e', 224, 657_074_508),
        ('simmim.py:imagenet-large-800e', 192, 199_920_372),
    ],
)
def test_the_largest_masked_models_have_their_size(name: str, size: int, parameters: int) -> None:
    algorithm = build('model', load(name)['model'])
    batch = {'views': (jax.ShapeDtypeStruct((1, size, size, 3), 'float32'),)}
    params, _ = jax.eval_shape(algorithm.init, jax.random.key(0), batch)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == parameters


@pytest.mark.parametrize(
    ('name', 'batch_size', 'epochs', 'rates'),
    [
        ('mae.py:imagenet', 4096, 400, {0: 2.4e-7, 80: 2.4e-3, 440: 1.2e-3}),
        ('mae.py:imagenet-base-800e', 4096, 800, {0: 2.4e-12, 80: 2.4e-3}),
        ('mae.py:imagenet-huge-1600e', 4096, 1600, {0: 2.4e-7}),
        ('simmim.py:imagenet', 2048, 100, {0: 4e-6, 20: 8e-4, 110: 4.2e-4}),
        ('simmim.py:imagenet-large-800e', 2048, 800, {20: 4e-4, 1419: 4e-4, 1420: 4e-5}),
        ('maskfeat.py:imagenet', 2048, 300, {0: 1.6e-9, 60: 1.6e-3, 330: 0.8e-3}),
    ],
)
def test_masked_recipes_are_the_references(
    name: str, batch_size: int, epochs: int, rates: dict[int, float]
) -> None:
    """ALGORITHMS 4.6, 4.14 and 9: batch, length, and the rate with two steps an epoch."""
    described = load(name)
    assert (described['batch_size'], described['epochs']) == (batch_size, epochs)
    assert described['optimizer']['weight_decay'] == 0.05
    optimizer = build('optimizer', described['optimizer'])
    rate = build('schedule', described['schedule'])(optimizer.lr, steps_per_epoch=2, epochs=epochs)
    for step, expected in rates.items():
        assert rate(step) == pytest.approx(expected, rel=1e-3), step


def test_cae_recipe_is_the_references() -> None:
    """ALGORITHMS 4.4, and its parameter counts; without the tokenizer's weights nothing starts."""
    described = load('cae.py:imagenet')
    assert (described['batch_size'], described['epochs']) == (2048, 300)
    schedule = build('schedule', described['schedule'])
    rate = schedule(1.5e-3, steps_per_epoch=626, epochs=300)
    assert [rate(0), rate(6259)] == pytest.approx([1.5e-7, 1.5e-3])
    assert rate(626 * 300 - 1) == pytest.approx(1e-5, rel=1e-3)
    with refused('weights/dalle_encoder.safetensors', 'jssl import'):
        jax.eval_shape(with_fake_images(described).initial_state)
    described['model']['target_generator']['weights'] = None
    state = jax.eval_shape(with_fake_images(described).initial_state)
    sizes = [
        sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in (state.params, state.state)
    ]
    counter = 1  # of the teacher's updates
    assert sizes == [85_807_872 + 63_027_968, 85_807_872 + 53_786_240 + counter]


class Recipe:
    """An ImageNet recipe on as many images as that has, of which only shapes are known."""

    def __init__(self, name: str) -> None:
        described, images = load(name), 1_281_167
        run = Run(samples=images, steps_per_epoch=2, epochs=1)
        self.algorithm = dataclasses.replace(build('model', described['model']), run=run)
        self.features = jax.ShapeDtypeStruct((images, 256 if 'odc' in name else 2048), 'float32')
        self.optimizer = make_optimizer(
            build('optimizer', described['optimizer']),
            build('schedule', {'type': 'Constant'}),
            steps_per_epoch=2,
            epochs=1,
        )
        side, rows = described['canvas'], described['batch_size']
        self.batch = {
            'canvas': Canvas(
                jax.ShapeDtypeStruct((rows, side, side, 3), 'uint8'),
                jax.ShapeDtypeStruct((rows, 2), 'int32'),
            ),
            'index': jax.ShapeDtypeStruct((rows,), 'int32'),
        }
        self.views = build('view', described['views'])

    @functools.cached_property
    def state(self) -> TrainState:
        """The state before the first step."""
        parts = self.algorithm, self.views, self.optimizer
        return jax.eval_shape(functools.partial(init_train_state, *parts, seed=0), self.batch)


# Parameters of recipes, and the shapes of what they remember.
REMEMBERING: dict[str, tuple[int, dict[str, tuple[int, ...]]]] = {
    'npid.py:imagenet': (23_770_304, {'bank': (1_281_216, 128)}),
    'odc.py:imagenet': (
        27_258_448,
        {'bank': (1_281_167, 256), 'labels': (1_281_167,), 'centroids': (10_000, 256)},
    ),
    'deepcluster.py:imagenet': (23_508_032 + 20_490_000, {'labels': (1_281_167,)}),
    # The 24 numbers of the Sobel filters are no parameters here.
    'deepcluster.py:imagenet-sobel': (43_994_920 - 24, {'labels': (1_281_167,)}),
    'relative_loc.py:imagenet': (40_330_312, {}),
    'rotation_pred.py:imagenet': (23_516_228, {}),
}


@pytest.mark.parametrize('name', REMEMBERING)
def test_pretext_and_clustering_recipes_can_be_initialised(name: str) -> None:
    recipe, (parameters, kept) = Recipe(name), REMEMBERING[name]
    state = recipe.state.state
    assert sum(leaf.size for leaf in jax.tree.leaves(recipe.state.params)) == parameters
    arrays = {**state, **state.get('memory', {})}
    assert {key: arrays[key].shape for key in kept} == kept
    if recipe.algorithm.refreshes(0):
        given = (recipe.state.params, state, recipe.features, recipe.state.rng)
        again = jax.eval_shape(recipe.algorithm.refresh, *given)
        assert structure(again) == structure((recipe.state.params, state))


@pytest.mark.slow
@pytest.mark.parametrize('name', REMEMBERING)
def test_pretext_and_clustering_recipes_can_be_traced(name: str) -> None:
    recipe = Recipe(name)
    step = make_train_step(recipe.algorithm, recipe.views, recipe.optimizer)
    after, metrics = jax.eval_shape(step, recipe.state, recipe.batch)
    assert structure(after) == structure(recipe.state)
    assert metrics['loss'].shape == metrics['accuracy'].shape == ()


@pytest.mark.parametrize(
    ('name', 'batch_size', 'epochs', 'rates', 'decay'),
    [
        ('npid', 256, 200, {0: 0.03, 119: 0.03, 120: 3e-3, 160: 3e-4}, 1e-4),
        ('deepcluster', 512, 200, {0: 0.1, 199: 0.1}, 1e-5),
        ('odc', 512, 440, {0: 0.06, 399: 0.06, 400: 0.024}, 1e-5),
        ('relative_loc', 512, 70, {0: 0.02, 5: 0.2, 30: 0.02, 50: 2e-3}, 1e-4),
        ('rotation_pred', 128, 70, {0: 0.02, 5: 0.2, 30: 0.02, 50: 2e-3}, 1e-4),
    ],
)
def test_pretext_and_clustering_recipes_are_the_references(
    name: str, batch_size: int, epochs: int, rates: dict[int, float], decay: float
) -> None:
    """ALGORITHMS 4.5 and 4.9 to 4.12 (7)."""
    described = load(f'{name}.py:imagenet')
    optimizer = described['optimizer']
    assert (described['batch_size'], described['epochs']) == (batch_size, epochs)
    assert (optimizer['momentum'], optimizer['weight_decay']) == (0.9, decay)
    rate = build('schedule', described['schedule'])(
        optimizer['lr'], steps_per_epoch=10, epochs=epochs
    )
    for epoch, expected in rates.items():
        assert rate(10 * epoch) == pytest.approx(expected)
    if name in ('deepcluster', 'odc'):
        assert optimizer['custom_keys'] == {'head': {'momentum': 0.0}}
    if name == 'relative_loc':
        assert optimizer['custom_keys'] == {key: {'decay_mult': 5.0} for key in ('neck', 'head')}
