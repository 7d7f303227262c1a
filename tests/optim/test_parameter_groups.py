from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jssl.errors import JsslError
from jssl.optim.parameter_groups import (
    NO_DECAY_NO_ADAPT,
    ParameterGroup,
    check_custom_keys,
    parameter_groups,
)
from tests import golden

UNDECAYED = {'decay_mult': 0.0}
SLOW = {key: {**group, 'lr_mult': 0.024} for key, group in NO_DECAY_NO_ADAPT.items()}
RECIPES = {  # the keys of ALGORITHMS 2.4
    'barlowtwins': SLOW,
    'byol': NO_DECAY_NO_ADAPT,
    'cae': dict.fromkeys(('norm', 'bias', 'gamma'), UNDECAYED),
    'deepcluster': {'head': {'momentum': 0.0}},
    'densecl': {},
    'mae': dict.fromkeys(('ln', 'bias', 'pos_embed', 'mask_token', 'cls_token'), UNDECAYED),
    'moco': {},
    'mocov3_resnet': NO_DECAY_NO_ADAPT,
    'mocov3_vit': {},
    'npid': {},
    'odc': {'head': {'momentum': 0.0}},
    'relative_loc': {key: {'decay_mult': 5.0} for key in ('neck', 'head')},
    'rotation': {},
    'simclr': NO_DECAY_NO_ADAPT,
    'simmim': dict.fromkeys(
        ('norm', 'bias', 'absolute_pos_embed', 'relative_position_bias_table'), UNDECAYED
    ),
    'simsiam': {'predictor': {'fix_lr': True}},
    'swav': {},
}


def nested(names: Iterable[str]) -> dict[str, Any]:
    """A tree with the given dotted names."""
    tree: dict[str, Any] = {}
    for name in names:
        *path, leaf = name.split('.')
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[leaf] = np.zeros(1)
    return tree


def at(tree: Any, name: str) -> Any:
    for part in name.split('.'):
        tree = tree[part]
    return tree


# What a recipe says beside its groups is what configs hold and no group depends on.
OF_THE_RUN = [f'recipes.*.{name}' for name in ('recipe', 'accumulate', 'schedule.*', 'epochs')]


@golden.each('part_param_groups')
def test_the_groups_of_the_published_recipes(path: Path) -> None:
    with golden.whole(path, *OF_THE_RUN, 'recipes.*.clip_grad*', 'recipes.*.optimizer.*') as saved:
        for name, recipe in saved.meta['recipes'].items():
            assert name in RECIPES, f'RECIPES has no keys for {name}'
            optimizer, expected = recipe['optimizer'], recipe['params']
            # The reduced models of a file may lack what a key is for.
            keys = {k: v for k, v in RECIPES[name].items() if any(k in param for param in expected)}
            groups = parameter_groups(nested(expected), keys)
            for param, settings in expected.items():
                group = at(groups, param)
                assert optimizer['lr'] * group.lr_mult == pytest.approx(settings['lr'])
                decay = optimizer['weight_decay'] * group.decay_mult
                assert decay == pytest.approx(settings['weight_decay'])
                assert group.lars_exclude == settings.get('lars_exclude', False)
                assert group.fix_lr == settings.get('fix_lr', False)
                momentum = optimizer.get('momentum') if group.momentum is None else group.momentum
                assert momentum == settings.get('momentum')


def test_the_longest_key_wins_and_the_first_of_equally_long_ones() -> None:
    params = nested(['head.fc.kernel', 'head.fc.bias', 'neck.fc.kernel'])
    keys = {
        'fc': {'lr_mult': 2.0},
        'head.fc': {'lr_mult': 3.0},
        'ker': {'lr_mult': 5.0},
        'eck': {'lr_mult': 4.0},
    }
    groups = parameter_groups(params, keys)
    assert groups['head']['fc']['bias'] == ParameterGroup(lr_mult=3.0)
    assert groups['head']['fc']['kernel'] == ParameterGroup(lr_mult=3.0)
    assert groups['neck']['fc']['kernel'] == ParameterGroup(lr_mult=4.0)


def test_the_winning_key_decides_alone() -> None:
    keys = {'bias': {'lr_mult': 2.0}, 'fc': {'decay_mult': 0.0}}
    groups = parameter_groups(nested(['fc.bias']), keys)
    assert groups['fc']['bias'] == ParameterGroup(lr_mult=2.0)


def test_vectors_have_settings_of_their_own_to_which_a_key_adds() -> None:
    params = {'fc': {'bias': jnp.ones(3), 'kernel': jnp.ones((3, 3))}, 'ln': jnp.ones(3)}
    groups = parameter_groups(params, {'fc': {'lr_mult': 0.2}}, vectors={'decay_mult': 0.0})
    assert groups['ln'] == ParameterGroup(decay_mult=0.0)
    assert groups['fc']['bias'] == ParameterGroup(decay_mult=0.0, lr_mult=0.2)
    assert groups['fc']['kernel'] == ParameterGroup(lr_mult=0.2)


def test_epochs_at_the_start_are_whole_steps() -> None:
    keys = {'w': {'frozen_epochs': 0.5, 'zero_lr_epochs': 2}}
    group = parameter_groups({'w': jnp.ones(1)}, keys, steps_per_epoch=9)['w']
    assert (group.frozen_steps, group.zero_lr_steps) == (4, 18)


def test_names_go_through_dotted_keys_and_lists() -> None:
    params = {'layer1.0': [{'bn': jnp.ones(2)}, {'bn': jnp.ones(2)}]}
    groups = parameter_groups(params, {'layer1.0.1.bn': {'lr_mult': 2.0}})
    assert [group['bn'].lr_mult for group in groups['layer1.0']] == [1.0, 2.0]


def test_the_usual_rule() -> None:
    params = nested(['conv1.kernel', 'bn1.scale', 'downsample.1.scale', 'fc.bias'])
    groups = parameter_groups(params, NO_DECAY_NO_ADAPT)
    plain = ParameterGroup(decay_mult=0.0, lars_exclude=True)
    assert groups['conv1']['kernel'] == ParameterGroup()
    assert groups['bn1']['scale'] == plain
    assert groups['downsample']['1']['scale'] == plain
    assert groups['fc']['bias'] == plain


def test_a_key_that_matches_nothing_is_named_with_names_that_come_close() -> None:
    names = ['conv1.kernel', 'bn1.scale', 'fc.bias', 'fc.kernel', 'layer1.0.downsample.1.scale']
    with pytest.raises(JsslError, match=r"'downsampel\.1'.*close: layer1\.0\.downsample\.1\.scale"):
        parameter_groups(nested(names), {'downsampel.1': UNDECAYED})


@pytest.mark.parametrize(
    ('keys', 'message'),
    [
        ({'bn': {'decay_mul': 0}}, r"\['bn'\].*'decay_mul'.*Did you mean 'decay_mult'"),
        ({'bn': {'momentum': 0.5}}, "'momentum'.*Valid names: decay_mult, lr_mult"),
        ({'bn': {'lr_mult': -1}}, r"\['bn'\]\.lr_mult=-1"),
        ({'bn': {'decay_mult': '0'}}, r"\['bn'\]\.decay_mult='0'"),
        ({1: {'lr_mult': 1}}, 'has the key 1, which is no text'),
        ({'bn': {1: 1}}, r"\['bn'\] has the entry 1,"),
        ({'bn': 0}, r"\['bn'\] is 0; make it a dict"),
    ],
)
def test_bad_entries(keys: Any, message: str) -> None:
    with pytest.raises(JsslError, match=message):
        check_custom_keys(keys, ('lr_mult', 'decay_mult'))
