import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.algorithm import Algorithm, Run
from jssl.config import choose, experiment
from jssl.optim.optimizers import SGD
from jssl.optim.schedules import Constant
from jssl.training.settings import Evaluate, MeshShape, Runtime
from tests.checks import refused


@dataclasses.dataclass(frozen=True)
class Part(Algorithm):
    """Stands for any component that is not used before the run."""

    size: int = 1

    def __call__(self, *arguments: Any) -> Any:
        """As policies and views are called."""


@dataclasses.dataclass(frozen=True)
class Noise:
    """A user's own data source."""

    count: int = 40

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {'image': np.full((4, 4, 3), index, 'uint8')}


@dataclasses.dataclass(frozen=True)
class Labelled(Noise):
    """The same with labels."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        return super().__getitem__(index) | {'label': index % 3}


def spread(train: Any, test: Any) -> dict[str, float]:
    """A metric of a user's own."""
    return {'my_spread': 1.0}


@dataclasses.dataclass(frozen=True)
class Width:
    """The same with a setting."""

    scale: float = 1.0

    def __call__(self, train: Any, test: Any) -> dict[str, float]:
        return {'my_width': self.scale}


PART = {'type': f'{__name__}:Part'}
DATA = {'type': f'{__name__}:Noise'}
CONFIG = {
    'model': PART,
    'data': DATA,
    'test_data': {**DATA, 'count': 10},
    'views': PART,
    'eval_view': PART,
    'optimizer': {'type': 'SGD', 'lr': 0.1},
    'schedule': {'type': 'Constant'},
    'canvas': 4,
    'batch_size': 16,
    'epochs': 2,
}


def test_metrics_are_functions_as_they_stand_and_classes_that_are_made() -> None:
    metrics = [{'type': f'{__name__}:spread'}, {'type': f'{__name__}:Width', 'scale': 2.0}]
    assert experiment({**CONFIG, 'metrics': metrics}).metrics == [spread, Width(2.0)]
    for wrong, words in (
        (f'{__name__}:spread', "[dict(type='my_module:my_metric')]"),
        ([{'type': f'{__name__}:spred'}], "Did you mean 'spread'?"),
        ([{'type': f'{__name__}:Width', 'scal': 2}], "Did you mean 'scale'?"),
    ):
        with refused('config.metrics', words):
            experiment({**CONFIG, 'metrics': wrong})


def test_an_experiment_has_the_components_and_numbers_of_its_config() -> None:
    found = experiment({**CONFIG, 'model': {**PART, 'size': 3}})
    run = Run(samples=40, steps_per_epoch=2, epochs=2)
    assert found.algorithm == Part(size=3, run=run)
    assert (found.data, found.test_data) == (Noise(), Noise(count=10))
    assert (found.views, found.eval_view) == (Part(), Part())
    assert (found.optimizer, found.schedule) == (SGD(lr=0.1), Constant())
    assert (found.canvas, found.batch_size, found.epochs) == (4, 16, 2)
    assert found.runtime == Runtime()


def test_what_the_runtime_does_not_say_keeps_its_default() -> None:
    given = {'seed': 7, 'evaluate': {'neighbors': 5}, 'mesh': {'fsdp': 2}}
    expected = Runtime(seed=7, evaluate=Evaluate(neighbors=5), mesh=MeshShape(fsdp=2))
    assert experiment({**CONFIG, **given}).runtime == expected


@pytest.mark.parametrize('without', [{}, {'test_data': None}])
def test_held_out_images_may_be_left_out(without: dict[str, Any]) -> None:
    config = {key: value for key, value in CONFIG.items() if key != 'test_data'}
    assert experiment({**config, **without}).test_data is None


def test_a_source_to_probe_with_and_the_channels_may_be_given() -> None:
    labelled = {'type': f'{__name__}:Labelled'}
    config = {**CONFIG, 'test_data': labelled, 'probe_data': {**labelled, 'count': 6}}
    found = experiment({**config, 'channels': 1})
    assert (found.probe_data, found.channels) == (Labelled(count=6), 1)
    found = experiment({**CONFIG, 'probe_data': None})
    assert (found.probe_data, found.channels) == (None, 3)


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with refused('config.optimiser', "Did you mean 'optimizer'?"):
        experiment({**CONFIG, 'optimiser': PART})


