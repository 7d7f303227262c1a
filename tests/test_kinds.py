"""The kind of a part is that of its field's annotation, whatever the field is called."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import pytest

import jssl
from jssl.algorithms import SimCLR
from jssl.augment.views import View
from jssl.backbones import ResNet
from jssl.checks import DType
from jssl.components import build
from jssl.data.loading.samplers import Sampler
from jssl.data.sources import Source
from jssl.evaluation.features import EvalView
from jssl.heads import ClsHead, ContrastiveHead
from jssl.kinds import KINDS, Backbone, classes_of, kinds_of
from jssl.losses import CrossEntropyLoss
from jssl.necks import NonLinearNeck
from jssl.optim.optimizers import Optimizer
from jssl.optim.schedules import ScheduleFactory, WarmupCosine
from tests.checks import refused

BACKBONE = {'type': 'ResNet', 'depth': 10, 'base_channels': 4}
NECK = {'type': 'NonLinearNeck', 'in_channels': 32, 'hid_channels': 8, 'out_channels': 8}
HEAD = {'type': 'ContrastiveHead', 'temperature': 0.5}

USERS_PARTS = """
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import flax.linen as nn

from jssl.augment.views import View
from jssl.checks import DType
from jssl.heads import ClsHead
from jssl.kinds import Backbone, Head, Loss, Neck


class Policy(Protocol):
    def __call__(self, key: Any, canvas: Any) -> Any: ...


@dataclasses.dataclass(frozen=True)
class Local:
    size: int = 3


@dataclasses.dataclass(frozen=True)
class Crops:
    global_view: View
    local_view: Policy
    others: tuple[View, ...] = ()
    by_name: Mapping[str, View] | None = None
    settings: Mapping[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Two:
    student: Backbone
    patch_head: ClsHead
    token_head: Head
    heads: Sequence[Head] = ()
    project: nn.Module | None = None
    anything: Any = None
    penalty: Loss | None = None
    width: int = 8


def narrow(width: int) -> Local:
    return Local(width // 2)
"""
VIEW = {'type': 'View', 'size': 8}
LOGITS = {'type': 'ClsHead', 'in_channels': 32, 'num_classes': 4}


@pytest.fixture
def parts_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f'parts_{tmp_path.name}'.replace('-', '_')
    (tmp_path / f'{name}.py').write_text(USERS_PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_the_annotation_of_a_field_says_its_kind_whatever_it_is_called(parts_module: str) -> None:
    fields = {
        'student': BACKBONE,
        'patch_head': LOGITS,
        'token_head': HEAD,
        'heads': [HEAD, {'type': 'MoCoV3Head', 'predictor': NECK}],
        'project': NECK,  # annotated as any module
        'anything': {'type': 'WarmupCosine'},
        'penalty': {'type': 'CrossEntropyLoss'},
    }
    built = build('model', {'type': f'{parts_module}:Two', **fields})
    assert built.student == ResNet(depth=10, base_channels=4)
    assert built.patch_head == ClsHead(in_channels=32, num_classes=4)
    assert built.token_head == ContrastiveHead(temperature=0.5)
    assert built.heads[1].predictor == built.project == NonLinearNeck(32, 8, 8)
    assert built.anything == WarmupCosine()
    assert built.penalty == CrossEntropyLoss()


def test_parts_are_built_in_tuples_lists_and_mappings(parts_module: str) -> None:
    local = {'type': f'{parts_module}:Local'}
    fields = {
        'global_view': VIEW,
        'local_view': local,
        'others': (VIEW, local),
        'by_name': {'a': VIEW},
        'settings': {'type': 'no part', 'inner': {'deep': [local]}},
    }
    built = build('view', {'type': f'{parts_module}:Crops', **fields})
    view = View(size=8)
    assert built.global_view == built.others[0] == built.by_name['a'] == view
    assert built.local_view.size == built.others[1].size == 3
    assert built.settings['type'] == 'no part'  # a mapping is what its field takes
    assert built.settings['inner']['deep'][0].size == 3


def test_a_function_of_ones_own_makes_a_part(parts_module: str) -> None:
    crops = {'type': f'{parts_module}:Crops', 'global_view': VIEW}
    local = {'type': f'{parts_module}:narrow', 'width': 6}
    assert build('view', crops | {'local_view': local}).local_view.size == 3
    with refused('config.view.local_view.widht is not a field of narrow', "'width'?"):
        build('view', crops | {'local_view': {'type': f'{parts_module}:narrow', 'widht': 6}})
    with refused("config.view.local_view.width='6'", 'narrow expects int'):
        build('view', crops | {'local_view': local | {'width': '6'}})


@pytest.mark.parametrize(
    ('field', 'value', 'words'),
    [
        ('patch_head', {'type': 'ClsHaed'}, ["patch_head.type='ClsHaed'", "mean 'ClsHead'?"]),
        ('heads', [HEAD, {'type': 'x'}], ["config.model.heads.1.type='x'", 'ContrastiveHead']),
        ('student', NECK, ['It is a neck', 'name jssl.necks:NonLinearNeck']),
        ('project', {'type': 'NonLinerNeck'}, ["'NonLinearNeck'?", 'come close: NonLinearNeck, ']),
        ('width', BACKBONE, ['has type dict', 'expects int']),
        ('patch_head', {'in_channels': 32}, ['expects dict(type=...)']),
        ('heads', HEAD, ['expects a list of values, each dict(type=...)']),
    ],
)
def test_what_is_no_part_of_the_kind_is_refused(
    parts_module: str, field: str, value: Any, words: list[str]
) -> None:
    fields = {'student': BACKBONE, 'patch_head': LOGITS, 'token_head': HEAD, field: value}
    with refused('config.model.', *words):
        build('model', {'type': f'{parts_module}:Two', **fields})


def test_a_description_is_no_part_where_a_class_is_called() -> None:
    described: Any = BACKBONE
    with refused('SimCLR.backbone=', 'must be a backbone that was made', 'jssl.backbones'):
        SimCLR(backbone=described, neck=NonLinearNeck(4, 4, 4), head=ContrastiveHead())


def test_names_are_unique_over_all_kinds() -> None:
    """A field that takes any module looks through all packages."""
    names = [name for kind in KINDS.values() for name in classes_of(kind)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ('hint', 'expected'),
    [
        (int, []),
        (str | None, []),
        (DType | None, []),
        (tuple[View, ...], []),
        (View | None, ['view']),
        (jssl.Algorithm, ['model']),
        (Source, ['data']),
        (Sampler, ['sampler']),
        (Optimizer, ['optimizer']),
        (ScheduleFactory, ['schedule']),
        (EvalView, ['view']),
        (Backbone, ['backbone']),
        (nn.Module, ['backbone', 'neck', 'head', 'target_generator']),
        (Any, list(KINDS)),
    ],
)
def test_the_kind_of_an_annotation(hint: Any, expected: list[str]) -> None:
    assert [kind.name for kind in kinds_of(hint)] == expected
