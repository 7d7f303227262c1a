from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from jssl.interop import mmselfsup
from jssl.necks import SwAVNeck
from tests.checks import applied, assert_drawn_like, refused, well_scaled

WIDTHS: dict[str, Any] = {'in_channels': 3, 'hid_channels': 4, 'out_channels': 2}
SHAPES = jax.eval_shape(SwAVNeck(**WIDTHS).init, jax.random.key(0), (jnp.zeros((4, 3)),))
VARIABLES = well_scaled(SHAPES)
VECTORS = np.random.default_rng(1).standard_normal((6, 3)).astype('float32')


def run(neck: SwAVNeck, features: Any, train: bool = True) -> jax.Array:
    apply = jax.jit(lambda v, x: neck.apply(v, (x,), train, mutable=['batch_stats']))
    return apply(VARIABLES, features)[0]


def names(**widths: Any) -> set[str | None]:
    """The parameters and statistics in the reference's names."""
    neck = SwAVNeck(**(WIDTHS | widths))
    variables = jax.eval_shape(neck.init, jax.random.key(0), (jnp.zeros((4, 2, 2, 3)),))
    state = {'batch_stats': {'neck': variables.get('batch_stats', {})}}
    paths = {'params': {'neck': variables.get('params', {})}, 'state': state}
    return {mmselfsup.reference_key(place) for place in flatten_dict(paths)}


def test_against_torch() -> None:
    torch = pytest.importorskip('torch')
    params = jax.tree.map(lambda leaf: torch.tensor(np.asarray(leaf)), VARIABLES['params'])
    first, norm, second = (params[key] for key in ('projection_neck.0', 'bn', 'projection_neck.3'))
    x = torch.tensor(VECTORS) @ first['kernel'] + first['bias']
    x = torch.nn.functional.batch_norm(
        x, None, None, norm['scale'], norm['bias'], training=True, eps=1e-5
    )
    x = torch.relu(x) @ second['kernel'] + second['bias']
    expected = torch.nn.functional.normalize(x, dim=1)
    np.testing.assert_allclose(run(SwAVNeck(**WIDTHS), VECTORS), expected, rtol=1e-4, atol=1e-5)


def test_maps_are_pooled_and_vectors_taken_as_they_are() -> None:
    maps = jnp.asarray(VECTORS)[:, None, None] + jnp.array([-1.0, 1.0])[:, None, None]
    expected = run(SwAVNeck(**WIDTHS), VECTORS)
    np.testing.assert_allclose(run(SwAVNeck(**WIDTHS), maps), expected, atol=1e-5)
    taken = SwAVNeck(**WIDTHS, with_avg_pool=False)
    np.testing.assert_allclose(run(taken, VECTORS), expected, atol=1e-6)


def test_evaluation_uses_the_running_statistics() -> None:
    both = run(SwAVNeck(**WIDTHS), VECTORS, train=False)
    half = run(SwAVNeck(**WIDTHS), VECTORS[:3], train=False)
    np.testing.assert_allclose(both[:3], half, atol=1e-6)


def test_group_size_reaches_the_batch_norm() -> None:
    grouped = run(SwAVNeck(**WIDTHS, bn_group_size=3), VECTORS)
    np.testing.assert_allclose(grouped[3:], run(SwAVNeck(**WIDTHS), VECTORS[3:]), atol=1e-5)


def test_rows_without_normalisation_point_the_same_way() -> None:
    free = run(SwAVNeck(**WIDTHS, with_l2norm=False), VECTORS)
    lengths = np.linalg.norm(free, axis=1, keepdims=True)
    assert np.ptp(lengths) > 0.01
    np.testing.assert_allclose(run(SwAVNeck(**WIDTHS), VECTORS), free / lengths, rtol=1e-5)


@pytest.mark.parametrize(
    ('widths', 'expected'),
    [
        ({'hid_channels': 0}, {'neck.projection_neck.weight', 'neck.projection_neck.bias'}),
        ({'out_channels': 0}, set()),
        (
            {},
            {f'neck.projection_neck.{i}.{key}' for i in (0, 3) for key in ('weight', 'bias')}
            | {f'neck.bn.{key}' for key in ('weight', 'bias', 'running_mean', 'running_var')},
        ),
    ],
)
def test_which_layers_there_are(widths: dict[str, int], expected: set[str]) -> None:
    assert names(**widths) == expected


def test_without_layers_the_features_are_normalised() -> None:
    neck = SwAVNeck(3, 0, 0)
    out = applied(neck, {}, (jnp.asarray(VECTORS),))
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-6)


def test_bfloat16_compute_ends_in_float32() -> None:
    neck = SwAVNeck(**WIDTHS, dtype=jnp.bfloat16)
    out, variables = jax.eval_shape(
        lambda x: neck.init_with_output(jax.random.key(0), (x,)), jnp.zeros((4, 2, 2, 3))
    )
    assert out.dtype == 'float32'
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}


def test_fresh_parameters_are_drawn_as_in_the_reference() -> None:
    neck = SwAVNeck(in_channels=512, hid_channels=256, out_channels=64)
    params = jax.jit(neck.init)(jax.random.key(0), (jnp.zeros((2, 512)),))['params']
    assert_drawn_like({'neck': params}, 'swav')


def test_another_width_is_refused_with_the_right_one() -> None:
    with refused('in_channels=3', 'set config.model.neck.in_channels=5'):
        SwAVNeck(**WIDTHS).init(jax.random.key(0), (jnp.zeros((4, 2, 2, 5)),))
