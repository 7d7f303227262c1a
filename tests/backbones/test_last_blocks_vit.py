"""A vision transformer that gives several blocks: each output is that of a shorter network."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.backbones import LastBlocksViT, VisionTransformer
from tests.checks import refused, well_scaled

ARCH = {'embed_dims': 8, 'num_layers': 3, 'num_heads': 2, 'feedforward_channels': 16}
IMAGES = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype('float32')


def make(kind: Any, depth: int = 3, **fields: Any) -> Any:
    return kind(ARCH | {'num_layers': depth}, img_size=8, patch_size=2, **fields)


@pytest.mark.parametrize('fields', [{}, {'with_cls_token': False, 'rotary': {}}])
def test_each_output_is_that_of_a_shorter_network(fields: dict[str, Any]) -> None:
    backbone = make(LastBlocksViT, last_blocks=2, **fields)
    shapes = jax.eval_shape(backbone.init, jax.random.key(0), IMAGES)
    assert shapes == jax.eval_shape(
        make(VisionTransformer, **fields).init, jax.random.key(0), IMAGES
    )
    variables = well_scaled(shapes)
    outputs = jax.jit(lambda x: backbone.apply(variables, x))(IMAGES)
    assert len(outputs) == 2
    for depth, found in zip((2, 3), outputs, strict=True):
        short = make(VisionTransformer, depth, **fields)
        (expected,) = jax.jit(lambda x, short=short: short.apply(variables, x))(IMAGES)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_frozen_backbone_leaves_no_branch_out() -> None:
    backbone = make(LastBlocksViT, last_blocks=1, drop_path_rate=0.5)
    variables = well_scaled(jax.eval_shape(backbone.init, jax.random.key(0), IMAGES))
    for train in (False, True):
        assert jax.eval_shape(
            lambda x, t=train: backbone.apply(variables, x, train=t), jnp.asarray(IMAGES)
        )


def test_what_gives_no_blocks_is_refused() -> None:
    with refused('config.model.backbone.last_blocks=4', '3 blocks'):
        make(LastBlocksViT)
    for field in ('scan_layers', 'avg_token'):
        with refused(f'config.model.backbone.{field}=True', 'set it to False'):
            make(LastBlocksViT, last_blocks=2, **{field: True})
