import math
from typing import Any

import jax
import numpy as np
import pytest

from jssl.backbones import ResNet, ResNetSobel, ResNetV1d, ResNeXt
from jssl.backbones.resnet import average
from jssl.backbones.resnet_sobel import LAYERS
from jssl.layers.sobel import sobel, sobel_filters
from tests.backbones.test_resnet import shapes_of
from tests.checks import refused, well_scaled


@pytest.mark.parametrize(
    ('model', 'parameters'),
    [
        (ResNeXt(50), 22_979_904),
        (ResNeXt(101), 42_128_704),
        (ResNeXt(152), 57_902_400),
        (ResNetV1d(50), 23_527_264),
        (ResNetSobel(50), 23_504_896),
    ],
)
def test_parameter_counts(model: ResNet, parameters: int) -> None:
    _, variables = shapes_of(model, 64)
    sizes = (math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']))
    assert sum(sizes) == parameters


@pytest.mark.parametrize('base', [64, 32])
def test_the_groups_of_a_resnext_keep_their_number_at_another_width(base: int) -> None:
    _, variables = shapes_of(ResNeXt(50, base_channels=base), 64)
    kernels = [variables['params'][f'layer{i}.0']['conv2']['kernel'].shape for i in (1, 2)]
    assert kernels == [(3, 3, 4, 128), (3, 3, 8, 256)]


def test_a_resnext_of_basic_blocks_is_refused() -> None:
    with refused('depth=18', '50, 101 or 152'):
        ResNeXt(18)


def test_the_averaging_shortcut_leaves_out_what_lies_beyond_the_border() -> None:
    torch = pytest.importorskip('torch')
    x = jax.random.normal(jax.random.key(0), (2, 5, 6, 3))
    pool = torch.nn.AvgPool2d(2, ceil_mode=True, count_include_pad=False)
    expected = pool(torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    np.testing.assert_allclose(average(x, 2), expected, atol=1e-6)


def test_a_deep_stem_for_small_images_keeps_the_resolution() -> None:
    features, variables = shapes_of(ResNetV1d(10, 8, cifar_stem=True, out_indices=(0, 1)), 16)
    assert [feature.shape for feature in features] == [(2, 16, 16, 8), (2, 16, 16, 8)]
    assert 'stem.2.conv' in variables['params']


def test_a_frozen_deep_stem_says_so() -> None:
    model = ResNetV1d(10, frozen_stages=0)
    assert model.is_frozen('stem.0.conv.kernel')
    assert not model.is_frozen('layer1.0.conv1.kernel')


def test_a_sobel_network_is_a_resnet_on_edges() -> None:
    options: dict[str, Any] = {'strides': (2,), 'out_indices': (1,), 'cifar_stem': True}
    images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    model = ResNetSobel(10, 4, **options)
    variables = well_scaled(jax.eval_shape(model.init, jax.random.key(0), images))
    assert variables['params']['conv1']['kernel'].shape == (3, 3, 2, 4)
    variables['batch_stats'] |= dict(zip(LAYERS, sobel_filters(), strict=True))

    @jax.jit
    def both(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        plain = ResNet(10, 4, **options)
        return (
            model.apply(variables, images, train=False)[0],
            plain.apply(variables, sobel(images), train=False)[0],
        )

    ours, plain = both(images)
    np.testing.assert_allclose(ours, plain, atol=1e-6)
