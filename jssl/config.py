"""How a config becomes components.

A config is a nested dict. `model`, `data`, `test_data`, `probe_data`, `sampler`, `views`,
`eval_view`, `optimizer` and `schedule` each describe a component: a `type` and its fields.
`canvas`, `channels`, `batch_size`, `accumulate` and `epochs` are numbers, `dtype` is what the
networks compute in, `metrics` is a list of functions that measure features besides kNN and the
linear probe, `pretrained` says where the backbone's weights come from, `layout` whose names they
have, and `inherit` what is taken over from that run (`jssl.fitting.inheritance`). The other keys
are the fields of `jssl.training.settings.Runtime`.
"""

import dataclasses
import functools
import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict as ConfigDict

from jssl.checks import NonNegative, check_value
from jssl.components import build_at, find, make, prepare
from jssl.errors import JsslError, show, suggest
from jssl.kinds import KINDS, inside, is_plain, kinds_of
from jssl.optim.optimizers import Optimizer
from jssl.optim.scheduled import Scheduled
from jssl.training.experiment import Experiment
from jssl.training.settings import Runtime
from jssl.values import check_names, check_types, fields_of, hints_of

COMPONENTS = (
    'model',
    'data',
    'test_data',
    'probe_data',
    'sampler',
    'views',
    'eval_view',
    'optimizer',
    'schedule',
)
NUMBERS = ('canvas', 'channels', 'batch_size', 'accumulate', 'epochs')
OPTIONAL = ('test_data', 'probe_data', 'sampler', 'schedule', 'channels', 'accumulate')
WEIGHTS = ('pretrained', 'layout', 'inherit')
# What a config holds, and the annotation of each.
HINTS: dict[str, Any] = hints_of(Experiment)
TOP: dict[str, Any] = {key: HINTS['algorithm' if key == 'model' else key] for key in COMPONENTS}
TOP |= {key: HINTS[key] for key in NUMBERS} | {'inherit': tuple[str, ...]}
TOP |= {'pretrained': str | None, 'layout': str | None}
TOP |= {key: HINTS[key] for key in ('dtype', 'metrics')} | hints_of(Runtime)
SECTIONS: dict[str, type] = {
    name: hint
    for name, hint in hints_of(Runtime).items()
    if isinstance(hint, type) and dataclasses.is_dataclass(hint)
}


def choose(variant: str, **experiments: Callable[[], dict[str, Any]]) -> ConfigDict:
    """The experiment called `variant`, the first one when it is empty, with the runtime's defaults.

    A section of the runtime, such as `evaluate`, need not be given whole.

    Raises:
      JsslError: lists the variants.
    """
    name = variant or next(iter(experiments))
    if name not in experiments:
        raise JsslError(f'This config has no variant {name!r}. {suggest(name, experiments)}')
    defaults = dataclasses.asdict(Runtime()) | {'channels': 3}
    chosen = experiments[name]()
    for key, value in chosen.items():
        section = defaults.get(key)
        both = isinstance(section, dict) and isinstance(value, dict)
        defaults[key] = section | value if both else value
    return ConfigDict(defaults, allow_dotted_keys=True)


def experiment(config: Mapping[str, Any]) -> Experiment:
    """The experiment that a config describes, checked and ready to run.

    Raises:
      JsslError: names an unknown or missing key, a wrong type, or what a component objects to.
    """
    runtime_keys = [field.name for field in dataclasses.fields(Runtime)]
    for key in config:
        if key not in TOP:
            raise JsslError(f'config.{key} is not a key of a config. {suggest(str(key), TOP)}')
    missing = [key for key in (*COMPONENTS, *NUMBERS) if key not in (*config, *OPTIONAL)]
    if missing:
        raise JsslError(f'The config lacks {", ".join(missing)}; configs/simclr.py shows them all.')
    arguments = {key: config[key] for key in NUMBERS if key in config}
    for key, value in arguments.items():
        check_value(f'config.{key}', value, TOP[key])
    check_value('config.dtype', config.get('dtype'), TOP['dtype'])
    arguments['dtype'] = config.get('dtype')
    arguments['metrics'] = _build_metrics(config.get('metrics') or ())
    arguments |= {key: config.get(key) or '' for key in ('pretrained', 'layout')}
    if not isinstance(arguments['pretrained'], str):
        raise JsslError(
            f'config.pretrained={show(config["pretrained"])} must be a path: the --workdir of a '
            'run, or a file of weights.'
        )
    runtime = {key: config[key] for key in runtime_keys if key in config}
    arguments['runtime'] = _options('', Runtime, runtime)
    for key in COMPONENTS:
        if key not in OPTIONAL or config.get(key) is not None:
            arguments[key] = BUILDERS.get(key, build_at)(key, TOP[key], config[key])
    algorithm = arguments.pop('model')
    if algorithm.needs_weights and not arguments['pretrained']:
        raise JsslError(
            f'{algorithm.needs_weights}, and config.pretrained is empty. Add '
            '--config.pretrained=RUN, the --workdir of a run or a file of weights.'
        )
    return Experiment(algorithm=algorithm, **arguments)


