"""Optimizers and their rules for single parameters, of both kinds of releases."""

from pathlib import Path
from typing import Any

import jax
import pytest

from jssl.interop.configs.notes import Fields, Notes
from jssl.interop.configs.optimizer import (
    Parameter,
    Rules,
    as_keys,
    clip,
    layer_decay,
    rules,
    rules_of_options,
    settings,
)
from jssl.interop.configs.parameters import differing, parameters, used
from jssl.interop.configs.reading import read_config
from tests.checks import tiny_simclr

WEIGHT = Parameter('backbone.layer1.0.bn1.weight', 1, of_norm=True)
BIAS = Parameter('head.fc.bias', 1, of_norm=False)
SCALE = Parameter('backbone.gamma', 1, of_norm=False)
KERNEL = Parameter('head.fc.weight', 2, of_norm=False)


def fields(folder: Path, text: str) -> tuple[Fields, Notes]:
    (folder / 'config.py').write_text(f'x = {text}')
    notes = Notes()
    return Fields(read_config(folder / 'config.py'), notes, 'config').inner('x'), notes


def test_an_optimizer_keeps_its_settings(tmp_path: Path) -> None:
    text = "dict(type='mmselfsup.LARS', lr=4.8, momentum=0.9, weight_decay=1e-6, eta=0.01)"
    expected = dict(type='LARS', lr=4.8, weight_decay=1e-6, momentum=0.9, eta=0.01)
    found, notes = fields(tmp_path, text)
    assert settings(found, {}) == expected
    adam, _ = fields(tmp_path, "dict(type='AdamW', lr=1e-3, betas=[0.9, 0.95])")
    own = dict(type='AdamW', lr=1e-3, weight_decay=0.01, betas=(0.9, 0.95), clip=3.0)
    assert settings(adam, {'clip': 3.0}) == own  # PyTorch's decay
    odd, notes = fields(tmp_path, "dict(type='Lamb', lr=1e-3, amsgrad=True)")
    settings(odd, {})
    assert [note.name for note in notes.missing] == ['config.x.type', 'config.x.amsgrad']


def test_a_bound_of_the_gradient_is_of_its_norm(tmp_path: Path) -> None:
    found, notes = fields(tmp_path, 'dict(max_norm=3, error_if_nonfinite=False)')
    assert clip(found) == {'clip': 3.0}
    assert clip(fields(tmp_path, 'dict(max_norm=None)')[0]) == {}
    odd, notes = fields(tmp_path, 'dict(max_norm=3, norm_type=1)')
    clip(odd)
    assert 'norm_type=1' in str(notes.missing[0])


@pytest.mark.parametrize(
    ('name', 'pretrain', 'found'),
    [
        ('LearningRateDecayOptimWrapperConstructor', True, {'layer_decay_rate': 0.75}),
        ('mmpretrain.LearningRateDecayOptimWrapperConstructor', False, {'layer_decay_rate': 0.75}),
        ('LearningRateDecayOptimWrapperConstructor', False, None),  # rules of MMSelfSup's own
        ('mmselfsup.LearningRateDecayOptimWrapperConstructor', True, None),
        ('DefaultOptimWrapperConstructor', True, {}),
    ],
)
def test_the_decay_over_layers_is_that_of_mmpretrain(
    name: str, pretrain: bool, found: dict[str, Any] | None, tmp_path: Path
) -> None:
    text = f'dict(constructor={name!r}, paramwise_cfg=dict(layer_decay_rate=0.75))'
    wrapper, notes = fields(tmp_path, text)
    paramwise = wrapper.inner('paramwise_cfg')
    assert layer_decay(wrapper, paramwise, pretrain) == (found or {})
    assert bool(notes.missing) == (found is None)
    rules(paramwise)  # a decay that nobody takes is listed
    assert ('layer_decay_rate' in ' '.join(map(str, notes.missing))) == (not found)


