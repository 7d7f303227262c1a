import dataclasses
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

import jssl
from jssl.algorithms import SimCLR
from jssl.backbones import ResNet
from jssl.components import build, build_at
from jssl.errors import JsslError
from jssl.heads import ContrastiveHead
from jssl.kinds import KINDS, OPTIMIZER, SCHEDULE, classes_of, inside, kinds_of
from jssl.necks import NonLinearNeck
from jssl.values import fields_of, hints_of
from tests.checks import refused
from tests.conftest import ROOT

BACKBONE = {'type': 'ResNet', 'depth': 10, 'base_channels': 4}
NECK = {'type': 'NonLinearNeck', 'in_channels': 32, 'hid_channels': 8, 'out_channels': 8}
HEAD = {'type': 'ContrastiveHead', 'temperature': 0.5}
MODEL = {'type': 'SimCLR', 'backbone': BACKBONE, 'neck': NECK, 'head': HEAD}

USERS_MODULE = """
from __future__ import annotations

import flax.linen as nn
import jax


class Patches(nn.Module):
    width: int = 8

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array, ...]:
        return (nn.Conv(self.width, (4, 4), strides=4)(images),)
"""


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module in the folder where the command is run, and nowhere else."""
    name = f'users_{tmp_path.name}'.replace('-', '_')
    (tmp_path / f'{name}.py').write_text(USERS_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [entry for entry in sys.path if entry])
    return name


@dataclasses.dataclass(frozen=True)
class Options:
    """A component with a field of every plain type."""

    name: str
    rate: float = 0.5
    count: int | None = None
    sizes: tuple[int, ...] = ()
    flag: bool = False


def options(**fields: Any) -> Options:
    return build('head', {'type': f'{__name__}:Options', 'name': 'x', **fields})


def test_a_model_is_built_with_its_parts() -> None:
    assert build('model', MODEL) == SimCLR(
        backbone=ResNet(depth=10, base_channels=4),
        neck=NonLinearNeck(in_channels=32, hid_channels=8, out_channels=8),
        head=ContrastiveHead(temperature=0.5),
    )


def test_the_description_is_left_as_it_was() -> None:
    build('model', MODEL)
    assert MODEL['backbone'] is BACKBONE
    assert BACKBONE['type'] == 'ResNet'


def test_a_part_that_is_built_already_is_taken() -> None:
    backbone = ResNet(depth=18)
    assert build('model', {**MODEL, 'backbone': backbone}).backbone is backbone


@pytest.mark.parametrize(
    ('model', 'head', 'wanted'),
    [
        ('DINO', {'type': 'ContrastiveHead'}, 'DINOHead'),
        ('DINOv3', {'type': 'ClsHead', 'in_channels': 8, 'num_classes': 4}, 'DINOHead'),
        ('IBOT', {'type': 'DINOHead', 'in_channels': 8}, 'IBOTHead'),
    ],
)
def test_a_part_of_ours_without_the_fields_of_what_it_stands_for_is_refused(
    model: str, head: dict[str, Any], wanted: str
) -> None:
    fields = {'type': model, 'backbone': {'type': 'DINOViT'}, 'head': head}
    fields |= {'patch_head': {'type': 'DINOHead', 'in_channels': 8}} if model == 'DINOv3' else {}
    with refused(f'config.head is a {head["type"]}', wanted, f'--config.head.type={wanted}'):
        build_at('', Annotated[Any, KINDS['model']], fields)


def test_a_part_of_ours_with_these_fields_stands_in() -> None:
    head = {'type': 'IBOTHead', 'in_channels': 8}
    assert (
        build('model', {'type': 'DINO', 'backbone': BACKBONE, 'head': head}).head.in_channels == 8
    )


def test_an_unknown_type_is_refused_with_the_nearest_name() -> None:
    with refused("config.backbone.type='Resnet'", "Did you mean 'ResNet'?", "'my_module:MyClass'"):
        build('backbone', {'type': 'Resnet'})


@pytest.mark.parametrize('name', ['JsslError', 'Sequence', 'nn', 'Encoder'])
def test_what_a_module_merely_imports_is_no_component(name: str) -> None:
    with refused(f'config.model.type={name!r}', 'Valid names: '):
        build('model', {**MODEL, 'type': name})


def test_an_unknown_field_is_refused_with_the_nearest_name_and_its_place() -> None:
    wrong = {**MODEL, 'backbone': {**BACKBONE, 'stride': (1, 2, 2, 2)}}
    with refused('config.model.backbone.stride', 'ResNet', "Did you mean 'strides'?"):
        build('model', wrong)


@pytest.mark.parametrize('field', ['parent', 'name'])
def test_what_linen_adds_to_a_module_is_no_field(field: str) -> None:
    with refused(f'config.backbone.{field}'):
        build('backbone', {**BACKBONE, field: 'x'})


def test_all_missing_fields_are_named() -> None:
    with refused('config.neck lacks in_channels, out_channels', 'NonLinearNeck'):
        build('neck', {'type': 'NonLinearNeck', 'hid_channels': 8})


@pytest.mark.parametrize(
    ('kind', 'config', 'written'),
    [
        ('schedule', {'type': 'MultiStep'}, "'--config.schedule.milestones=[60, 80]'"),
        ('neck', {'type': 'NonLinearNeck'}, '--config.neck.in_channels=VALUE'),
        ('view', {'type': 'MultiView'}, '--config.view.view.type=NAME'),
    ],
)
def test_a_missing_field_is_shown_with_a_value_of_its_form(
    kind: str, config: dict[str, Any], written: str
) -> None:
    with refused(f'add {written} or write'):
        build(kind, config)


def test_a_class_that_a_module_does_not_have_is_told_with_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'own_heads.py').write_text('class TinyVICReg:\n    pass\n')
    (tmp_path / 'no_heads.py').write_text('from jssl.heads import ContrastiveHead as Other\n')
    monkeypatch.syspath_prepend(tmp_path)
    with refused("'own_heads' has no 'TinyVICreg'", "Did you mean 'TinyVICReg'?"):
        build('head', {'type': 'own_heads:TinyVICreg'})
    with refused("'no_heads' has no 'Mine'. It has no classes."):
        build('head', {'type': 'no_heads:Mine'})


@pytest.mark.parametrize('wrong', [None, 'ResNet', {'depth': 50}, {}])
def test_a_description_needs_a_type(wrong: Any) -> None:
    with refused('config.backbone must be a dict', "'type'", repr(wrong)):
        build('backbone', wrong)


@pytest.mark.parametrize('wrong', ['ResNet', {'depth': 50}, 50])
def test_plain_data_in_the_place_of_a_part_is_refused(wrong: Any) -> None:
    with refused('config.model.backbone', repr(wrong), 'SimCLR'):
        build('model', {**MODEL, 'backbone': wrong})


@pytest.mark.parametrize(
    ('field', 'wrong', 'expected'),
    [
        ('name', 3, 'str'),
        ('rate', '0.1', 'float'),
        ('rate', True, 'float'),
        ('count', 1.5, 'int or None'),
        ('count', True, 'int or None'),
        ('sizes', 3, 'a list of whole numbers, such as ['),
        ('flag', 1, 'bool'),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(field: str, wrong: Any, expected: str) -> None:
    given = type(wrong).__name__
    with refused(f'config.head.{field}={wrong!r}', f'has type {given}', f'expects {expected}'):
        options(**{field: wrong})


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('rate', 1),
        ('count', 3),
        ('count', None),
        ('sizes', [1, 2]),
        ('sizes', (1,)),
        ('flag', True),
    ],
)
def test_values_that_fit_are_taken(field: str, value: Any) -> None:
    assert getattr(options(**{field: value}), field) == value


@pytest.mark.parametrize(
    ('field', 'wrong'), [('depth', '50'), ('strides', 2), ('cifar_stem', 'yes')]
)
def test_the_types_of_a_module_s_fields_are_checked(field: str, wrong: Any) -> None:
    with refused(f'config.backbone.{field}={wrong!r}', type(wrong).__name__):
        build('backbone', {**BACKBONE, field: wrong})


def test_a_class_objects_in_its_own_words() -> None:
    with refused('config.head.temperature=-1', 'positive'):
        build('head', {'type': 'ContrastiveHead', 'temperature': -1})


def test_a_user_s_own_backbone_lies_where_the_command_is_run(users_module: str) -> None:
    backbone = {'type': f'{users_module}:Patches', 'width': 16}
    model = build('model', {**MODEL, 'backbone': backbone, 'neck': {**NECK, 'in_channels': 16}})
    assert isinstance(model.backbone, nn.Module)
    images = jnp.zeros((4, 8, 8, 3))
    params, state = jax.eval_shape(model.init, jax.random.key(0), {'views': (images, images)})
    assert params['backbone']['Conv_0']['kernel'].shape == (4, 4, 3, 16)
    features = jax.eval_shape(model.extract_feat, params, state, images)
    assert features.shape == (4, 16)


def test_a_user_s_own_class_is_checked_like_ours(users_module: str) -> None:
    with refused('config.backbone.widht', "Did you mean 'width'?"):
        build('backbone', {'type': f'{users_module}:Patches', 'widht': 16})
    with refused("config.backbone.width='16'", 'expects int'):
        build('backbone', {'type': f'{users_module}:Patches', 'width': '16'})


def test_what_is_no_class_is_refused(users_module: str) -> None:
    with refused(f'{users_module}:nn', 'names a module', 'name a class'):
        build('backbone', {'type': f'{users_module}:nn'})


@pytest.mark.parametrize(
    'name',
    [
        *('no_such_module:Net', 'jssl.backbones:Net', 'jssl.backbones:', ':', ':Net', '.jssl:Net'),
        *('jssl..backbones:Net', 'broken_parts:Net', '\0:Net', 'jssl.backbones:ResNet.Inner'),
    ],
)
def test_what_cannot_be_imported_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'broken_parts.py').write_text('class Net(:')
    monkeypatch.syspath_prepend(tmp_path)
    with refused(f'config.backbone.type={name!r}', "'module:Class'"):
        build('backbone', {'type': name})


COMPONENTS = [(kind.name, name) for kind in KINDS.values() for name in classes_of(kind)]
INTERNAL = (
    '_HAS_DEFAULT',
    '<factory>',
    'inspect.',
    '<class',
    'parent',
    'Linen',
    'NoneType',
    'flax',
    'Literal',
)


def test_a_kind_has_its_own_classes_alone() -> None:
    assert set(classes_of(OPTIMIZER)) == {'SGD', 'LARS', 'AdamW', 'TrustRatioLARS'}
    assert set(classes_of(SCHEDULE)) == {
        *('Constant', 'WarmupCosine', 'MultiStep', 'TruncatedCosine')
    }
    with refused(
        "config.optimizer.type='Adam'",
        "Did you mean 'AdamW'",
        'names: AdamW, LARS, SGD, TrustRatioLARS.',
    ):
        build('optimizer', {'type': 'Adam', 'lr': 0.1})


@pytest.mark.parametrize(('kind', 'name'), COMPONENTS)
def test_messages_name_what_can_be_typed_and_no_other_library(kind: str, name: str) -> None:
    fields = fields_of(classes_of(KINDS[kind])[name])
    wrong: list[dict[str, Any]] = [{}, {'name_of_no_field': 1}, {'parent': None}, {'name': ()}]
    odd: tuple[Any, ...] = ('odd', 1.5, (), [()], {}, {'type': 'Odd'}, object, True, None)
    wrong += [{field: value} for field in fields for value in odd]
    for given in wrong:
        try:
            build(kind, {'type': name, **given})
        except JsslError as error:
            message = str(error)
            assert '\n' not in message
            for echo in (*map(repr, given.values()), *given):  # what the user wrote himself
                message = message.replace(echo, '')
            for word in INTERNAL:
                assert word not in message, message


def test_what_is_missing_is_added_on_the_command_line_or_in_the_config() -> None:
    with refused('add --config.neck.in_channels=VALUE', 'in_channels=... in the config'):
        build('neck', {'type': 'NonLinearNeck'})
    with refused('SimCLR expects dict(type=...)', 'add --config.model.backbone.type=ResNet.'):
        build('model', {**MODEL, 'backbone': 'ResNet'})
    with refused('add --config.backbone.type=ResNet.'):
        described: Any = 'ResNet'
        build('backbone', described)


@pytest.mark.parametrize(
    ('field', 'wrong', 'expected'),
    [
        ('strides', (1, '2'), 'a list of whole numbers, such as [1, 2, 2, 2].'),
        ('depth', None, 'int'),
        ('out_indices', (0.5,), 'a list of whole numbers, such as [4].'),
    ],
)
def test_what_is_in_a_tuple_is_checked(field: str, wrong: Any, expected: str) -> None:
    with refused(f'config.backbone.{field}={wrong!r}', f'ResNet expects {expected}'):
        build('backbone', {**BACKBONE, field: wrong})
    with refused('View expects a list of 2 numbers, such as [0.08, 1.0].'):
        build('view', {'type': 'View', 'size': 8, 'scale': (0.5,)})


@pytest.mark.parametrize('name', ['builtins:dict', 'builtins:type', 'builtins:int'])
def test_a_class_without_fields_to_set_is_refused(name: str) -> None:
    with refused('does not say what it is built with'):
        build('backbone', {'type': name})


def test_a_class_that_fails_when_it_is_made_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'frail.py').write_text(
        'import dataclasses\n\n\n@dataclasses.dataclass\nclass Frail:\n    width: int = 3\n\n'
        '    def __post_init__(self):\n        self.cells = 12 // (self.width - 3)\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with refused('config.backbone: ZeroDivisionError', 'frail.py, line 9'):
        build('backbone', {'type': 'frail:Frail'})


def test_the_examples_of_the_docs_run() -> None:
    """docs/guides/parts.md: an algorithm of several kinds of parts, and optimizers in loops."""
    page = (ROOT / 'docs' / 'guides/parts.md').read_text()
    described, schedule, *loops = re.findall(r'```python\n(.*?)```', page, flags=re.DOTALL)
    names: dict[str, Any] = {'__name__': 'parts', 'dataclasses': dataclasses, 'jssl': jssl}
    exec(described, names)
    hints = hints_of(names['MyAlgorithm'])
    kinds = {'student': 'backbone', 'patch_head': 'head', 'penalty': 'loss', 'global_view': 'view'}
    assert {name: kinds_of(hints[name])[0].name for name in kinds} == kinds
    assert [kind.name for kind in kinds_of(inside(hints['projectors'], 0))] == ['neck']
    exec(schedule, names)
    assert float(build('schedule', names['schedule'])(500)) == 1.0
    params = {'w': jnp.ones(2)}
    names |= {'params': params, 'gradients': params}
    exec(loops[0], names)
    assert float(names['updates']['w'][0]) < 0
    exec(loops[1], names)
    both = {'w': jnp.ones(2), 'last_layer': jnp.ones(2)}
    updates, _ = names['optimizer'].update(both, names['optimizer'].init(both))
    assert float(updates['w'][0]) < 0 == float(updates['last_layer'][0])
