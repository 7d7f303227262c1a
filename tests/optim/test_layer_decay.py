"""Layer-wise learning rates and frozen parameters: what an optimizer learns from an algorithm."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.algorithms import SimCLR
from jssl.backbones import MoCoV3ViT, ResNet, SwinTransformer, VisionTransformer
from jssl.heads import ContrastiveHead
from jssl.necks import NonLinearNeck
from jssl.optim.optimizers import LARS, SGD, AdamW, Optimizer, make_optimizer
from jssl.optim.parameter_groups import ParameterGroup, parameter_groups
from jssl.optim.schedules import Constant
from tests import golden
from tests.checks import refused

VIT = {'embed_dims': 8, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 8}


def algorithm(backbone: Any) -> SimCLR:
    neck = NonLinearNeck(in_channels=8, hid_channels=8, out_channels=8, vit_backbone=True)
    return SimCLR(backbone=backbone, neck=neck, head=ContrastiveHead())


@golden.each('part_layer_decay')
def test_rates_and_decays_of_the_reference(path: Path) -> None:
    with golden.whole(path) as saved:
        decay, rate = saved.meta['weight_decay'], saved.meta['rate']
        assert saved.meta['models']
        for model, expected in saved.meta['models'].items():
            keys = saved.meta['keys'][model]
            groups = parameter_groups(
                {name: np.zeros(1) for name in expected},
                {key: {'decay_mult': value} for key, value in keys.items() if _used(key, expected)},
                get_layer_depth=algorithm(backbone_of(list(expected))).get_layer_depth,
                layer_decay_rate=rate,
            )
            seen = set()
            for name, row in expected.items():
                assert groups[name].lr_mult == pytest.approx(row['lr_scale'], rel=1e-12)
                assert saved.meta['lr'] * groups[name].lr_mult == pytest.approx(row['lr'])
                # The reference gives all parameters of a layer that are decayed the decay of the
                # first one, which matters for multipliers other than 0 and 1; ours have their own.
                found = decay * groups[name].decay_mult
                assert row['group'] in seen or found == pytest.approx(row['weight_decay']), name
                assert row['weight_decay'] >= 0
                seen.add(row['group'])


def backbone_of(names: list[str]) -> Any:
    """A transformer with as many layers as the names of its parameters tell."""
    places = [re.match(r'backbone\.(?:layers|stages)\.(\d+)\.(?:blocks\.(\d+))?', n) for n in names]
    blocks = {(int(m[1]), int(m[2] or 0)) for m in places if m}
    depths = [sum(stage == s for s, _ in blocks) for stage in range(1 + max(blocks)[0])]
    if any('.stages.' in name for name in names):
        heads = [1] * len(depths)
        return SwinTransformer({'embed_dims': 8, 'depths': depths, 'num_heads': heads})
    return VisionTransformer({**VIT, 'num_layers': len(depths)})


def _used(key: str, names: dict[str, Any]) -> bool:
    return any(key in name for name in names)


def test_layer_decay_multiplies_what_a_key_says() -> None:
    groups = parameter_groups(
        {'backbone.ln1.scale': np.zeros(1), 'backbone.layers.3.ln1.scale': np.zeros(1)},
        {'ln1': {'lr_mult': 2.0}},
        get_layer_depth=algorithm(VisionTransformer(VIT)).get_layer_depth,
        layer_decay_rate=0.5,
    )
    assert {name: group.lr_mult for name, group in groups.items()} == {
        'backbone.ln1.scale': 2.0,
        'backbone.layers.3.ln1.scale': 1.0,
    }


def test_nothing_is_frozen_unless_told() -> None:
    assert parameter_groups({'a': np.zeros(1)}, {})['a'] == ParameterGroup()


def descend(optimizer: Optimizer, params: Any, backbone: Any) -> Any:
    """The parameters after two steps along a gradient of ones."""
    trained = algorithm(backbone)
    transformation = make_optimizer(
        optimizer,
        Constant(),
        steps_per_epoch=1,
        epochs=2,
        is_frozen=trained.is_frozen,
        get_layer_depth=trained.get_layer_depth,
    )

    @jax.jit
    def step(params: Any, state: Any) -> Any:
        grads = jax.tree.map(jnp.ones_like, params)
        updates, state = transformation.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    state = transformation.init(params)
    for _ in range(2):
        params, state = step(params, state)
    return params


@pytest.mark.parametrize(
    'optimizer',
    [
        SGD(lr=0.1, momentum=0.9, weight_decay=0.1),
        LARS(lr=0.1, momentum=0.9, weight_decay=0.1),
        AdamW(lr=0.1, weight_decay=0.1),
    ],
)
def test_what_is_frozen_does_not_move_nor_decay(optimizer: Optimizer) -> None:
    leaf = {'kernel': jnp.full((2, 2), 2.0)}
    parts = {'patch_embed': {'projection': leaf}, 'ln1': leaf}
    after = descend(optimizer, {'backbone': parts}, MoCoV3ViT(VIT, stop_grad_conv1=True))
    assert (after['backbone']['patch_embed']['projection']['kernel'] == 2).all()
    assert (after['backbone']['ln1']['kernel'] < 2).all()


def test_the_rate_of_a_layer_is_what_moves_it() -> None:
    params = {'backbone': {f'layers.{i}': {'kernel': jnp.zeros(1)} for i in range(4)}}
    params['neck'] = {'fc0': {'kernel': jnp.zeros(1)}}
    after = descend(SGD(lr=1.0, layer_decay_rate=0.5), params, VisionTransformer(VIT))
    moved = [-float(leaf[0]) for leaf in jax.tree.leaves(after)]
    assert moved == pytest.approx([2 * 0.5**i for i in (4, 3, 2, 1, 0)])


@pytest.mark.parametrize('rate', [0, 1.5, -1])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with refused('layer_decay_rate', repr(rate)):
        AdamW(lr=0.1, layer_decay_rate=rate)


def test_layer_decay_needs_an_algorithm_whose_backbone_knows_its_depths() -> None:
    optimizer = AdamW(lr=0.1, layer_decay_rate=0.5)
    with refused('layer_decay_rate=0.5', 'get_layer_depth'):
        make_optimizer(optimizer, Constant(), steps_per_epoch=1, epochs=1)
    with refused('layer_decay_rate', 'VisionTransformer'):
        descend(optimizer, {'backbone': {'conv1': jnp.zeros(1)}}, ResNet())
