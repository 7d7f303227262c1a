"""Every config's recipe is the reference's: batch, length, rates, decay, what is left out of it."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jssl import config
from jssl.cli.train import parse
from jssl.components import build, build_at
from jssl.data import Arrays
from jssl.training.experiment import Experiment
from tests.checks import refused
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


@pytest.mark.parametrize(
    'path', sorted((ROOT / 'configs').glob('*.py')), ids=lambda path: path.stem
)
def test_recipes_for_imagenet_compute_in_bfloat16_and_one_flag_ends_that(path: Path) -> None:
    assert load(f'{path.name}:imagenet')['dtype'] == 'bfloat16'
    described = parse([f'--config={path}:imagenet', '--config.dtype=float32']).config
    assert described['dtype'] == 'float32'
    assert 'bfloat16' not in str(described['model'])


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
