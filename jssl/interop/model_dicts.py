"""The `model` dict of a config of MMSelfSup or MMClassification, in jssl's terms and of its shape.

A field of theirs is a field of ours, has another name or place here, can only have one value here,
or says what is no property of a model. Anything else is left for `build` to refuse by name.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from jssl.components import find
from jssl.errors import JsslError
from jssl.kinds import BACKBONE, HEAD, MEMORY, MODEL, NECK, TARGET_GENERATOR, classes_of
from jssl.reference import Reference, as_dict, reference_of

# Normalisation of the input belongs to the views, and weights to `config.pretrained`. A plain or
# synchronised batch norm on one device is the same thing (`bn_group_size` is the other).
DROPPED = ('data_preprocessor', 'init_cfg', 'norm_cfg', 'pretrained', 'debug', 'type')
ROOMS = (MODEL, BACKBONE, NECK, HEAD, TARGET_GENERATOR, MEMORY)
NORMS = {'BN': 1e-5, 'BN1d': 1e-5, 'BN2d': 1e-5, 'SyncBN': 1e-5, 'LN': 1e-6}  # and their epsilon
Fields = dict[str, Any]


def model_config(model: Mapping[str, Any], release: str = '1.x') -> Fields:
    """A dict of a model, or of a part of it, in jssl's terms.

    Args:
      model: the dict.
      release: that it is of: '0.x' or '1.x' of MMSelfSup, or 'mmpretrain'.

    Raises:
      JsslError: for a value without a counterpart, of a field that has one value here.
    """
    if not isinstance(model, Mapping) or 'type' not in model:
        raise JsslError(f"A model needs a 'type', as in dict(type='SimCLR', ...), not {model!r}.")
    component = class_of(model['type'])
    reference = reference_of(component)
    if release in reference.releases:
        model = reference.releases[release](dict(model))
    name = _name_of(model['type'], component)
    _check_norm(name, model.get('norm_cfg'), reference.epsilon)
    fields = {key: value for key, value in model.items() if key not in DROPPED}
    fields = _renamed(reference, _unfolded(reference, fields))
    fields = _initial(reference.initial, model.get('init_cfg')) | fields
    fields |= {key: value for key, value in reference.defaults.items() if key not in fields}
    _take_only(name, reference, fields)
    if isinstance(fields.get('arch'), str):
        fields['arch'] = fields['arch'].lower()
    for key, value in fields.items():
        if isinstance(value, Mapping) and 'type' in value and key != 'loss':
            fields[key] = model_config(value, release)
    return {'type': name} | fields


def class_of(name: Any) -> Any:
    """The class that a config calls `name`, with its scope or without; None if jssl has none.

    ``'mmselfsup.ResNet'`` is `ResNet`; a class of the user's own is ``'my_module:MyClass'``.
    """
    if ':' in str(name):
        return find('model', Any, name)
    last = bare(name)
    known = {key: found for kind in ROOMS for key, found in classes_of(kind).items()}
    called = {other: found for found in known.values() for other in _others(found)}
    return known.get(last) or called.get(last)


def _others(component: type) -> tuple[str, ...]:
    """The further names that a class itself has; those of its bases are theirs."""
    return reference_of(component).types if 'reference' in vars(component) else ()


def _name_of(given: Any, component: Any) -> str:
    if ':' in str(given):
        return str(given)
    return bare(given) if component is None else component.__name__


def bare(name: Any) -> str:
    """``'mmcls.ResNet'`` -> ``'ResNet'``."""
    return str(name).rpartition('.')[2]


def _unfolded(reference: Reference, fields: Fields) -> Fields:
    """What stands in dicts of its own there, beside the other fields; a loss with its head."""
    loss: Any = fields.get('loss')
    if isinstance(fields.get('head'), Mapping) and isinstance(loss, Mapping):
        head = {**fields['head'], 'loss': loss}
        return {key: value for key, value in fields.items() if key != 'loss'} | {'head': head}
    stages = as_dict('stage_cfgs', fields.pop('stage_cfgs', {}))  # Swin's window
    fields |= as_dict('stage_cfgs.block_cfgs', stages.pop('block_cfgs', {})) | stages
    names = reference.losses
    kind = bare(loss.get('type', '')) if isinstance(loss, Mapping) else ''
    if kind in names:
        del fields['loss']
        fields |= {names[kind].get(key, key): loss[key] for key in loss if key != 'type'}
    return fields


def _renamed(reference: Reference, fields: Fields) -> Fields:
    renamed = {reference.fields.get(key, key): value for key, value in fields.items()}
    return {key: value for key, value in renamed.items() if key is not None}


def _take_only(name: str, reference: Reference, fields: Fields) -> None:
    """Takes out the fields that have one value here; they must have that."""
    for field, wanted in reference.fixed.items():
        found = fields.pop(field, wanted)
        if found != wanted:
            raise JsslError(
                f'{name} with {field}={found!r} has no counterpart in jssl, where it is {wanted!r}.'
                ' Change it, or leave it out.'
            )


def _check_norm(name: str, norm: Any, epsilon: float | None) -> None:
    """Refuses what would be another network: norms of another kind, or with another epsilon."""
    if norm is None:
        return
    rest = as_dict('norm_cfg', norm)
    kind = bare(rest.pop('type', ''))
    usual = {'eps': epsilon or NORMS.get(kind), 'momentum': 0.1, 'requires_grad': True}
    odd = [key for key, value in rest.items() if key not in usual or value != usual[key]]
    if kind not in NORMS or odd:
        what = f'{odd[0]}={rest[odd[0]]!r}' if kind in NORMS else f'type={kind!r}'
        raise JsslError(
            f'{name} with norm_cfg {what} has no counterpart in jssl, whose norms are of the types '
            f'{", ".join(NORMS)} with the usual settings. Leave it out.'
        )


def _initial(field: str | None, init: Any) -> Fields:
    """The field by which initial weights are told; most components begin as in the reference."""
    rules = init if isinstance(init, list | tuple) else [] if init is None else [init]
    fields: Fields = {}
    for rule in (as_dict('init_cfg', rule) for rule in rules):
        kind, layers = rule.get('type'), rule.get('layer')
        linear = 'Linear' in (layers if isinstance(layers, list | tuple) else [layers])
        if kind == 'Pretrained' and field == 'weights':
            fields['weights'] = _local(str(rule.get('checkpoint')))
        elif kind in ('Normal', 'TruncNormal') and linear and field == 'init_std':
            fields['init_std'] = rule.get('std', 1.0)
        elif kind == 'Kaiming' and linear and field == 'kaiming_uniform':
            fields['kaiming_uniform'] = rule.get('distribution') == 'uniform'
    return fields


def _local(checkpoint: str) -> str:
    """Where the converted file of a checkpoint is looked for; nothing is downloaded."""
    path = PurePosixPath(checkpoint)
    path = PurePosixPath(path.name) if '://' in checkpoint else path
    return str(path.with_suffix('.safetensors') if path.name else path)
