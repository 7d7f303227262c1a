"""How a config becomes components.

A config is a nested dict. `model`, `data`, `test_data`, `probe_data`, `sampler`, `views`,
`eval_view`, `optimizer` and `schedule` each describe a component: a `type` and its fields.
`canvas`, `channels`, `batch_size` and `epochs` are numbers, `pretrained` says where the backbone's
weights come from and `inherit` what is taken over from that run (`jssl.fitting.inheritance`). The
other keys are the fields of `jssl.training.settings.Runtime`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jssl.checks import Count, check_value
from jssl.components import build, check_names, check_types
from jssl.errors import JsslError, show, suggest
from jssl.training.experiment import Experiment
from jssl.training.settings import Runtime

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
NUMBERS = ('canvas', 'channels', 'batch_size', 'epochs')
OPTIONAL = ('test_data', 'probe_data', 'sampler', 'channels')
WEIGHTS = ('pretrained', 'inherit')


def choose(variant: str, **experiments: Callable[[], dict[str, Any]]) -> dict[str, Any]:
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
    return defaults


def experiment(config: Mapping[str, Any]) -> Experiment:
    """The experiment that a config describes, checked and ready to run.

    Raises:
      JsslError: names an unknown or missing key, a wrong type, or what a component objects to.
    """
    runtime_keys = [field.name for field in dataclasses.fields(Runtime)]
    valid = (*COMPONENTS, *NUMBERS, *WEIGHTS, *runtime_keys)
    for key in config:
        if key not in valid:
            raise JsslError(f'config.{key} is not a key of a config. {suggest(str(key), valid)}')
    missing = [key for key in (*COMPONENTS, *NUMBERS) if key not in (*config, *OPTIONAL)]
    if missing:
        raise JsslError(f'The config lacks {", ".join(missing)}; configs/simclr.py shows them all.')
    arguments = {key: config[key] for key in NUMBERS if key in config}
    for key, value in arguments.items():
        check_value(f'config.{key}', value, Count)
    arguments['pretrained'] = config.get('pretrained') or ''
    if not isinstance(arguments['pretrained'], str):
        raise JsslError(
            f'config.pretrained={show(config["pretrained"])} must be a path: the --workdir of a '
            'run, or a file of weights.'
        )
    runtime = {key: config[key] for key in runtime_keys if key in config}
    arguments['runtime'] = _options('', Runtime, runtime)
    for key in COMPONENTS:
        if key not in OPTIONAL or config.get(key) is not None:
            arguments[key] = build(key, config[key])
    algorithm = arguments.pop('model')
    if getattr(algorithm, 'frozen_backbone', False) and not arguments['pretrained']:
        raise JsslError(
            'config.model.frozen_backbone keeps the backbone as it is, and config.pretrained is '
            'empty: that would judge a random network. Add --config.pretrained=RUN, the --workdir '
            'of a run or a file of weights.'
        )
    return Experiment(algorithm=algorithm, **arguments)


def _options(path: str, options: type, given: Mapping[str, Any]) -> Any:
    """A dataclass of options, and those inside it, from nested dicts."""
    if not isinstance(given, Mapping):
        valid = ', '.join(field.name for field in dataclasses.fields(options))
        raise JsslError(f'config.{path}={show(given)} must be a dict with fields such as {valid}.')
    check_names(path, options, given)
    fields = dict(given)
    for field in dataclasses.fields(options):
        if (
            isinstance(field.type, type)
            and dataclasses.is_dataclass(field.type)
            and field.name in fields
        ):
            name = '.'.join(filter(None, (path, field.name)))
            fields[field.name] = _options(name, field.type, fields[field.name])
    check_types(path, options, fields)
    return options(**fields)
