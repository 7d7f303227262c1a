"""Weights for another size take their places: tables of positions, windows, mask tokens."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import TrainState
from jssl.backbones import CAEViT, IJEPAViT, MAEViT, SwinTransformer, VisionTransformer
from jssl.fitting.pretrained import load_backbone_into, read_weights
from tests.algorithms import runs, tiny_masked
from tests.checks import assert_trees_close
from tests.fitting.test_pretrained import (
    IMAGES,
    SWIN,
    VIT,
    assert_same_backbone,
    begin_run,
    begun,
    export,
    load,
    train_state,
)


def test_a_masked_model_is_fine_tuned_with_larger_images(tmp_path: Path) -> None:
    torch = pytest.importorskip('torch')
    trained = train_state(MAEViT(VIT, img_size=8, patch_size=4), 1)
    export(tmp_path, trained)
    vit = VisionTransformer(VIT, img_size=16, patch_size=4, avg_token=True, final_norm=False)
    fresh = train_state(vit, side=16)
    loaded, said = load(tmp_path, fresh)
    old, new = (state.params['backbone'] for state in (trained, loaded))
    assert_trees_close(new['layers.1'], old['layers.1'], rtol=0)
    assert_trees_close(new['ln2'], fresh.params['backbone']['ln2'], rtol=0)
    assert 'new here: backbone.ln2.bias, backbone.ln2.weight' in said
    assert 'not used: backbone.ln1.bias, backbone.ln1.weight' in said
    table = torch.tensor(np.array(old['pos_embed'][:, 1:])).reshape(1, 2, 2, 8).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(table, (4, 4), mode='bicubic')
    expected = resized.permute(0, 2, 3, 1).reshape(1, 16, 8).numpy()
    np.testing.assert_allclose(new['pos_embed'][:, 1:], expected, rtol=1e-5)
    np.testing.assert_array_equal(new['pos_embed'][:, :1], old['pos_embed'][:, :1])


def test_a_mask_token_may_be_missing(tmp_path: Path) -> None:
    export(tmp_path, train_state(MAEViT(VIT, img_size=8, patch_size=4), 1))
    fresh = train_state(MAEViT(VIT, img_size=8, patch_size=4))
    token = {'mask_token': jnp.full((1, 1, 8), 3.0)}
    params = {**fresh.params, 'backbone': {**fresh.params['backbone'], **token}}
    loaded, said = load(tmp_path, dataclasses.replace(fresh, params=params))
    assert 'new here: backbone.mask_token' in said
    np.testing.assert_array_equal(loaded.params['backbone']['mask_token'], 3)


@pytest.mark.parametrize('interpolation', ['plain', 'offset', 'antialiased'])
def test_a_table_is_resized_as_the_backbone_does_it_with_larger_images(
    interpolation: str, tmp_path: Path
) -> None:
    fields: Any = dict(patch_size=4, num_registers=2, interpolation=interpolation)
    before, after = (VisionTransformer(VIT, img_size=side, **fields) for side in (8, 12))
    trained = train_state(before, 1)
    export(tmp_path, trained)
    loaded, said = load(tmp_path, train_state(after, side=12), after)
    assert 'new here' not in said
    assert loaded.params['backbone']['pos_embed'].shape == (1, 1 + 9, 8)
    for state, backbone in ((trained, before), (loaded, after)):
        positions = backbone.apply({'params': state.params['backbone']}, IMAGES)
        expected = before.apply({'params': trained.params['backbone']}, IMAGES)
        assert_trees_close(positions, expected, rtol=1e-5)


def test_a_table_without_a_class_token_is_resized_whole(tmp_path: Path) -> None:
    before, after = (IJEPAViT(VIT, img_size=side, patch_size=4) for side in (8, 12))
    trained = train_state(before, 1)
    export(tmp_path, trained)
    loaded, _ = load(tmp_path, train_state(after, side=12), after)
    assert loaded.params['backbone']['pos_embed'].shape == (1, 9, 8)
    found = after.apply({'params': loaded.params['backbone']}, IMAGES)
    assert_trees_close(found, before.apply({'params': trained.params['backbone']}, IMAGES))


def test_the_row_of_a_class_token_is_left_out_or_zero_where_the_other_has_none(
    tmp_path: Path,
) -> None:
    vit = VisionTransformer(VIT, img_size=8, patch_size=4)
    trained = train_state(vit, 1)
    table = np.asarray(trained.params['backbone']['pos_embed'])
    weights = dict(read_weights(str(export(tmp_path, trained))))
    patches_alone = vit.clone(with_cls_token=False)
    fewer = load_backbone_into(train_state(patches_alone), patches_alone, weights, 'x', print)
    np.testing.assert_array_equal(fewer.params['backbone']['pos_embed'], table[:, 1:])
    weights['backbone.pos_embed'] = table[:, 1:]
    more = load_backbone_into(train_state(vit), vit, weights, 'x', print)
    expected = np.concatenate([0 * table[:, :1], table[:, 1:]], axis=1)
    np.testing.assert_array_equal(more.params['backbone']['pos_embed'], expected)


def test_dinov2_goes_on_with_larger_images_where_the_teacher_of_the_first_run_was(
    tmp_path: Path,
) -> None:
    first = tiny_masked.tiny_dinov2()
    second = dataclasses.replace(first, backbone=first.backbone.clone(img_size=16), run=runs.RUN)
    batch = {**runs.seen(), 'views': (jnp.zeros((2, 16, 16, 3)),) * 2}
    trained, fresh = begun(first, runs.seen(), 1), begun(second, batch)
    begin_run(tmp_path, trained, keeps='teacher')
    loaded, _ = load(tmp_path, fresh, second.backbone)
    images = jnp.asarray(np.random.default_rng(0).random((2, 16, 16, 3), 'float32'))
    expected = first.extract_feat(trained.params, trained.state, images)
    for keeps in (loaded.params, loaded.state['teacher']['params']):
        state = {'teacher': {'params': keeps}}
        np.testing.assert_allclose(second.extract_feat({}, state, images), expected, rtol=1e-5)
    drawn = second.draw(jax.random.key(0), loaded.state, batch)
    jax.eval_shape(second.loss, loaded.params, loaded.state, drawn)


def swin(window: int) -> SwinTransformer:
    return SwinTransformer(SWIN, patch_size=2, window_size=window, out_indices=(0,))


def test_tables_of_relative_positions_are_resized_to_the_window(tmp_path: Path) -> None:
    torch = pytest.importorskip('torch')
    trained = train_state(swin(2), 1, side=16)
    export(tmp_path, trained)
    same, _ = load(tmp_path, train_state(swin(2), side=16))
    assert_same_backbone(same, train_state(swin(2), 1, side=16))
    wider, _ = load(tmp_path, train_state(swin(4), side=16))
    names = ('backbone', 'stages.0.blocks.1', 'attn', 'w_msa', 'relative_position_bias_table')
    before, after = trained.params, wider.params
    for name in names:
        before, after = before[name], after[name]
    table = torch.tensor(np.array(before)).reshape(1, 2, 3, 3)
    resized = torch.nn.functional.interpolate(table, (7, 7), mode='bicubic')
    np.testing.assert_allclose(after, resized.reshape(2, 49).numpy(), rtol=1e-4, atol=1e-5)


def relative_vit(side: int) -> VisionTransformer:
    return VisionTransformer(
        VIT, img_size=4 * side, patch_size=4, use_rel_pos_bias=True, qkv_bias=False
    )


def biases(state: TrainState) -> Any:
    return state.params['backbone']['layers.1']['attn']['relative_position_bias_table']


def test_fine_tuning_adds_biases_by_relative_position(tmp_path: Path) -> None:
    trained = train_state(CAEViT(VIT, img_size=8, patch_size=4, layer_scale=None), 1)
    export(tmp_path, trained)
    fresh = train_state(relative_vit(2))
    loaded, said = load(tmp_path, fresh)
    old, new = (state.params['backbone']['layers.1'] for state in (trained, loaded))
    assert_trees_close(new['attn']['qkv'], old['attn']['qkv'], rtol=0)
    assert_trees_close(biases(loaded), biases(fresh), rtol=0)
    assert 'new here: backbone.layers.0.attn.relative_position_bias_table' in said


def test_biases_of_the_class_token_stay_while_the_others_are_resized(tmp_path: Path) -> None:
    torch = pytest.importorskip('torch')
    trained = train_state(relative_vit(2), 1)
    export(tmp_path, trained)
    before = np.array(biases(trained))
    after = np.array(biases(load(tmp_path, train_state(relative_vit(4), side=16))[0]))
    assert (before.shape[1], after.shape[1]) == (3 * 3 + 3, 7 * 7 + 3)
    np.testing.assert_array_equal(after[:, -3:], before[:, -3:])
    table = torch.tensor(before[:, :-3]).reshape(1, -1, 3, 3)
    resized = torch.nn.functional.interpolate(table, (7, 7), mode='bicubic')
    np.testing.assert_allclose(after[:, :-3], resized.reshape(-1, 49).numpy(), rtol=1e-4, atol=1e-5)
