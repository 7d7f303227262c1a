"""ConvNeXt: sizes, global response normalisation, outputs, and what is refused."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.backbones import ConvNeXt, ConvNeXtV2
from jssl.backbones.convnext import ResponseNorm
from tests.checks import refused, well_scaled

ARCH = {'depths': (1, 4), 'channels': (4, 8)}


def shapes_of(model: ConvNeXt, side: int) -> tuple[Any, Any]:
    images = jnp.zeros((2, side, side, 3))
    return jax.eval_shape(
        lambda key: model.init_with_output(key, images, train=False), jax.random.key(0)
    )


# The published numbers of parameters, less those of the classifier: 1000 outputs.
@pytest.mark.parametrize(
    ('model', 'expected'),
    [(ConvNeXtV2('atto'), 3_387_400), (ConvNeXt('tiny'), 27_820_128)],
)
def test_the_number_of_parameters(model: ConvNeXt, expected: int) -> None:
    _, variables = shapes_of(model, 64)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == expected


def test_a_channel_is_scaled_by_its_share_of_the_response() -> None:
    draw = np.random.default_rng(0)
    x, gamma, beta = (draw.standard_normal(shape) for shape in ((2, 3, 4, 5), (5,), (5,)))
    x[..., 0] = 0  # whose norm has no gradient of its own
    norms = np.sqrt((x**2).sum((1, 2), keepdims=True))
    expected = x + gamma * x * norms / (norms.mean(-1, keepdims=True) + 1e-6) + beta

    def normed(x: jax.Array) -> Any:
        return ResponseNorm().apply({'params': {'gamma': gamma, 'beta': beta}}, x)

    np.testing.assert_allclose(normed(jnp.asarray(x)), expected, rtol=1e-5)
    gradient = jax.grad(lambda x: normed(x).sum())(jnp.asarray(x))
    assert np.isfinite(gradient).all()


def test_outputs_are_normalised_means_or_maps_or_maps_as_they_are() -> None:
    mean = ConvNeXtV2(ARCH, out_indices=(1,))
    each = ConvNeXtV2(ARCH, out_indices=(1, 0), gap_before_final_norm=False)
    plain = ConvNeXtV2(ARCH, out_indices=(1,), final_norm=False)
    images = jax.random.normal(jax.random.key(0), (2, 18, 16, 3))
    variables = well_scaled(jax.eval_shape(each.init, jax.random.key(0), images))
    run = lambda model: jax.jit(lambda v: model.apply(v, images, train=False))(variables)  # noqa: E731
    (means,), (last, first), (map_,) = run(mean), run(each), run(plain)
    assert (means.shape, last.shape, first.shape) == ((2, 8), (2, 2, 2, 8), (2, 4, 4, 4))
    norm = variables['params']['norm1']

    def normed(x: jax.Array) -> Any:
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * norm['scale'] + norm['bias']

    np.testing.assert_allclose(last, normed(map_), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(means, normed(map_.mean((1, 2))), rtol=1e-4, atol=1e-5)


def test_depths_for_layer_decay_and_names_of_stages() -> None:
    model = ConvNeXt(ARCH, out_indices=(1,))
    _, variables = shapes_of(model, 16)
    names = sorted(variables['params'])
    assert {name: model.get_layer_depth(f'{name}.bias')[0] for name in names} == {
        'downsample_layers.0.0': 0,
        'downsample_layers.0.1': 0,
        'downsample_layers.1.0': 2,
        'downsample_layers.1.1': 2,
        'norm1': 4,
        'stages.0.0': 1,
        'stages.1.0': 2,
        'stages.1.1': 2,
        'stages.1.2': 2,
        'stages.1.3': 3,
    }
    assert model.get_layer_depth('norm1.bias')[1] == 5
    assert model.stage_names == ('stages.0.0', 'stages.1.3')


def test_scales_stand_only_where_they_are_asked_for() -> None:
    for scale, expected in ((0.5, 0.5), (0, None), (None, None)):
        model = ConvNeXt(ARCH, out_indices=(1,), layer_scale=scale)
        block = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))['params']['stages.0.0']
        found = block.get('gamma')
        assert (None if found is None else math.fsum(found) / len(found)) == expected


def test_what_cannot_be_built_is_refused() -> None:
    with refused('as many channels'):
        ConvNeXt({'depths': (1,), 'channels': (4, 8)})
    with refused('out_indices=(4,)', 'stages 0 to 3'):
        ConvNeXt(out_indices=(4,))
    with refused("arch='tinny'", "'tiny'", "--config.model.backbone.arch='dict("):
        ConvNeXt('tinny')