def _build_optimizer(path: str, hint: Any, given: Mapping[str, Any]) -> Any:
    """The optimizer; a function with a number as `learning_rate` follows the run's schedule."""
    prepared = prepare(path, hint, given)
    if inspect.isclass(prepared.func) and issubclass(prepared.func, Optimizer):
        return make(path, prepared)
    _check_numbers(path, prepared)
    parameter = fields_of(prepared.func).get('learning_rate')
    default = None if parameter is None else parameter.default
    settings = dict(prepared.keywords)
    rate = settings.pop('learning_rate', default)
    if is_plain(rate) and rate is not None and rate is not inspect.Parameter.empty:
        check_value(f'config.{path}.learning_rate', rate, NonNegative)
        return Scheduled(functools.partial(prepared.func, **settings), lr=rate)
    return make(path, prepared)


def _build_schedule(path: str, hint: Any, given: Mapping[str, Any]) -> Any:
    prepared = prepare(path, hint, given)
    _check_numbers(path, prepared)
    return make(path, prepared)


def _check_numbers(path: str, prepared: functools.partial[Any]) -> None:
    """Refuses what is no finite number where a function outside jssl, as of optax, takes one.

    Their annotations let texts and lists pass, which fail in the step, or train to nothing.
    """
    parameters, hints = fields_of(prepared.func), hints_of(prepared.func)
    for name, value in prepared.keywords.items():
        default, options = parameters[name].default, typing.get_args(hints.get(name))
        numeric = isinstance(default, int | float) and not isinstance(default, bool)
        wrong = isinstance(value, bool) or (isinstance(value, str) and str not in options)
        infinite = isinstance(value, float) and not math.isfinite(value)
        if infinite or (numeric and wrong):
            example = default if numeric else 0.1
            raise JsslError(
                f'config.{path}.{name}={show(value)} must be a finite number, such as '
                f'--config.{path}.{name}={example}.'
            )


BUILDERS = {'optimizer': _build_optimizer, 'schedule': _build_schedule}


def _build_metrics(given: Any) -> list[Any]:
    """The metrics of a config: of a class what is made of it, a function as it stands."""
    if not isinstance(given, tuple | list):
        raise JsslError(
            f"config.metrics={show(given)} must be a list of dicts with a 'type', such as "
            "[dict(type='my_module:my_metric')]."
        )
    return [_build_metric(f'metrics.{place}', part) for place, part in enumerate(given)]


def _build_metric(path: str, given: Any) -> Any:
    hint = inside(TOP['metrics'], 0)
    if isinstance(given, Mapping) and given.keys() == {'type'}:
        found = find(path, hint, given['type'])
        if inspect.isfunction(found):
            return found
    return build_at(path, hint, given)


def _options(path: str, options: type, given: Mapping[str, Any]) -> Any:
    """A dataclass of options, and those inside it, from nested dicts."""
    if not isinstance(given, Mapping):
        valid = ', '.join(field.name for field in dataclasses.fields(options))
        raise JsslError(f'config.{path}={show(given)} must be a dict with fields such as {valid}.')
    check_names(path, options, given)
    fields = dict(given)
    for name, section in SECTIONS.items() if options is Runtime else ():
        if name in fields:
            fields[name] = _options(name, section, fields[name])
    check_types(path, options, fields)
    return options(**fields)


def fields_at(config: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any] | None:
    """The fields that the section at `path` may have, and their annotations.

    Args:
      config: nested dicts and lists; the types in it say which fields there are.
      path: of the section, such as ``('model', 'backbone')``; empty for the config itself. What is
        in a list goes by its number, ``('model', 'heads', '0')``.

    Returns:
      None where any key will do.

    Raises:
      JsslError: a type on the way is not known.
    """
    return _walk(config, path)[1]


def hint_at(config: Mapping[str, Any], path: Sequence[str]) -> Any:
    """The annotation of the field at `path`; `Any` where nothing is known of it."""
    hint, fields = _walk(config, path[:-1])
    return inside(hint, path[-1]) if fields is None else fields.get(path[-1], Any)


def _walk(config: Mapping[str, Any], path: Sequence[str]) -> tuple[Any, dict[str, Any] | None]:
    """The annotation of the section at `path`, and its fields."""
    hint: Any = Any
    fields: dict[str, Any] | None = TOP
    section: Any = config
    for depth, key in enumerate(path, start=1):
        hint = inside(hint, key) if fields is None else fields.get(key, Any)
        section = part_of(section, key)
        fields = _fields('.'.join(path[:depth]), hint, section)
    return hint, fields


def part_of(section: Any, key: str) -> Any:
    """What stands under a key, or number, of a dict or list; None where nothing does."""
    if isinstance(section, Mapping):
        return section.get(key)
    several = isinstance(section, tuple | list) and key.isdecimal() and int(key) < len(section)
    return section[int(key)] if several else None


def _fields(place: str, hint: Any, section: Any) -> dict[str, Any] | None:
    """The fields of a section whose annotation is `hint`; None where any key will do."""
    if hint in SECTIONS.values():
        return hints_of(hint)
    if isinstance(section, tuple | list):
        return {str(number): inside(hint, number) for number in range(len(section))}
    kinds, name = kinds_of(hint), section.get('type') if isinstance(section, Mapping) else None
    if not kinds:
        return None
    if name is None:  # of a part of which nothing is known, it may be no part at all
        return {'type': str} if len(kinds) < len(KINDS) else None
    component = find(place, hint, name)
    hints = hints_of(component)
    return {'type': str} | {field: hints.get(field, Any) for field in fields_of(component)}
