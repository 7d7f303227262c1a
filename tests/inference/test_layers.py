"""What comes out of each layer of the transformers; of ResNets see `test_load`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Algorithm
from jssl.backbones import SwinTransformer, VisionTransformer
from jssl.inference.layers import make_outputs
from jssl.inference.pretrained import Frozen
from jssl.networks import evaluate
from tests.algorithms.tiny_masked import tiny_ijepa, tiny_mae
from tests.algorithms.tiny_models import Stem, linear
from tests.checks import refused, well_scaled

VIT = {'embed_dims': 8, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 16}
IMAGES = jnp.asarray(np.random.default_rng(0).random((2, 8, 8, 3), 'float32'))


def variables(algorithm: Algorithm) -> tuple[Any, Any]:
    return well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), {'views': (IMAGES,)}))


def take(algorithm: Algorithm, parts: tuple[Any, Any], layer: Any) -> np.ndarray:
    return np.asarray(make_outputs(algorithm, layer)(*parts, IMAGES))


def test_tokens_of_a_vision_transformer() -> None:
    algorithm = Frozen(VisionTransformer(VIT, img_size=8, patch_size=2))
    parts = variables(algorithm)
    out = functools.partial(take, algorithm, parts)
    (found, token), *_ = evaluate(algorithm.backbone, parts[0]['backbone'], {}, IMAGES)
    np.testing.assert_array_equal(out('class_token'), token)
    np.testing.assert_array_equal(out('pooled'), token)
    np.testing.assert_array_equal(out('map'), found)
    np.testing.assert_array_equal(out('patches'), found.reshape(2, 16, 8))
    np.testing.assert_allclose(out('patch_mean'), found.mean((1, 2)), rtol=1e-6)
    last = out(2)  # before the final norm
    norm = parts[0]['backbone']['ln1']
    scaled = (last - last.mean(-1, keepdims=True)) / np.sqrt(last.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(scaled * norm['scale'] + norm['bias'], found, atol=1e-4)
    assert np.abs(out('1') - last).max() > 0.1
    np.testing.assert_array_equal(out(-2), out(1))


def test_stacked_blocks_are_counted_too() -> None:
    plain, stacked = (
        Frozen(VisionTransformer(VIT, img_size=8, patch_size=2, scan_layers=scan))
        for scan in (False, True)
    )
    params, state = variables(plain)
    backbone = dict(params['backbone'])
    blocks = [backbone.pop(f'layers.{index}') for index in range(2)]
    backbone['layers'] = jax.tree.map(lambda *rows: jnp.stack(rows), *blocks)
    found = take(stacked, ({'backbone': backbone}, state), 1)
    np.testing.assert_allclose(found, take(plain, (params, state), 1), rtol=1e-5, atol=1e-6)


def test_layers_are_those_of_the_backbone_that_the_algorithm_keeps() -> None:
    algorithm = tiny_ijepa()
    params, state = variables(algorithm)
    nothing = jax.tree.map(np.zeros_like, params)
    kept = {'backbone': state['teacher']['params']['backbone']}
    for layer in ('pooled', 'map', 1):
        found = take(algorithm, (nothing, state), layer)
        np.testing.assert_array_equal(found, take(Frozen(algorithm.backbone), (kept, {}), layer))


def test_stages_of_a_swin_transformer() -> None:
    arch = {'embed_dims': 8, 'depths': (1, 1), 'num_heads': (2, 2)}
    algorithm = Frozen(SwinTransformer(arch, patch_size=2, window_size=2, out_indices=(1,)))
    parts = variables(algorithm)
    assert take(algorithm, parts, 1).shape == (2, 4, 4, 8)
    assert take(algorithm, parts, -1).shape == take(algorithm, parts, 'map').shape == (2, 2, 2, 16)


def test_a_network_of_ones_own_is_counted_by_its_outputs() -> None:
    algorithm = Frozen(Stem())
    parts = variables(algorithm)
    np.testing.assert_array_equal(take(algorithm, parts, 1), take(algorithm, parts, 'map'))
    with refused('layer=2', 'from 1 to 1'):
        take(algorithm, parts, 2)


def test_without_a_backbone_there_is_what_the_algorithm_extracts() -> None:
    algorithm = tiny_mae()
    with refused("layer='map'", 'no part called backbone', "layer='pooled'"):
        make_outputs(algorithm, 'map')({'encoder': {}}, {}, IMAGES)


@pytest.mark.parametrize('layer', ['fc', 'class-token'])
def test_a_layer_that_is_none_is_told(layer: str) -> None:
    with refused(repr(layer), 'class_token'):
        make_outputs(Frozen(linear(3, 3)), layer)
