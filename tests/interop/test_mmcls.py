import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Run
from jssl.backbones import VisionTransformer
from jssl.interop.mmcls import build_classifier
from jssl.interop.mmselfsup import export_state, import_state
from jssl.losses import CrossEntropyLoss
from tests.checks import assert_trees_close, refused, well_scaled

# The linear probe of MMSelfSup's benchmarks, and its fine-tuning of MAE.
LINEAR: dict[str, Any] = dict(
    type='ImageClassifier',
    backbone=dict(type='mmcls.ResNet', depth=18, in_channels=3, num_stages=4, frozen_stages=4),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)
TUNED: dict[str, Any] = dict(
    type='mmcls.ImageClassifier',
    backbone=dict(
        type='mmcls.VisionTransformer',
        arch=dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16),
        img_size=32,
        drop_path_rate=0.1,
        avg_token=True,
        output_cls_token=False,
        final_norm=False,
        init_cfg=dict(type='Pretrained', checkpoint='mae.pth', prefix='backbone.'),
    ),
    neck=None,
    head=dict(
        type='mmcls.LinearClsHead',
        num_classes=5,
        in_channels=8,
        loss=dict(type='mmcls.LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=[dict(type='TruncNormal', layer='Linear', std=2e-5)],
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)


BEIT: dict[str, Any] = dict(
    type='mmcls.BEiT',
    arch=TUNED['backbone']['arch'],
    img_size=32,
    use_abs_pos_emb=True,
    layer_scale_init_value=0.2,
)


def test_a_linear_probe_is_built_with_its_backbone_frozen() -> None:
    model: Any = build_classifier(LINEAR)
    assert model.backbone.out_indices == [4]
    assert model.is_frozen('backbone.layer4.1.bn2.scale')
    assert not model.is_frozen('head.fc.kernel')
    run = Run(8, 1, 1, classes=10)
    assert dataclasses.replace(model, run=run).network == model.network


def test_fine_tuning_keeps_smoothing_and_the_mixing_of_batches() -> None:
    model: Any = build_classifier(TUNED)
    assert model.head.loss == CrossEntropyLoss(label_smoothing=0.1)
    assert (model.mixup, model.cutmix) == (0.8, 1.0)
    assert model.neck is None
    assert model.backbone.avg_token


@pytest.mark.parametrize(('out_type', 'averages'), [('avg_featmap', True), ('cls_token', False)])
def test_what_a_transformer_gives_is_kept(out_type: str, averages: bool) -> None:
    plain = {key: value for key, value in TUNED['backbone'].items() if key != 'avg_token'}
    for backbone in (plain, BEIT):
        model: Any = build_classifier(TUNED | {'backbone': backbone | dict(out_type=out_type)})
        assert model.backbone.avg_token == averages


def test_beit_is_the_vision_transformer_that_cae_is_fine_tuned_with() -> None:
    model: Any = build_classifier(TUNED | {'backbone': BEIT})
    backbone = model.backbone
    assert type(backbone) is VisionTransformer
    assert (backbone.avg_token, backbone.final_norm, backbone.use_rel_pos_bias) == (1, 0, 1)
    assert (backbone.qkv_bias, backbone.layer_scale, backbone.img_size) == (False, 0.2, 32)
    shared = dict(use_abs_pos_emb=False, use_rel_pos_bias=False, use_shared_rel_pos_bias=True)
    model = build_classifier(TUNED | {'backbone': BEIT | shared})
    assert (model.backbone.use_abs_pos_emb, model.backbone.use_shared_rel_pos_bias) == (False, True)


@pytest.mark.parametrize('described', [LINEAR, TUNED, TUNED | {'backbone': BEIT}])
def test_weights_go_there_and_back_under_the_reference_s_names(described: dict[str, Any]) -> None:
    model = build_classifier(described)
    batch = {'views': (jax.ShapeDtypeStruct((2, 32, 32, 3), 'float32'),)}
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
    params, state = well_scaled(shapes)
    weights = export_state(params, state, algorithm=model)
    assert weights['head.fc.weight'].shape == params['head']['fc']['kernel'].shape[::-1]
    assert {'head.fc.bias'} < weights.keys()
    assert all(key.startswith(('backbone.', 'head.')) for key in weights)
    back = import_state(weights, *shapes, algorithm=model)
    assert_trees_close(back, (params, state), rtol=0)


def test_imported_weights_classify_as_a_matrix_product_says() -> None:
    model: Any = build_classifier(LINEAR)
    head = model.head
    weights = {'head.fc.weight': np.eye(10, 512), 'head.fc.bias': np.arange(10.0)}
    images = jnp.zeros((1, 512))
    shapes = jax.eval_shape(head.init, jax.random.key(0), images)['params']
    params, _ = import_state(weights, {'head': shapes}, {})
    np.testing.assert_array_equal(head.apply({'params': params['head']}, images)[0], range(10))


def changed(head: dict[str, Any] | None = None, **model: Any) -> dict[str, Any]:
    return TUNED | {'head': TUNED['head'] | (head or {})} | model


def test_what_has_no_counterpart_is_refused() -> None:
    with refused("'FocalLoss'", 'LabelSmoothLoss'):
        build_classifier(changed(dict(loss=dict(type='FocalLoss'))))
    with refused("mode='multi_label'", 'LabelSmoothLoss', 'my_module'):
        build_classifier(changed(dict(loss=dict(type='LabelSmoothLoss', mode='multi_label'))))
    with refused('use_sigmoid', 'leave it out'):
        build_classifier(changed(dict(loss=dict(type='CrossEntropyLoss', use_sigmoid=True))))
    with refused("'ResizeMix'", 'Mixup'):
        augments = [dict(type='ResizeMix', alpha=1.0)]
        build_classifier(changed(train_cfg=dict(augments=augments)))
    with refused('train_cfg.probs=[0.3, 0.7]', 'leave it out'):
        build_classifier(changed(train_cfg=dict(probs=[0.3, 0.7])))
    with refused('Mixup has type, alpha, prob'):
        augments = [dict(type='Mixup', alpha=1.0, prob=0.5)]
        build_classifier(changed(train_cfg=dict(augments=augments)))
    with refused("out_type='raw'", 'avg_featmap'):
        build_classifier(changed(backbone=TUNED['backbone'] | dict(out_type='raw')))
    with refused("type='SimCLR'", 'build_model'):
        build_classifier(changed(type='SimCLR'))
