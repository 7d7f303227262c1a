"""Every variant of every config describes an experiment that can begin and whose step is traced."""

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pytest

from jssl.algorithm import Run, TrainState
from jssl.components import build
from jssl.data import Canvas
from jssl.optim.optimizers import make_optimizer
from jssl.training.experiment import Experiment
from jssl.training.step import init_train_state, make_train_step
from tests.checks import structure
from tests.test_configs import load, with_fake_images

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
    # ViT-L without positions, with layer scales and a mask token, and two heads of 65,536.
    'dinov3.py:imagenet': 303_099_904 + 48 * 1024 + 1024 + 2 * (6_820_096 + 256 * 65_536),
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
