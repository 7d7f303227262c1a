"""I-JEPA beyond the contract and the reference's numbers."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Run
from jssl.algorithms import IJEPA
from jssl.augment.masks import MultiBlock
from jssl.backbones import DINOv3ViT, IJEPAViT, MAEViT
from jssl.layers.position_embedding import sincos_positions
from jssl.necks import IJEPAPredictor
from jssl.weights.names import save_tree
from tests import families, golden
from tests.algorithms import runs, tiny_masked, tiny_models
from tests.checks import refused, well_scaled

MODEL = tiny_masked.tiny_ijepa()
BATCH = runs.seen(copies=1)


@pytest.fixture(scope='module')
def started() -> tuple[Any, Any]:
    params, state = well_scaled(jax.eval_shape(MODEL.init, jax.random.key(0), BATCH))
    return params, state


def test_context_and_blocks_are_drawn_for_each_image() -> None:
    drawn = jax.jit(MODEL.draw)(jax.random.key(0), {}, BATCH)
    assert drawn['context'].shape == (tiny_models.BATCH, 1, 4)
    assert drawn['blocks'].shape == (tiny_models.BATCH, 2, 1)
    assert 'drop_path' not in drawn
    noisy = dataclasses.replace(MODEL, backbone=MODEL.backbone.clone(drop_path_rate=0.1))
    assert 'drop_path' in jax.eval_shape(noisy.draw, jax.random.key(0), {}, BATCH)


def test_the_encoder_sees_the_context_alone_and_the_teacher_all(started: tuple[Any, Any]) -> None:
    """A patch outside of context and blocks reaches the loss through the teacher alone."""
    drawn = jax.jit(MODEL.draw)(jax.random.key(0), {}, BATCH)
    inside = set(np.asarray(drawn['context'])[0].ravel())
    outside = next(patch for patch in range(16) if patch not in inside)
    row, column = (2 * (outside // 4), 2 * (outside % 4))
    changed = BATCH['views'][0].at[0, row : row + 2, column : column + 2].add(1.0)

    def predicted(image: jax.Array) -> Any:
        given = (image, drawn['context'], drawn['blocks'])
        return MODEL.network.apply({'params': started[0]}, *given)

    run = jax.jit(predicted)
    np.testing.assert_array_equal(run(changed), run(BATCH['views'][0]))
    loss = jax.jit(lambda views: MODEL.loss(*started, {**drawn, 'views': views})[0])
    assert loss((changed,)) != loss(BATCH['views'])


def test_the_teacher_follows_on_a_line_from_the_first_step(started: tuple[Any, Any]) -> None:
    params, state = started
    model = dataclasses.replace(MODEL, base_momentum=0.5, run=Run(8, 2, 5))
    ones, zeros = jax.tree.map(np.ones_like, params), jax.tree.map(np.zeros_like, state)
    advance = jax.jit(model.after_step)
    for step, share in ((0, 0.5), (5, 0.25), (10, 0.0)):
        _, after = advance(ones, zeros, step)
        found = after['teacher']['params']['backbone']['ln1']['bias']
        np.testing.assert_allclose(found, share, rtol=1e-6)


def test_features_are_the_teacher_s(started: tuple[Any, Any]) -> None:
    params, state = started
    images = BATCH['views'][0]
    extract = jax.jit(MODEL.extract_feat)
    nothing = jax.tree.map(np.zeros_like, params)
    np.testing.assert_array_equal(extract(nothing, state, images), extract(params, state, images))


def test_what_does_not_fit_together_is_refused() -> None:
    with refused('class token', 'with_cls_token=False'):
        IJEPA(MAEViT(tiny_masked.VIT, img_size=8, patch_size=2), MODEL.neck)
    with refused('I-JEPA is for vision transformers', 'is Stem', 'IJEPAViT'):
        IJEPA(tiny_models.STEM, MODEL.neck)
    with refused('config.model.backbone is DINOv3ViT', 'num_registers=0'):
        bare = DINOv3ViT(tiny_masked.VIT, img_size=8, patch_size=2, with_cls_token=False)
        IJEPA(bare, MODEL.neck)
    with refused('I-JEPA looks at single tokens', 'avg_token=True', 'False'):
        IJEPA(MODEL.backbone.clone(avg_token=True), MODEL.neck)
    with refused('neck.num_patches=9', 'num_patches=16'):
        other = dataclasses.replace(MODEL, neck=MODEL.neck.clone(num_patches=9))
        other.draw(jax.random.key(0), {}, BATCH)
    with refused('8 x 4 px', 'square'):
        MODEL.draw(jax.random.key(0), {}, {'views': (jnp.zeros((2, 8, 4, 3)),)})


@golden.each('part_ijepa_tables')
def test_positions_and_initial_values_are_the_reference_s(path: Path) -> None:
    with golden.whole(path) as saved:
        table = sincos_positions(
            saved.meta['grid'], saved.meta['dim'], cls_token=False, columns_first=True
        )
        np.testing.assert_allclose(table[0], saved.arrays['out/sincos'], atol=1e-6)
        arch = dict(embed_dims=192, num_layers=12, num_heads=3, feedforward_channels=768)
        neck = IJEPAPredictor(196, 192, 192, 6, 3)
        model = IJEPA(IJEPAViT(arch), neck, MultiBlock())
        batch = {'views': (jnp.zeros((1, 224, 224, 3)),)}
        params, _ = jax.jit(model.init)(jax.random.key(0), batch)
        named = functools.partial(families.name, families.FAMILIES['ijepa'])
        found = save_tree({'params': params}, named)
        expected = golden.plain(saved.meta['init'])
        assert found.keys() == expected.keys()
        for name, (mean, std, largest) in expected.items():
            array = found[name]
            error = max(std, 1e-9) / np.sqrt(array.size)
            # Two draws of one distribution, whose difference is no error of either.
            assert abs(array.mean() - mean) <= 6 * error + 1e-6, name
            assert abs(array.std() - std) <= 5 * error + 1e-6, name
            assert abs(np.abs(array).max() - largest) <= 0.35 * largest, name
