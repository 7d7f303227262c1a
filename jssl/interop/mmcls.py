"""MMClassification's and MMPretrain's classifier dicts, as MMSelfSup's benchmarks have them.

Parts and parameters carry the same names here (`head.fc.weight`, `head.layers.head.weight`), so
`import_state` and `export_state` of `jssl.interop.mmselfsup` take and give their weights.
"""

from collections.abc import Mapping
from typing import Any

from jssl.algorithm import Algorithm
from jssl.components import build
from jssl.errors import JsslError, suggest
from jssl.interop.model_dicts import class_of, model_config

SCOPES = ('mmcls.', 'mmpretrain.')  # where a ResNet counts its stages from 0
# The settings of each loss that have a place here; `mode` is checked, the others change nothing.
LOSSES = {
    'CrossEntropyLoss': {'loss_weight': 'loss_weight', 'reduction': 'reduction'},
    'LabelSmoothLoss': {
        'label_smooth_val': 'label_smoothing',
        'loss_weight': 'loss_weight',
        'reduction': 'reduction',
    },
}
IGNORED = ('type', 'mode', 'num_classes', 'use_soft')
DROPPED = ('topk', 'cal_acc', 'num_stages', 'output_cls_token')
# What a transformer gives, as MMPretrain calls it.
OUT_TYPES = {'avg_featmap': True, 'cls_token': False}
# BEiT is the vision transformer with other defaults, and with a name of its own for one field.
BEIT = {
    'use_abs_pos_emb': False,
    'avg_token': True,
    'final_norm': False,
    'layer_scale': 0.1,
    'qkv_bias': False,
    'use_rel_pos_bias': True,
}
BEIT_FIELDS = {'layer_scale_init_value': 'layer_scale'}
AUGMENTS = {'Mixup': 'mixup', 'CutMix': 'cutmix'}


def build_classifier(model: Mapping[str, Any]) -> Algorithm:
    """The classifier that the `model` dict of a config describes.

    Its loss, `train_cfg.augments` and `frozen_stages` are kept; what only concerns logging is not.

    Raises:
      JsslError: for a component, field, loss or batch augmentation that jssl does not have.
    """
    if getattr(class_of(model.get('type')), 'predicts', None) != 'classes':
        raise JsslError(
            f'model.type={model.get("type")!r} is no classifier; build_model of '
            'jssl.interop.mmselfsup builds the self-supervised algorithms.'
        )
    head = dict(model.get('head') or {})
    loss = _loss(head.pop('loss', {'type': 'CrossEntropyLoss'}))
    rest = {key: value for key, value in model.items() if key != 'train_cfg'}
    parts = {key: _part(value) for key, value in rest.items()} | {'head': _part(head)}
    config = model_config(parts) | _augments(model.get('train_cfg') or {})
    config['head'] |= {'loss': loss}
    return build('model', config)


def _part(value: Any) -> Any:
    """A component's dict without what has no meaning here, its stages counted from the stem."""
    if not isinstance(value, Mapping):
        return value
    part = {key: inner for key, inner in value.items() if key not in DROPPED}
    if str(part.get('type', '')).startswith(SCOPES) and 'ResNet' in part['type']:
        part['out_indices'] = [index + 1 for index in part.get('out_indices', (3,))]
    if 'out_type' in part:
        part['avg_token'] = _averages(part.pop('out_type'))
    return _beit(part) if str(part.get('type')).rpartition('.')[2] == 'BEiT' else part


def _averages(out_type: str) -> bool:
    """Whether a transformer gives the mean of its patch tokens, and not its class token."""
    if out_type not in OUT_TYPES:
        raise JsslError(
            f'backbone.out_type={out_type!r} is not what a classifier gets. '
            f'{suggest(str(out_type), OUT_TYPES)}'
        )
    return OUT_TYPES[out_type]


def _beit(part: Mapping[str, Any]) -> dict[str, Any]:
    """A BEiT backbone as a vision transformer; its absolute positions are off unless asked for."""
    rest = {BEIT_FIELDS.get(k, k): v for k, v in part.items()}
    return BEIT | rest | {'type': 'VisionTransformer'}


def _loss(loss: Mapping[str, Any]) -> dict[str, Any]:
    name = loss['type'].rpartition('.')[2]
    if name not in LOSSES:
        raise JsslError(f'head.loss.type={name!r} is not known. {suggest(name, LOSSES)}')
    mode = loss.get('mode', 'original')
    unknown = [key for key in loss if key not in (*LOSSES[name], *IGNORED)]
    if unknown or mode != 'original':
        wrong = unknown[0] if unknown else f'mode={mode!r}'
        raise JsslError(
            f'head.loss {wrong} of {name} has no place in jssl; leave it out, or name a loss of '
            "your own as 'my_module:MyLoss' in a config of jssl."
        )
    settings = {LOSSES[name][key]: loss[key] for key in loss if key in LOSSES[name]}
    smooth = {'label_smoothing': loss.get('label_smooth_val', 0.1)}
    return {'type': 'CrossEntropyLoss'} | (smooth if name == 'LabelSmoothLoss' else {}) | settings


def _augments(train_cfg: Mapping[str, Any]) -> dict[str, float]:
    """Mixup and CutMix of a batch; the reference draws one of them with equal probability."""
    if train_cfg.get('probs') is not None:
        raise JsslError(
            f'train_cfg.probs={train_cfg["probs"]!r} has no place in jssl, where all augmentations '
            'of a batch are equally likely; leave it out.'
        )
    found = train_cfg.get('augments') or ()
    augments = [found] if isinstance(found, Mapping) else found
    for augment in augments:
        if augment.get('type') not in AUGMENTS:
            raise JsslError(
                f'train_cfg.augments has {augment.get("type")!r}, which jssl does not have. '
                f'{suggest(str(augment.get("type")), AUGMENTS)}'
            )
        odd = [key for key in augment if key not in ('type', 'alpha', 'num_classes')]
        if odd or 'alpha' not in augment:
            raise JsslError(
                f'train_cfg.augments: {augment["type"]} has {", ".join(augment)}; it has alpha '
                'alone in jssl.'
            )
    return {AUGMENTS[augment['type']]: float(augment['alpha']) for augment in augments}
