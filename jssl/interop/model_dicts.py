"""The `model` dict of a config of MMSelfSup or MMClassification, in jssl's terms and of its shape.

A field of theirs is a field of ours, has another name or place here, can only have one value here,
or says what is no property of a model. Anything else is left for `build` to refuse by name.
"""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from jssl.errors import JsslError

# Normalisation of the input belongs to the views, and weights to `config.pretrained`. A plain or
# synchronised batch norm on one device is the same thing (`bn_group_size` is the other).
DROPPED = ('data_preprocessor', 'init_cfg', 'norm_cfg', 'pretrained', 'debug', 'type')
RENAMED = {'DALL-E': 'DALLE', 'PixMIM': 'MAE'}
# Fields that are called otherwise here; None for a field without a meaning.
FIELDS: dict[str, dict[str, str | None]] = {
    'CAENeck': {'init_values': 'layer_scale', 'patch_size': None},
    'CAEViT': {'init_values': 'layer_scale', 'output_cls_token': None},
    'LowFreqTargetGenerator': {'img_size': None},  # that of the images
    'MAEViT': {'output_cls_token': None},  # not read in training; there is always one here
    'MaskFeatViT': {'output_cls_token': None},
    'MoCoV3ViT': {'norm_eval': None},  # a network without batch norms
    'ODCMemory': {'length': None},  # that of the data of the run
    'SimpleMemory': {'length': None},
}
# Fields that have one value here.
ENTROPY = {'use_sigmoid': False, 'use_soft': False, 'reduction': 'mean', 'class_weight': None}
RESNET = {'in_channels': 3, 'num_stages': 4, 'conv_cfg': None}
ONLY: dict[str, dict[str, Any]] = {
    'AvgPool2dNeck': {'output_size': 1},
    'ClsHead': {**ENTROPY, 'loss_weight': 1.0},
    'ContrastiveHead': ENTROPY,
    'MAEPretrainHead': {'criterion': 'L2', 'channel': None},
    'MaskFeatPretrainHead': {'criterion': 'L2', 'channel': None},
    'MoCoV3Head': ENTROPY,
    'MoCoV3ViT': {'output_cls_token': True},
    'ODCNeck': {'with_avg_pool': True},
    'RelativeLocNeck': {'with_avg_pool': True},
    'ResNeXt': RESNET,
    'ResNet': RESNET,
    'ResNetSobel': RESNET,
    'ResNetV1d': RESNET,
    'SimMIMHead': {'criterion': 'L1'},
    'SwAVNeck': {'with_l2norm': True},
    'VisionTransformer': {'output_cls_token': True},
}
# A loss is a part of its head here, so the settings of its dict become the head's. By head, the
# losses that it can have, and what their settings are called here.
LOSSES: dict[str, dict[str, dict[str, str]]] = {
    'CAEHead': {'CAELoss': {'lambd': 'align_weight'}},
    'ClsHead': {'CrossEntropyLoss': {}},
    'ContrastiveHead': {'CrossEntropyLoss': {}},
    'LatentCrossCorrelationHead': {'CrossCorrelationLoss': {'lambd': 'off_diagonal_weight'}},
    'LatentPredictHead': {
        'CosineSimilarityLoss': {'shift_factor': 'shift', 'scale_factor': 'scale'}
    },
    'MAEPretrainHead': {'MAEReconstructionLoss': {}, 'PixelReconstructionLoss': {}},
    'MaskFeatPretrainHead': {'PixelReconstructionLoss': {}},
    'MoCoV3Head': {'CrossEntropyLoss': {}},
    'SimMIMHead': {
        'SimMIMReconstructionLoss': {},
        'PixelReconstructionLoss': {'channel': 'encoder_in_channels'},
    },
    'SwAVHead': {'SwAVLoss': {}},
}
# Components whose initial weights of linear layers can be told.
NORMAL = ('ClsHead', 'LinearClsHead', 'LinearNeck', 'MultiClsHead', 'VisionTransformerClsHead')
PUBLISHED = ('CLIPGenerator', 'DALLE', 'VQKD')  # generators with weights from a file
NORMS = {'BN': 1e-5, 'BN1d': 1e-5, 'BN2d': 1e-5, 'SyncBN': 1e-5, 'LN': 1e-6}  # and their epsilon
Fields = dict[str, Any]


