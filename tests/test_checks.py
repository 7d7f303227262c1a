"""Every numeric field of every component refuses what is no number of its range, by its path."""

import copy
import dataclasses
import importlib
import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.checks import (
    BelowOne,
    Checked,
    Count,
    DType,
    Finite,
    Positive,
    check_value,
    constrained,
    distinct,
)
from jssl.components import build, build_at, find
from jssl.config import TOP, experiment, hint_at
from jssl.errors import JsslError, show
from jssl.kinds import BACKBONE, KINDS, classes_of
from jssl.training import settings
from tests.checks import refused
from tests.test_configs import load

ROOT = Path(__file__).resolve().parent.parent
NAN, INF = float('nan'), float('inf')


@dataclasses.dataclass(frozen=True)
class Part(Checked):
    """One field of each kind."""

    count: Count = 1
    share: BelowOne = 0.5
    positive: Positive | None = None
    pair: tuple[Finite, Finite] = (0.0, 1.0)
    dtype: DType | None = None
    name: str = 'x'


class Module(Checked, nn.Module):
    width: Count = 3

    def __call__(self, x: Any) -> Any:
        return x * self.width


@pytest.mark.parametrize(
    ('field', 'value', 'remedy'),
    [
        ('count', 0, 'a whole number of at least 1'),
        ('count', 1.0, 'a whole number of at least 1'),
        ('count', True, 'a whole number of at least 1'),
        ('count', None, 'a whole number of at least 1'),
        ('count', 2**31, 'a whole number between 1 and 2147483647'),
        ('share', 1, 'a number of at least 0 and below 1'),
        ('share', NAN, 'a number of at least 0 and below 1'),
        ('share', 'half', 'a number of at least 0 and below 1'),
        ('positive', 0.0, 'a positive number or None'),
        ('positive', 1e-13, 'a number of at least 1e-12'),
        ('positive', 1e30, 'a positive number of at most 1000000000'),
        ('positive', 10**400, 'a positive number of at most 1000000000'),
        ('positive', -INF, 'a positive number'),
        ('pair', (1.0,), 'a list of two numbers'),
        ('pair', (1.0, NAN), 'each a number of at least -1e+09'),
        ('pair', 'ab', 'a list of two numbers'),
        ('dtype', 'bf16', "one of 'float32', 'float64', 'bfloat16'"),
        ('dtype', 'float16', 'float16 would need its loss scaled'),
        ('dtype', jnp.float16, 'float16 would need its loss scaled'),
        ('dtype', 'int32', "one of 'float32', 'float64', 'bfloat16'"),
        ('dtype', [], "one of 'float32', 'float64', 'bfloat16'"),
    ],
)
def test_what_is_refused(field: str, value: Any, remedy: str) -> None:
    with pytest.raises(JsslError) as caught:
        Part(**{field: value})
    said = str(caught.value)
    assert said.startswith(f'Part.{field}={show(value)} must be ')
    assert remedy in said


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('count', 2**31 - 1),
        ('count', np.int64(5)),
        ('share', 0),
        ('share', np.float32(0.25)),
        ('positive', None),
        ('pair', [3, -4.5]),
        ('dtype', 'bfloat16'),
        ('dtype', jnp.bfloat16),
        ('dtype', np.dtype('float64')),
        ('dtype', None),
    ],
)
def test_what_is_accepted(field: str, value: Any) -> None:
    assert getattr(Part(**{field: value}), field) is value


def test_flax_modules_are_checked_and_work() -> None:
    assert Module(width=4).bind({})(2) == 8
    with refused('Module.width=-1 must be'):
        Module(width=-1)
    with refused('Module.width=0 must be'):
        Module().clone(width=0)


def test_values_of_a_dict() -> None:
    hint = constrained(classes_of(BACKBONE)['VisionTransformer'])['arch']
    check_value('arch', 'base', hint)
    check_value('arch', {'num_layers': 2}, hint)
    with refused('num_layers'):
        check_value('arch', {'num_layers': -2}, hint)


def test_distinct() -> None:
    assert distinct([2, 0], range(3))
    assert not distinct([], range(3))
    assert not distinct([1, 1], range(3))
    assert not distinct([3], range(3))


def test_a_config_s_value_is_refused_by_its_path() -> None:
    with refused('config.head.temperature=nan must be a positive number'):
        build('head', dict(type='ContrastiveHead', temperature=NAN))
    predictor = dict(type='NonLinearNeck', in_channels=4, hid_channels=0, out_channels=4)
    with refused('config.head.predictor.hid_channels=0 must be a whole'):
        build('head', dict(type='MoCoV3Head', predictor=predictor))


