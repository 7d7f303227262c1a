"""Model dicts of release 0.x and of MMPretrain, in their forms, become those of MMSelfSup 1.x."""

from typing import Any

import pytest

from jssl.components import build
from jssl.interop.mmselfsup import algorithm_config, build_model
from jssl.interop.model_dicts import class_of, model_config
from jssl.reference import Hook
from tests.checks import refused
from tests.interop.shipped import CAE, DEEPCLUSTER, MASKFEAT, ODC, SHIPPED, SIMMIM


def built(model: dict[str, Any], release: str, *hooks: dict[str, Any]) -> Any:
    return build('model', algorithm_config(model, hooks, release)[0])


def without(part: Any, *keys: str) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in keys}


def test_maskfeat_of_0_x_has_its_neck_in_the_head() -> None:
    older = without(MASKFEAT, 'neck', 'target_generator') | dict(
        head=dict(type='MaskFeatPretrainHead', hog_dim=108),
        hog_para=dict(nbins=9, pool=8, gaussian_window=16),
    )
    assert built(older, '0.x') == build_model(MASKFEAT)


def test_cae_of_0_x_has_its_tokenizer_in_the_head() -> None:
    head = dict(type='CAEHead', tokenizer_path='cae_ckpt/dalle_encoder.pth', lambd=2)
    older = without(CAE, 'target_generator') | dict(head=head)
    found = built(older, '0.x')
    assert found.target_generator.weights == 'cae_ckpt/dalle_encoder.safetensors'
    assert found.head == build_model(CAE).head  # type: ignore[attr-defined]


def test_edges_of_0_x_are_a_field_of_the_model() -> None:
    described: Any = DEEPCLUSTER
    backbone = described['backbone'] | dict(in_channels=2)
    edges = described | dict(with_sobel=True, backbone=backbone)
    assert built(edges, '0.x') == build_model(SHIPPED['DeepCluster, Sobel'])
    assert built(ODC | dict(with_sobel=False), '0.x') == build_model(ODC)


def test_mocov3_of_0_x_has_a_plain_transformer_and_no_loss() -> None:
    newer = SHIPPED['MoCoV3, small']
    backbone = without(newer['backbone'], 'output_cls_token') | dict(type='VisionTransformer')
    older = newer | dict(backbone=backbone, head=without(newer['head'], 'loss'))
    assert built(older, '0.x', dict(type='MomentumUpdateHook')) == build_model(newer)


def test_mmpretrain_counts_momenta_from_the_other_end() -> None:
    for name, field in (
        ('BYOL', 'base_momentum'),
        ('MoCo, v2', 'momentum'),
        ('DenseCL', 'momentum'),
    ):
        # It also counts stages from 0, and begins with other norms unless it is told.
        network = SHIPPED[name]['backbone'] | dict(out_indices=[3], zero_init_residual=False)
        other = SHIPPED[name] | {field: round(1 - SHIPPED[name][field], 6), 'backbone': network}
        assert built(other, 'mmpretrain') == build_model(SHIPPED[name])
    assert built(CAE, 'mmpretrain') == build_model(CAE)  # whose momentum it does not


def test_parts_of_mmpretrain_have_other_names() -> None:
    described: Any = MASKFEAT
    head = described['head'] | dict(type='MIMHead')
    neck: dict[str, Any] = without(MASKFEAT['neck'], 'with_avg_pool')
    neck |= dict(norm_cfg=None)
    assert built(MASKFEAT | dict(head=head, neck=neck), 'mmpretrain') == build_model(MASKFEAT)
    neck = dict(SIMMIM['neck'], type='SimMIMLinearDecoder')
    assert built(SIMMIM | dict(neck=neck), 'mmpretrain') == build_model(SIMMIM)
    scale: dict[str, Any] = dict(layer_scale_init_value=0.1)
    backbone: dict[str, Any] = dict(type='CAEPretrainViT', arch='b', patch_size=16)
    backbone |= scale | dict(bias='qv_bias')
    neck = without(CAE['neck'], 'init_values', 'patch_size') | scale
    assert built(CAE | dict(backbone=backbone, neck=neck), 'mmpretrain') == build_model(CAE)
    newer = SHIPPED['MoCoV3, base']
    other = newer | dict(base_momentum=0.01, neck=without(newer['neck'], 'vit_backbone'))
    assert built(other, 'mmpretrain') == build_model(newer)


def test_a_neck_of_mmpretrain_pools_if_it_is_told_and_has_no_batch_norm() -> None:
    neck = dict(type='LinearNeck', in_channels=8, out_channels=4)
    assert model_config(neck | dict(gap_dim=2, norm_cfg=None), 'mmpretrain')['with_avg_pool']
    with refused('set norm_cfg=None'):
        model_config(neck, 'mmpretrain')


def test_a_momentum_that_grows_to_less_than_one_is_refused() -> None:
    hook = dict(type='BYOLHook', end_momentum=1.0, update_interval=2)
    assert built(SHIPPED['BYOL'], '0.x', hook) == build_model(SHIPPED['BYOL'])
    with refused('end_momentum=0.9'):
        built(SHIPPED['BYOL'], '0.x', hook | dict(end_momentum=0.9))


def masked(algorithm: str, name: str, **fields: Any) -> dict[str, Any]:
    hook = Hook(name, fields, among='pipeline')
    found: dict[str, Any] = class_of(algorithm).mask_settings(hook)
    hook.finish()
    return found


def test_mask_generators_set_fields_of_the_model() -> None:
    blocks: dict[str, Any] = dict(input_size=(14, 14), num_masking_patches=75, min_num_patches=16)
    expected = {'neck': {'mask_tokens_num': 75}, 'smallest_block': 16}
    assert masked('CAE', 'BEiTMaskGenerator', max_num_patches=None, **blocks) == expected
    expected = {'masked_patches': 78, 'smallest_block': 15}
    assert masked('MaskFeat', 'MaskFeatMaskGenerator', mask_ratio=0.4) == expected
    cells: dict[str, Any] = dict(input_size=192, mask_patch_size=16, mask_ratio=0.5)
    expected = {'mask_patch_size': 16, 'mask_ratio': 0.5}
    assert masked('SimMIM', 'SimMIMMaskGenerator', model_patch_size=4, **cells) == expected


@pytest.mark.parametrize(
    ('fields', 'said'),
    [
        (dict(max_num_patches=20), 'pipeline: BEiTMaskGenerator with max_num_patches=20'),
        (dict(min_aspect=0.5), 'min_aspect=0.5'),
        (dict(input_size='x'), 'give numbers'),
        (dict(num_masking_patches=1.5), 'num_masking_patches=1.5 must be a whole number'),
        (dict(blocks=3), "'blocks'"),
    ],
)
def test_masks_of_other_kinds_are_refused(fields: dict[str, Any], said: str) -> None:
    with refused(said):
        masked('MaskFeat', 'BEiTMaskGenerator', **(dict(num_masking_patches=78) | fields))
