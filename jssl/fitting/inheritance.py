"""What a config leaves to the run that it continues: its backbone, its data, its view of them.

A config with ``pretrained=''`` and ``inherit=('model.backbone', 'data', ...)`` stands for itself
as long as `pretrained` is empty. Once that names a run, the parts that `inherit` lists are those of
the run's config.json; what the command line sets, it sets on top of them.
"""

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jssl.backbones.counterpart import Counterpart
from jssl.components import find
from jssl.config import hint_at
from jssl.errors import JsslError, suggest
from jssl.fitting.pretrained import check_there
from jssl.foreign import names, option, refuse_foreign
from jssl.kinds import BACKBONE, Backbone, kinds_of
from jssl.paths import expanded
from jssl.runs.workdir import read_config

LABELLED = {'data': 'probe_data'}  # what takes the place of images without labels
SHARED = ('size', 'mean', 'std')  # fields of a view that training takes over from evaluation


def inherited(config: Mapping[str, Any], trusted: Collection[str] = ()) -> dict[str, Any]:
    """What the run in ``config['pretrained']`` gives to a config.

    Args:
      config: nested dicts; a `pretrained` that is no directory, or no `inherit`, gives nothing.
      trusted: classes outside jssl that the run may name, besides those that `config` names.

    Returns:
      Values by the dotted name of the field that they replace, such as ``'model.backbone'``.

    Raises:
      JsslError: the run's config.json cannot be read, lacks a part that is wanted, or names a class
        outside jssl that is not trusted.
    """
    pretrained, wanted = config.get('pretrained'), config.get('inherit') or ()
    if not pretrained or not isinstance(pretrained, str) or not wanted:
        return {}
    if not isinstance(wanted, tuple | list) or not all(isinstance(name, str) for name in wanted):
        raise JsslError(
            f"config.inherit={wanted!r} must be a tuple of names, such as ('model.backbone', "
            "'data')."
        )
    check_there(pretrained)
    run = expanded(pretrained)
    if not run.is_dir():
        return {}
    stored, where = _config_of(run), f'config.pretrained={str(run)!r}: its config.json'
    found: dict[str, Any] = {}
    for name in wanted:
        value = _part(stored, LABELLED[name]) if name in LABELLED else None
        value = _part(stored, name) if value is None else value
        _check(value, name, where, stored, config)
        refuse_foreign(value, name, where, {*trusted, *names(config)}, option)
        found[name] = _tidy(value)
    if 'model.backbone' in found:
        frozen = bool(config['model'].get('frozen_backbone'))
        found['model.backbone'] = counterpart(found['model.backbone'], frozen=frozen)
    view = found.get('eval_view') or {}
    return found | {f'views.view.{field}': view[field] for field in SHARED if field in view}


def _config_of(run: Path) -> dict[str, Any]:
    try:
        return read_config(run)['config']
    except JsslError as error:
        raise JsslError(
            f'config.pretrained={str(run)!r} is not the directory of a run: {error}'
        ) from error


def _check(
    value: Any, name: str, where: str, stored: Mapping[str, Any], config: Mapping[str, Any]
) -> None:
    """Refuses a part that the run does not describe, or not as a part of a config."""
    remedy = (
        'Give its backbone.safetensors instead, and set config.model.backbone and the data '
        'yourself.'
    )
    if value is None and name != 'test_data':
        raise JsslError(
            f'{where} does not say {name}, since no config described that run. '
            f'{suggest(name, stored)} {remedy}'
        )
    described = isinstance(value, Mapping) and isinstance(value.get('type'), str)
    # The own config says what is a part: looking for the classes of the run's would import them.
    if value is not None and not described and kinds_of(hint_at(config, name.split('.'))):
        raise JsslError(f'{where} says {name}={value!r}, where a dict with a type stands. {remedy}')


def counterpart(backbone: Mapping[str, Any], *, frozen: bool) -> dict[str, Any]:
    """The backbone that classifies with the weights of a pre-trained one.

    Args:
      backbone: its dict in a config.
      frozen: for a linear probe; else for fine-tuning.
    """
    found = find('model.backbone', Backbone, backbone['type'])
    known: Counterpart | None = getattr(found, 'counterpart', None)
    if known is None:
        return dict(backbone)
    before, after = _fields(found), _fields(known.network)
    # A default of the one that is another in the other is said: CAE's biases, for example.
    differing = {k: v for k, v in before.items() if k in after and after[k] != v}
    given = {k: v for k, v in backbone.items() if k in after}
    fixed = {'fixed_positions': False} if 'fixed_positions' in after and not frozen else {}
    changes = known.probed if frozen else known.tuned
    return {'type': _type_of(known.network)} | differing | given | fixed | dict(changes)


def _type_of(network: type) -> str:
    own = network.__module__.startswith(f'{BACKBONE.package}.')
    return network.__name__ if own else f'{network.__module__}:{network.__qualname__}'


def _fields(component: Any) -> dict[str, Any]:
    """The fields of a module and their defaults."""
    fields = dataclasses.fields(component)
    return {field.name: _default(field) for field in fields if field.name not in ('parent', 'name')}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is dataclasses.MISSING:
        return field.default
    return field.default_factory()


def _part(config: Mapping[str, Any], name: str) -> Any:
    value: Any = config
    for key in name.split('.'):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _tidy(value: Any) -> Any:
    """Without fields that nobody set, so that the command line can; lists as tuples."""
    if isinstance(value, Mapping):
        return {key: _tidy(inner) for key, inner in value.items() if inner is not None}
    return tuple(_tidy(inner) for inner in value) if isinstance(value, list) else value