def components() -> list[type]:
    """Every class that a config can name, and the sections of a run's settings."""
    found = {settings.Runtime, settings.Evaluate, settings.Checkpoint, settings.MeshShape}
    for kind in KINDS.values():
        for value in vars(importlib.import_module(kind.package)).values():
            if inspect.isclass(value) and dataclasses.is_dataclass(value):
                found |= set() if value.__name__.startswith('_') else {value}
    return sorted(found, key=lambda component: component.__name__)


@pytest.mark.parametrize('component', components(), ids=lambda component: component.__name__)
def test_every_numeric_field_has_a_range(component: type) -> None:
    """A new field that is a bare int or float fails here: it would take NaN and -1."""
    hints = typing.get_type_hints(component, include_extras=True)
    bare = [
        field.name
        for field in dataclasses.fields(component)
        if field.init and field.name not in ('parent', 'name') and is_bare(hints[field.name])
    ]
    assert not bare
    if constrained(component):
        assert issubclass(component, Checked)


def is_bare(hint: Any) -> bool:
    """Whether an annotation lets any number through; arrays are checked by what takes them."""
    if hint in (int, float):
        return True
    if typing.get_origin(hint) is typing.Annotated or 'ndarray' in str(hint):
        return False
    return any(map(is_bare, typing.get_args(hint)))


INTEGERS: tuple[Any, ...] = (-1, 0, 10**12, NAN, 'abc', None, [], True, 1.5, -INF)
FLOATS: tuple[Any, ...] = (-1.0, NAN, 1e30, INF, -INF, 'abc', None, [], True, 10**400)
SEQUENCES: tuple[Any, ...] = (
    [],
    None,
    [NAN, NAN],
    'abc',
    [-1],
    5,
    [1e30] * 2,
    ['x'],
    [None],
    [1] * 1000,
)
STRINGS: tuple[Any, ...] = ('', None, 5, 'nonsense', [], '\0')
FLAGS: tuple[Any, ...] = ('abc', None, 5, [])


def nonsense(value: Any) -> tuple[Any, ...]:
    """Odd values in place of one that is right."""
    kinds = ((bool, FLAGS), (int, INTEGERS), (float, FLOATS), (str, STRINGS))
    sequences = ((tuple, SEQUENCES), (list, SEQUENCES))
    return next((odd for kind, odd in (*kinds, *sequences) if isinstance(value, kind)), ())


def parts(config: dict[str, Any], section: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """(hint, path, dict) of every component in a section of a config."""
    if 'type' in section:
        yield hint_at(config, path), path[1:], section
    for key, value in section.items():
        if isinstance(value, dict):
            yield from parts(config, value, (*path, key))


def odd_sections() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Sections of all configs in which one field of one component is nonsense."""
    seen = set()
    for file in sorted((ROOT / 'configs').glob('*.py')):
        config = load(file.name)
        for top in ('model', 'views', 'eval_view', 'optimizer', 'schedule', 'sampler'):
            for hint, path, part in parts(config, config.get(top) or {}, (top,)):
                component = find(top, hint, part['type'])
                for name, parameter in inspect.signature(component).parameters.items():
                    value = part.get(name, parameter.default)
                    if name in ('parent', 'name') or (component, name) in seen:
                        continue
                    seen.add((component, name))
                    for odd in nonsense(value):
                        section = copy.deepcopy(config[top])
                        place = section
                        for key in path:
                            place = place[key]
                        place[name] = odd
                        yield top, f'{component.__name__}.{name}={odd!r:.20}', section


# Of the odd values, what some field takes.
LEGITIMATE = {'-1', '0', 'None', '1.5', '-1.0', '[1, 1, 1, 1, 1, 1, 1', "''"}


@pytest.mark.slow
def test_nonsense_in_any_field_of_any_component_is_refused_in_a_sentence() -> None:
    """Two thousand configs: none ends in a traceback, and what is accepted is a real setting."""
    count, wrong = 0, []
    for top, label, section in odd_sections():
        count += 1
        try:
            build_at(top, TOP[top], section)
        except JsslError as error:
            if '\n' in str(error) or f'config.{top}' not in str(error) or len(str(error)) > 800:
                wrong.append(f'{label}: {error}')
        except Exception as error:
            wrong.append(f'{label}: {type(error).__name__}: {error}')
        else:
            if label.partition('=')[2] not in LEGITIMATE:
                wrong.append(f'{label}: accepted')
    assert count > 2000
    assert not wrong, '\n'.join(wrong)


@pytest.mark.parametrize(
    ('field', 'value'), [('seed', 2**32), ('log_every', 0), ('bad_samples', NAN), ('workers', -1)]
)
def test_settings_of_a_run(field: str, value: Any) -> None:
    config = load('simclr.py')
    config[field] = value
    with refused(f'config.{field}='):
        experiment(config)