def model_config(model: Mapping[str, Any]) -> Fields:
    """A dict of a model, or of a part of it, in jssl's terms.

    Raises:
      JsslError: for a value without a counterpart, of a field that has one value here.
    """
    if not isinstance(model, Mapping) or 'type' not in model:
        raise JsslError(f"A model needs a 'type', as in dict(type='SimCLR', ...), not {model!r}.")
    name = bare(model['type'])
    _check_norm(name, model.get('norm_cfg'))
    fields = {key: value for key, value in model.items() if key not in DROPPED}
    fields = _initial(name, model.get('init_cfg')) | _renamed(name, _unfolded(name, fields))
    _take_only(name, fields)
    if isinstance(fields.get('arch'), str):
        fields['arch'] = fields['arch'].lower()
    for key, value in fields.items():
        if isinstance(value, Mapping) and 'type' in value and key != 'loss':
            fields[key] = model_config(value)
    return {'type': name} | fields


def as_dict(what: str, value: Any) -> Fields:
    """A copy of a dict in a config.

    Raises:
      JsslError: it is none.
    """
    if not isinstance(value, Mapping):
        raise JsslError(f'{what}={value!r} must be a dict.')
    return dict(value)


def bare(name: str) -> str:
    """``'mmcls.ResNet'`` -> ``'ResNet'``, by the name that it has here."""
    last = str(name).rpartition('.')[2]
    return RENAMED.get(last, last)


def _unfolded(name: str, fields: Fields) -> Fields:
    """What stands in dicts of its own there, beside the other fields; a loss with its head."""
    loss: Any = fields.get('loss')
    if isinstance(fields.get('head'), Mapping) and isinstance(loss, Mapping):
        head = {**fields['head'], 'loss': loss}
        return {key: value for key, value in fields.items() if key != 'loss'} | {'head': head}
    stages = as_dict('stage_cfgs', fields.pop('stage_cfgs', {}))  # Swin's window
    fields |= as_dict('stage_cfgs.block_cfgs', stages.pop('block_cfgs', {})) | stages
    names = LOSSES.get(name, {})
    kind = bare(loss.get('type', '')) if isinstance(loss, Mapping) else ''
    if kind in names:
        del fields['loss']
        fields |= {names[kind].get(key, key): loss[key] for key in loss if key != 'type'}
    return fields


def _renamed(name: str, fields: Fields) -> Fields:
    names = FIELDS.get(name, {})
    renamed = {names.get(key, key): value for key, value in fields.items()}
    return {key: value for key, value in renamed.items() if key is not None}


def _take_only(name: str, fields: Fields) -> None:
    """Takes out the fields that have one value here; they must have that."""
    for field, wanted in ONLY.get(name, {}).items():
        found = fields.pop(field, wanted)
        if found != wanted:
            raise JsslError(
                f'{name} with {field}={found!r} has no counterpart in jssl, where it is {wanted!r}.'
                ' Change it, or leave it out.'
            )


def _check_norm(name: str, norm: Any) -> None:
    """Refuses what would be another network: norms of another kind, or with another epsilon."""
    if norm is None:
        return
    rest = as_dict('norm_cfg', norm)
    kind = bare(rest.pop('type', ''))
    epsilon = 1e-5 if 'Swin' in name else NORMS.get(kind)
    usual = {'eps': epsilon, 'momentum': 0.1, 'requires_grad': True}
    odd = [key for key, value in rest.items() if key not in usual or value != usual[key]]
    if kind not in NORMS or odd:
        what = f'{odd[0]}={rest[odd[0]]!r}' if kind in NORMS else f'type={kind!r}'
        raise JsslError(
            f'{name} with norm_cfg {what} has no counterpart in jssl, whose norms are of the types '
            f'{", ".join(NORMS)} with the usual settings. Leave it out.'
        )


def _initial(name: str, init: Any) -> Fields:
    """The fields by which initial weights are told; most components begin as in the reference."""
    rules = init if isinstance(init, list | tuple) else [] if init is None else [init]
    fields: Fields = {}
    for rule in (as_dict('init_cfg', rule) for rule in rules):
        kind, layers = rule.get('type'), rule.get('layer')
        linear = 'Linear' in (layers if isinstance(layers, list | tuple) else [layers])
        if kind == 'Pretrained' and name in PUBLISHED:
            fields['weights'] = _local(str(rule.get('checkpoint')))
        elif kind in ('Normal', 'TruncNormal') and linear and name in NORMAL:
            fields['init_std'] = rule.get('std', 1.0)
        elif kind == 'Kaiming' and linear and name == 'NonLinearNeck':
            fields['kaiming_uniform'] = rule.get('distribution') == 'uniform'
    return fields


def _local(checkpoint: str) -> str:
    """Where the converted file of a checkpoint is looked for; nothing is downloaded."""
    path = PurePosixPath(checkpoint)
    path = PurePosixPath(path.name) if '://' in checkpoint else path
    return str(path.with_suffix('.safetensors') if path.name else path)
