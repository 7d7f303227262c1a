"""A class of a user's own comes in and goes out as the class that it extends."""

import dataclasses
from typing import Any, ClassVar

import jax
import pytest

from jssl import algorithms
from jssl.algorithm import Algorithm
from jssl.algorithms import BYOL, DenseCL, MoCo, MoCoV3
from jssl.heads import LatentPredictHead
from jssl.interop.exporters import packed
from jssl.interop.mmselfsup import build_model, export_state, import_state
from jssl.interop.model_dicts import model_config
from jssl.reference import Hook, Hooks, Reference, reference_of
from tests.checks import assert_trees_close, refused, well_scaled
from tests.interop.shipped import BYOL as SHIPPED_BYOL

TINY = dict(type='ResNet', depth=10, base_channels=4, strides=(2,), out_indices=(1,))
WIDTHS = dict(type='NonLinearNeck', hid_channels=8, out_channels=4, num_layers=2)
IMAGES = jax.ShapeDtypeStruct((2, 8, 8, 3), 'float32')


@dataclasses.dataclass(frozen=True)
class Mine(BYOL):
    """BYOL as a user changes it."""


class MyHead(LatentPredictHead):
    """A head as a user changes it."""


def described(type_: str, **head: Any) -> dict[str, Any]:
    predictor = WIDTHS | dict(in_channels=4, with_avg_pool=False)
    loss = dict(type='CosineSimilarityLoss', shift_factor=1.0)
    head = dict(type='LatentPredictHead', predictor=predictor, loss=loss) | head
    return dict(type=type_, backbone=TINY, neck=WIDTHS | dict(in_channels=4), head=head)


def test_a_subclass_of_byol_goes_out_and_in_again() -> None:
    algorithm: Any = build_model(described(f'{__name__}:Mine'))
    assert type(algorithm) is Mine
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0), {'views': (IMAGES, IMAGES)})
    params, state = well_scaled(shapes)
    weights = export_state(params, state, algorithm=algorithm)
    assert 'target_net.module.0.conv1.weight' in weights
    assert 'target_net.module.1.fc0.weight' in weights
    assert 'target_net.steps' in weights
    whole = packed(algorithm, params, state, {}, whole=True).arrays
    assert whole.keys() == weights.keys()
    back = import_state(weights, *shapes, algorithm=algorithm)
    assert_trees_close(back, (params, state), rtol=0)


def test_a_part_of_one_s_own_is_described_as_the_class_that_it_extends() -> None:
    algorithm: Any = build_model(described('mmselfsup.BYOL', type=f'{__name__}:MyHead'))
    assert type(algorithm.head) is MyHead
    assert (algorithm.head.shift, algorithm.head.scale) == (1.0, 1.0)
    assert model_config(SHIPPED_BYOL)['type'] == 'BYOL'


@dataclasses.dataclass(frozen=True)
class Slow(Algorithm):
    """An algorithm that MMSelfSup does not have."""

    wait: int = 0

    reference: ClassVar[Reference] = Reference(
        types=('Slower',), fields={'patience': 'wait'}, keys={'slow.center': 'center'}
    )

    @classmethod
    def hook_settings(cls, hooks: Hooks, model: Any) -> dict[str, Any]:
        """Twice what the hook says."""
        hook: Hook | None = hooks.get('WaitHook')
        return {} if hook is None else {'wait': 2 * hook.count('steps', 1)}


def test_an_algorithm_of_one_s_own_says_its_names_places_and_hooks() -> None:
    kind = f'{__name__}:Slow'
    assert build_model(dict(type=kind, patience=3)) == Slow(wait=3)
    assert build_model(dict(type=kind), [dict(type='WaitHook', steps=4)]) == Slow(wait=8)
    with refused("WaitHook has no field 'step'", "Did you mean 'steps'?"):
        build_model(dict(type=kind), [dict(type='WaitHook', step=4)])
    with refused("steps='4'", 'whole number'):
        build_model(dict(type=kind), [dict(type='WaitHook', steps='4')])
    state = {'slow': {'center': jax.numpy.ones(3), 'other': jax.numpy.ones(2)}}
    assert export_state({}, state, algorithm=Slow()).keys() == {'center'}


@pytest.mark.parametrize('algorithm', [BYOL, DenseCL, MoCo, MoCoV3])
def test_every_teacher_has_a_name_there(algorithm: type[Algorithm]) -> None:
    keys = reference_of(algorithm).keys
    assert len({key.partition('.')[0] for place, key in keys.items() if '.' in place}) == 1


def test_each_name_of_the_reference_is_that_of_one_class() -> None:
    found = [value for value in vars(algorithms).values() if isinstance(value, type)]
    names = [name for value in found for name in (value.__name__, *reference_of(value).types)]
    assert len(names) == len(set(names))