def test_all_missing_keys_are_named() -> None:
    config = {key: value for key, value in CONFIG.items() if key not in ('views', 'epochs')}
    with refused('lacks views, epochs', 'configs/simclr.py'):
        experiment(config)


@pytest.mark.parametrize(('section', 'wrong'), [('mesh', 'fsdb'), ('evaluate', 'neighbours')])
def test_an_unknown_key_of_a_section_is_refused(section: str, wrong: str) -> None:
    with refused(f'config.{section}.{wrong}', 'Did you mean'):
        experiment({**CONFIG, section: {wrong: 2}})


@pytest.mark.parametrize(
    ('key', 'wrong'),
    [
        ('batch_size', '16'),
        ('batch_size', 0),
        ('canvas', 4.0),
        ('channels', '3'),
        ('channels', 0),
        ('epochs', None),
        ('seed', 0.5),
        ('seed', -1),
        ('resident', 'maybe'),
        ('mesh', 8),
        ('mesh', None),
        ('mesh', {'fsdp': '2'}),
        ('evaluate', {'every_epochs': True}),
        ('checkpoint', {'keep': 0}),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(key: str, wrong: Any) -> None:
    name, value = next(iter(wrong.items())) if isinstance(wrong, dict) else ('', wrong)
    with refused(f'config.{key}{"." * bool(name)}{name}={value!r}'):
        experiment({**CONFIG, key: wrong})


@pytest.mark.parametrize('key', ['model', 'views', 'optimizer'])
def test_a_required_component_cannot_be_none(key: str) -> None:
    with refused(f'config.{key}'):
        experiment({**CONFIG, key: None})


def test_a_wrong_component_is_refused_under_its_key() -> None:
    with refused('config.test_data.cuont', "Did you mean 'count'?"):
        experiment({**CONFIG, 'test_data': {**DATA, 'cuont': 3}})


def test_the_first_experiment_is_the_default_and_has_the_runtime_s_defaults() -> None:
    experiments = {'small': lambda: {'epochs': 1}, 'large': lambda: {'epochs': 9, 'seed': 3}}
    defaults = {**dataclasses.asdict(Runtime()), 'channels': 3}
    assert choose('', **experiments).to_dict() == {**defaults, 'epochs': 1}
    assert choose('large', **experiments).to_dict() == {**defaults, 'epochs': 9, 'seed': 3}


def test_a_section_of_the_runtime_need_not_be_given_whole() -> None:
    chosen = choose('', small=lambda: {'evaluate': {'every_epochs': 9}}).to_dict()
    assert chosen['evaluate'] == {**dataclasses.asdict(Evaluate()), 'every_epochs': 9}
    assert chosen['mesh'] == dataclasses.asdict(MeshShape())


def test_a_section_that_is_no_dict_is_left_to_the_check_that_names_it() -> None:
    chosen = choose('', small=lambda: {**CONFIG, 'mesh': 8}).to_dict()
    with refused('config.mesh=8'):
        experiment(chosen)


def test_an_experiment_has_defaults_of_its_own() -> None:
    choose('', small=dict)['mesh']['fsdp'] = 4
    assert choose('', small=dict)['mesh']['fsdp'] == 1


def test_an_unknown_variant_is_refused() -> None:
    with refused("'imagenett'", "Did you mean 'imagenet'?", 'small'):
        choose('imagenett', small=dict, imagenet=dict)


def widths(learning_rate: float = 0.1, *, width: int = 2) -> optax.GradientTransformation:
    """A user's function that makes an optimizer."""
    return optax.chain(optax.clip(width), optax.sgd(learning_rate))


def no_rate(width: int) -> optax.GradientTransformation:
    """Another, with its rate in it."""
    return optax.sgd(0.1 * width)


COSINE = {'type': 'WarmupCosine', 'warmup_epochs': 1.0}


@pytest.mark.parametrize(
    ('optimizer', 'rates'),
    [
        ({'type': 'optax:adamw', 'learning_rate': 0.2, 'weight_decay': 0.1}, [2e-5, 0.2]),
        ({'type': f'{__name__}:widths', 'width': 3}, [1e-5, 0.1]),  # the default is a rate too
    ],
)
def test_a_function_that_takes_a_learning_rate_follows_the_schedule(
    optimizer: dict[str, Any], rates: list[float]
) -> None:
    found = experiment({**CONFIG, 'optimizer': optimizer, 'schedule': COSINE})
    assert found.rate is not None
    assert [found.rate(step) for step in (0, 1)] == pytest.approx(rates)
    params = {'w': jnp.ones(2)}
    assert found.transformation.init(params)


def test_a_function_of_ones_own_may_have_its_rate_in_it() -> None:
    optimizer = {'type': f'{__name__}:no_rate', 'width': 2}
    for schedule in ({}, {'schedule': None}):
        without = {key: value for key, value in CONFIG.items() if key != 'schedule'}
        found = experiment({**without, 'optimizer': optimizer, **schedule})
        assert found.rate is None
        params = {'w': jnp.ones(2)}
        updates, _ = found.transformation.update(params, found.transformation.init(params), params)
        assert updates['w'].tolist() == pytest.approx([-0.2, -0.2])
    with refused('has no effect', '--config.schedule=None'):
        experiment({**CONFIG, 'optimizer': optimizer, 'schedule': COSINE})
    curve = {'type': 'optax:linear_schedule', 'init_value': 0.2, 'end_value': 0.0}
    rate = {'type': 'optax:sgd', 'learning_rate': curve | {'transition_steps': 4}}
    found = experiment({**CONFIG, 'optimizer': rate})
    assert found.rate is None


def test_a_schedule_of_optax_multiplies_the_rate() -> None:
    curve = {'type': 'optax:linear_schedule', 'init_value': 1.0, 'end_value': 0.0}
    found = experiment({**CONFIG, 'schedule': curve | {'transition_steps': 4}})
    assert found.rate is not None
    assert [float(found.rate(step)) for step in (0, 2)] == pytest.approx([0.1, 0.05])


def test_images_have_sides_that_an_array_can_have() -> None:
    with refused('config.canvas=2147483647 must be a whole number between 1 and 32767'):
        experiment({**CONFIG, 'canvas': 2**31 - 1})
    with refused('config.eval_view.size=1000000000 must be a whole number between 1 and 32767'):
        experiment({**CONFIG, 'eval_view': {'type': 'CenterView', 'size': 10**9}})


def test_a_schedule_of_optax_takes_finite_numbers() -> None:
    curve = {'type': 'optax:linear_schedule', 'init_value': math.nan, 'end_value': 0.0}
    with refused('config.schedule.init_value=nan must be a finite number'):
        experiment({**CONFIG, 'schedule': curve | {'transition_steps': 4}})


@pytest.mark.parametrize(
    ('optimizer', 'words'),
    [
        ({'type': 'optax:adamw'}, ['config.optimizer lacks learning_rate, which adamw needs']),
        ({'type': 'optax:adamw', 'learning_rate': -1}, ['config.optimizer.learning_rate=-1']),
        ({'type': 'optax:adamw', 'learning_rate': 'x'}, ["config.optimizer.learning_rate='x'"]),
        ({'type': 'optax:adamw', 'learning_rate': True}, ['optimizer.learning_rate=True']),
        ({'type': 'optax:adamw', 'learning_rate': [1]}, ['optimizer.learning_rate=[1]']),
        ({'type': 'optax:adamw', 'learning_rate': math.inf}, ['optimizer.learning_rate=inf']),
        (
            {'type': 'optax:adamw', 'learning_rate': 0.1, 'weight_decay': 'nan'},
            ["config.optimizer.weight_decay='nan' must be a finite", '.weight_decay=0.0001'],
        ),
        (
            {'type': 'optax:adamw', 'learning_rate': 0.1, 'b1': math.nan},
            ['config.optimizer.b1=nan must be a finite number', '--config.optimizer.b1=0.9'],
        ),
        (
            {'type': 'optax:adamw', 'learning_rate': 0.1, 'clip': 1.0},
            ['config.optimizer.clip is not a field of adamw'],
        ),
        (
            {'type': 'optax:adamv', 'learning_rate': 0.1},
            ["Did you mean 'adam'?", 'come close: adam', ', adamw'],
        ),
        ({'type': 'optax:cosine_decay_schedule', 'init_value': 1, 'decay_steps': 2}, ['optax.ad']),
        ({'type': f'{__name__}:no_rate', 'width': 'x'}, ["optimizer.width='x'", 'expects int']),
    ],
)
def test_an_optimizer_of_optax_that_cannot_be_meant_is_refused(
    optimizer: dict[str, Any], words: list[str]
) -> None:
    with refused(*words):
        experiment({**CONFIG, 'optimizer': optimizer})
