"""Every variant of every config describes an experiment whose step can be traced."""

from typing import Any

import jax
import numpy as np
import pytest

from jssl import config
from jssl.components import build
from jssl.data import Arrays
from jssl.main import parse
from jssl.training.experiment import Experiment
from tests.conftest import ROOT


def load(name: str) -> dict[str, Any]:
    return parse([f'--config={ROOT / "configs" / name}']).config.to_dict()


def with_fake_images(described: dict[str, Any], batch_size: int = 16) -> Experiment:
    """The experiment on grey images in place of its data set, which is not here."""
    images = np.full((2 * batch_size, 8, 8, 3), 128, np.uint8)
    parts = {key: build(key, described[key]) for key in config.COMPONENTS if 'data' not in key}
    return Experiment(
        algorithm=parts.pop('model'),
        data=Arrays(images),
        batch_size=batch_size,
        canvas=described['canvas'],
        epochs=described['epochs'],
        **parts,
    )


@pytest.mark.parametrize(
    ('name', 'parameters'),
    [
        # ResNet-18 without classifier and 7x7 stem, and the neck of the SimCLR paper.
        ('simclr.py:cifar10', 11_168_832 + 512 * 512 + 2 * 512 + 512 * 128 + 2 * 128),
        ('simclr.py:imagenet', 27_968_832),
    ],
)
def test_large_variants_can_be_traced(name: str, parameters: int) -> None:
    experiment = with_fake_images(load(name))
    state = jax.eval_shape(experiment.initial_state)
    assert sum(leaf.size for leaf in jax.tree.leaves(state.params)) == parameters
    batch = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), first(experiment)
    )
    after, metrics = jax.eval_shape(experiment.make_step(), state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert metrics['loss'].shape == ()


def first(experiment: Experiment) -> dict[str, np.ndarray]:
    """The first batch as a streamed set would give it."""
    rows = experiment.loader.order(0)
    source, side = experiment.data, experiment.canvas
    canvas = np.zeros((len(rows), side, side, 3), np.uint8)
    size = np.array([source[int(row)]['image'].shape[:2] for row in rows], np.int32)
    return {'canvas': canvas, 'size': size, 'index': rows}


def test_imagenet_recipe_is_the_references() -> None:
    """ALGORITHMS 4.13: LARS 4.8, warm-up of 10 epochs from 1e-4, cosine per epoch."""
    experiment = with_fake_images(load('simclr.py:imagenet'))
    assert experiment.rate(0) == pytest.approx(4.8e-4)
    assert experiment.rate(19) == pytest.approx(4.8)  # two steps an epoch here
    assert experiment.rate(2 * 105) == experiment.rate(2 * 105 + 1) == pytest.approx(2.4)
    described = load('simclr.py:imagenet')
    assert described['batch_size'] == 4096
    assert described['model']['head']['loss_weight'] == 1 / 16
    assert described['optimizer']['custom_keys'].keys() == {'bn', 'bias', 'downsample.1'}