def test_rules_by_names_and_by_layers(tmp_path: Path) -> None:
    text = """dict(norm_decay_mult=0.0, bias_decay_mult=0.0, bypass_duplicate=True,
        custom_keys={'head': dict(lr_mult=2.0), '.fc.bias': dict(decay_mult=0.5)})"""
    found, notes = fields(tmp_path, text)
    made = rules(found)
    assert not notes.missing
    assert made.settings(WEIGHT) == {'decay_mult': 0.0}
    assert made.settings(BIAS) == {'decay_mult': 0.5}  # the longest key alone
    assert made.settings(KERNEL) == {'lr_mult': 2.0}
    assert made.settings(SCALE) == {}
    keys, vectors = as_keys(made)
    assert vectors == {'decay_mult': 0.0}
    assert keys['head'] == {'decay_mult': 1.0, 'lr_mult': 2.0}
    odd, notes = fields(tmp_path, 'dict(dwconv_decay_mult=0.0)')
    rules(odd)
    assert 'dwconv_decay_mult=0.0' in str(notes.missing[0])


def test_rules_by_regular_expressions_all_count(tmp_path: Path) -> None:
    text = r"""{'(bn|gn)(\\d+)?.(weight|bias)': dict(weight_decay=0., lars_exclude=True),
        '\\Ahead.': dict(momentum=0., weight_decay=5e-4), 'bias': dict(lr_mult=0.5, lr=0.2)}"""
    found, notes = fields(tmp_path, text)
    made = rules_of_options(found, 0.1, 1e-4)
    assert not notes.missing
    assert made.settings(WEIGHT) == {'decay_mult': 0.0, 'lars_exclude': True}
    assert made.settings(BIAS) == {'momentum': 0.0, 'decay_mult': 5.0, 'lr_mult': 2.0}
    assert made.settings(SCALE) == {}
    assert list(as_keys(made)[0]) == ['bn', 'gn', 'head.', 'bias']


@pytest.mark.parametrize('pattern', ['(a+)+$', '.*', '(?=x)', '[ab]', 'a{9999}', 'x' * 500, '('])
def test_regular_expressions_that_may_take_long_are_not_read(pattern: str, tmp_path: Path) -> None:
    found, notes = fields(tmp_path, f'{{{pattern!r}: dict(weight_decay=0.)}}')
    assert not rules_of_options(found, 0.1, 1e-4).patterns
    assert 'regular expressions' in str(notes.missing[0])


@pytest.fixture(scope='module')
def tiny() -> tuple[Any, Any]:
    """Parameters as shapes, and as the rules see them."""
    algorithm = tiny_simclr()
    images = jax.ShapeDtypeStruct((2, 8, 8, 3), 'float32')
    shapes, _ = jax.eval_shape(algorithm.init, jax.random.key(0), {'views': (images, images)})
    return shapes, parameters(shapes, algorithm)


def test_parameters_have_the_names_of_the_reference(tiny: tuple[Any, Any]) -> None:
    _, found = tiny
    there = {parameter.there.name: parameter for parameter in found}
    assert there['backbone.bn1.weight'].there.of_norm
    assert there['backbone.bn1.bias'].there.of_norm
    assert there['neck.fc0.weight'].there.dims == 2
    assert not there['neck.fc0.weight'].there.of_norm
    assert list(used({'bn': {}, 'gn': {}}, found)) == ['bn']


def test_groups_are_compared_parameter_by_parameter(tiny: tuple[Any, Any]) -> None:
    shapes, found = tiny
    keys = {'bn': {'decay_mult': 0.0}, 'downsample.1': {'decay_mult': 0.0}}
    assert not differing(Rules(keys=keys), keys, {}, shapes, found)
    assert not differing(Rules(norm_decay=0.0), keys, {}, shapes, found)
    by_name = Rules(patterns={r'bn\d+': {'decay_mult': 0.0}})
    assert 'backbone.layer1.0.downsample.1.weight' in differing(by_name, keys, {}, shapes, found)
    names = differing(Rules(flat_decay=0.0, bias_decay=0.0), {}, {'decay_mult': 0.0}, shapes, found)
    assert set(names) == {p.there.name for p in found if p.there.of_norm}
