"""Operations of traced programs, beside numbers counted by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jssl.backbones import ResNet
from jssl.planning.flops import count, passes

ROWS, WIDTH, LAYERS = 4, 8, 5
PRODUCT = 2 * ROWS * WIDTH * WIDTH  # of a layer


def counted(function: Any, *shapes: tuple[int, ...]) -> dict[tuple[str, str], int]:
    given = [jax.ShapeDtypeStruct(shape, 'float32') for shape in shapes]
    return dict(count(jax.make_jaxpr(function)(*given), 'cuda'))


def layers(weights: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.sum(jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0])


def test_a_loop_counts_as_often_as_it_turns() -> None:
    shapes = (LAYERS, WIDTH, WIDTH), (ROWS, WIDTH)
    assert counted(layers, *shapes) == {('float32', 'default'): LAYERS * PRODUCT}
    whole = counted(jax.grad(layers, (0, 1)), *shapes)
    assert whole == {('float32', 'default'): 3 * LAYERS * PRODUCT}  # with two gradients


def test_what_is_computed_again_counts_again() -> None:
    layer = jax.checkpoint(lambda w, x: jnp.tanh(x @ w))
    both = counted(
        jax.grad(lambda w, x: jnp.sum(layer(w, layer(w, x)))), (WIDTH, WIDTH), (ROWS, WIDTH)
    )
    assert both == {('float32', 'default'): (2 + 2 + 2 + 1) * PRODUCT}


def convolve(kernel: jax.Array, x: jax.Array) -> jax.Array:
    numbers = ('NHWC', 'HWIO', 'NHWC')
    y = jax.lax.conv_general_dilated(x, kernel, (2, 2), 'SAME', dimension_numbers=numbers)
    return jnp.sum(y**2)


def test_zeros_of_padding_and_of_strided_gradients_do_not_count() -> None:
    # Of 4 places and 3 entries along a side of 8, the last entry of the last place is padding.
    product = 2 * 2 * 4 * 6 * 11**2
    shapes = (3, 3, 4, 6), (2, 8, 8, 4)
    assert counted(convolve, *shapes) == {('float32', 'default'): product}
    assert counted(jax.grad(convolve, (0, 1)), *shapes) == {('float32', 'default'): 3 * product}


def test_groups_of_channels_meet_their_own_alone() -> None:
    def grouped(kernel: jax.Array, x: jax.Array) -> jax.Array:
        numbers = ('NHWC', 'HWIO', 'NHWC')
        return jax.lax.conv_general_dilated(
            x, kernel, (1, 1), 'VALID', dimension_numbers=numbers, feature_group_count=4
        ).sum()

    product = 2 * 2 * 6 * 6 * 9 * 4
    shapes = (3, 3, 1, 4), (2, 8, 8, 4)
    assert counted(grouped, *shapes) == {('float32', 'default'): product}
    assert counted(jax.grad(grouped, (0, 1)), *shapes) == {('float32', 'default'): 3 * product}


def test_a_resnet_50_has_the_operations_that_are_known_of_it() -> None:
    network = ResNet(depth=50, out_indices=(4,))
    given = jax.ShapeDtypeStruct((1, 224, 224, 3), 'float32')
    variables = jax.eval_shape(lambda x: network.init(jax.random.key(0), x), given)
    jaxpr = jax.make_jaxpr(lambda v, x: network.apply(v, x, train=False))(variables, given)
    # torchvision's 4.09e9 are with the padding.
    assert 0.95 * 4.09e9 < sum(count(jaxpr, 'cuda').values()) / 2 < 4.09e9


def test_of_branches_the_dearest_counts_and_shards_count_together() -> None:
    def either(x: jax.Array) -> jax.Array:
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ x, lambda: x)

    assert sum(counted(either, (8, 8)).values()) == 2 * 8**3
    mesh = jax.make_mesh((4,), ('rows',), axis_types=(jax.sharding.AxisType.Auto,))
    rows = jax.sharding.PartitionSpec('rows')
    split = jax.shard_map(
        lambda x, w: x @ w, mesh=mesh, in_specs=(rows, jax.sharding.PartitionSpec()), out_specs=rows
    )
    assert sum(counted(split, (8, 8), (8, 8)).values()) == 2 * 8**3


@pytest.mark.parametrize(
    ('dtype', 'precision', 'tpu', 'cuda'),
    [
        ('bfloat16', None, ('bfloat16', 1), ('bfloat16', 1)),
        ('float32', None, ('bfloat16', 1), ('tensorfloat32', 1)),
        ('float32', 'high', ('bfloat16', 3), ('tensorfloat32', 1)),
        ('float32', 'highest', ('bfloat16', 6), ('float32', 1)),
        ('float32', 'BF16_BF16_F32', ('bfloat16', 1), ('bfloat16', 1)),
        ('float32', 'BF16_BF16_F32_X3', ('bfloat16', 3), ('bfloat16', 3)),
    ],
)
def test_types_and_precisions_run_on_units_of_a_machine(
    dtype: str, precision: Any, tpu: tuple[str, int], cuda: tuple[str, int]
) -> None:
    given = jax.ShapeDtypeStruct((8, 8), dtype)
    (kind,) = count(jax.make_jaxpr(lambda x: jnp.dot(x, x, precision=precision))(given), 'cuda')
    assert (passes(kind, 'tpu'), passes(kind, 'cuda')) == (tpu, cuda)


def test_double_precision_runs_on_cards_as_such() -> None:
    assert passes(('float64', 'default'), 'cuda') == ('float64', 1)


def test_of_forms_for_platforms_the_one_that_is_compiled_counts() -> None:
    def product(x: jax.Array) -> jax.Array:
        return jax.lax.platform_dependent(x, cuda=lambda x: x @ x, default=lambda x: x @ x @ x)

    jaxpr = jax.make_jaxpr(product)(jax.ShapeDtypeStruct((4, 4), 'float32'))
    assert [sum(count(jaxpr, name).values()) for name in ('cuda', 'tpu')] == [128, 256]
