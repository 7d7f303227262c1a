"""What can be swept, and what is refused with what to do instead."""

import dataclasses
import re
from typing import Any

import pytest

import jssl
from jssl.errors import JsslError
from jssl.optim.optimizers import SGD
from jssl.training.settings import MeshShape
from jssl.training.sweep import Sweep
from tests.training import toy


class Clustering(toy.Toy):
    """It does something before the second epoch."""

    def refreshes(self, epoch: int) -> bool:
        return epoch == 1


class Shifted(toy.Toy):
    """The width of the network is a number in what it gives, and in nothing else."""

    def extract_feat(self, params: Any, state: Any, images: Any) -> Any:
        return super().extract_feat(params, state, images) + self.width

    def init(self, rng: Any, batch: Any) -> Any:
        return dataclasses.replace(self, width=8).init_(rng, batch)

    def init_(self, rng: Any, batch: Any) -> Any:
        return toy.Toy.init(self, rng, batch)


def refusal(field: str, *lanes: tuple[Any, jssl.Experiment]) -> str:
    """What is said of a sweep over one field."""
    with pytest.raises(JsslError) as error:
        Sweep([found for _, found in lanes], [{field: value} for value, _ in lanes]).check()
    return str(error.value)


def test_a_field_that_is_none_of_what_may_vary_is_refused_by_name() -> None:
    said = refusal('epochs', (3, toy.experiment()), (6, toy.experiment(epochs=6)))
    assert 'config.epochs cannot vary in a sweep: only fields of model, optimizer' in said
    assert '--config.epochs=3, then --config.epochs=6' in said


def test_a_field_that_changes_the_program_is_refused_by_name() -> None:
    lanes = [toy.experiment(optimizer=SGD(lr=0.1, momentum=value)) for value in (0.9, 0.0)]
    settings = [{'optimizer.momentum': 0.9, 'seed': 0}, {'optimizer.momentum': 0.0, 'seed': 0}]
    with pytest.raises(JsslError, match=r'optimizer\.momentum changes the train step by'):
        Sweep(lanes, settings).check()
    said = refusal(
        'model.width',
        (8, toy.experiment()),
        (9, toy.experiment(toy.Toy(width=9))),
    )
    assert said.startswith('config.model.width changes the first state by more than numbers (')
    assert '--config.model.width=8, then --config.model.width=9' in said


@pytest.mark.parametrize(('field', 'values'), [('momentum', (0.0, 0.9)), ('clip', (None, 1.0))])
def test_a_lane_that_has_another_state_is_refused(field: str, values: tuple[Any, ...]) -> None:
    lanes = [(v, toy.experiment(optimizer=SGD(lr=0.1, **{field: v}))) for v in values]
    said = refusal(f'optimizer.{field}', *lanes)
    assert re.match(rf'config\.optimizer\.{field} changes the .* by more than numbers \(\w', said)
    assert 'OtherProgram' not in said


def test_a_lane_that_is_wrong_by_itself_says_so() -> None:
    class Narrow(toy.Toy):
        def loss(self, params: Any, state: Any, batch: Any) -> Any:
            raise JsslError('config.model.width=1 is too narrow.')

    said = refusal('model.width', (8, toy.experiment()), (1, toy.experiment(Narrow(width=8))))
    assert said == 'config.model.width=1 is too narrow.'


def test_the_values_to_try_can_be_typed() -> None:
    lanes = [(v, toy.experiment()) for v in ((1, 2), 'Constant', {'type': 'A b'})]
    said = refusal('data', *lanes)
    assert "'--config.data=(1, 2)', then --config.data=Constant, then '--config.data={" in said


def test_a_field_that_changes_what_a_network_gives_is_refused() -> None:
    lanes = [(width, toy.experiment(Shifted(width=width))) for width in (8, 9)]
    assert 'config.model.width changes the features' in refusal('model.width', *lanes)


@pytest.mark.parametrize(
    ('found', 'words'),
    [
        (toy.experiment(Clustering()), 'Clustering does something between epochs'),
        ({'mesh': MeshShape(devices=8)}, 'there are 8; add --config.mesh.devices=1.'),
        ({'resident': 'no'}, 'add --config.resident=yes'),
        ({'non_finite': 'skip'}, "leave config.non_finite at 'stop'"),
    ],
)
def test_an_experiment_that_cannot_be_swept_is_refused(found: Any, words: str) -> None:
    if isinstance(found, dict):
        base = toy.experiment()
        found = dataclasses.replace(base, runtime=dataclasses.replace(base.runtime, **found))
    assert words in refusal('seed', (0, found), (1, found))


def test_lanes_that_differ_in_the_seed_alone_are_one_program() -> None:
    settings = [{'optimizer.lr': lr, 'seed': seed} for lr in (0.1, 0.2) for seed in (0, 1)]
    lanes = [toy.experiment(optimizer=SGD(lr=setting['optimizer.lr'])) for setting in settings]
    sweep = Sweep(lanes, settings)
    assert sweep.programs == [0, 2]
    assert sweep.program_of.tolist() == [0, 0, 1, 1]
