import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.cross_attention import CrossAttention
from tests.checks import refused, well_scaled

QUERY, KEY, VALUE = (
    jax.random.normal(jax.random.key(i), (2, n, 8)) for i, n in enumerate((3, 5, 5))
)


def test_it_equals_pytorch_s() -> None:
    torch = pytest.importorskip('torch')
    model = CrossAttention(num_heads=2)
    shapes = jax.eval_shape(model.init, jax.random.key(0), QUERY, KEY, VALUE)['params']
    params = well_scaled(shapes)
    assert {key: list(params[key]) for key in 'qkv'} == {key: ['kernel'] for key in 'qkv'}
    twin = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    bias = np.concatenate([params['q_bias'], np.zeros(8), params['v_bias']])
    weight = np.concatenate([params[key]['kernel'].T for key in 'qkv'])
    named = {'in_proj_weight': weight, 'in_proj_bias': bias}
    named |= {
        'out_proj.weight': params['proj']['kernel'].T,
        'out_proj.bias': params['proj']['bias'],
    }
    twin.load_state_dict({k: torch.from_numpy(np.array(v, 'float32')) for k, v in named.items()})
    with torch.no_grad():
        expected, _ = twin(*(torch.from_numpy(np.array(x)) for x in (QUERY, KEY, VALUE)))
    found = jax.jit(model.apply)({'params': params}, QUERY, KEY, VALUE)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_bfloat16_leaves_the_parameters_alone() -> None:
    call = CrossAttention(2, dtype=jnp.bfloat16).init_with_output
    out, variables = jax.eval_shape(call, jax.random.key(0), QUERY, KEY, VALUE)
    assert out.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}


def test_heads_must_divide_the_channels() -> None:
    with refused('neck.num_heads=3', '8 channels'):
        CrossAttention(3).init(jax.random.key(0), QUERY, KEY, VALUE)
