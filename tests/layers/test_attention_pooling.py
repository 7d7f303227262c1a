import jax
import jax.numpy as jnp
import numpy as np

from jssl.layers.attention_pooling import AttentionPooling
from tests.checks import applied, well_scaled


def test_equal_tokens_are_pooled_to_what_each_of_them_is() -> None:
    module = AttentionPooling(2, 16)
    x = jnp.tile(jax.random.normal(jax.random.key(0), (3, 1, 8)), (1, 5, 1))
    variables = well_scaled(jax.eval_shape(module.init, jax.random.key(1), x))
    out = applied(module, variables, x)
    assert out.shape == (3, 8)
    params = jax.tree.map(np.asarray, variables['params'])
    value = x[:, 0] @ params['kv']['kernel'][:, 8:] + params['kv']['bias'][8:]
    mixed = value @ params['proj']['kernel'] + params['proj']['bias']
    mean, std = mixed.mean(-1, keepdims=True), mixed.std(-1, keepdims=True)
    normed = (mixed - mean) / std * params['ln']['scale'] + params['ln']['bias']
    first, second = (params['ffn'][name] for name in ('layers.0.0', 'layers.1'))
    hidden = jax.nn.gelu(normed @ first['kernel'] + first['bias'], approximate=True)
    expected = mixed + hidden @ second['kernel'] + second['bias']
    np.testing.assert_allclose(out, expected, atol=2e-4)


def test_the_query_decides_between_tokens() -> None:
    module = AttentionPooling(1, 4)
    x = jnp.eye(2, 4)[None]
    variables = well_scaled(jax.eval_shape(module.init, jax.random.key(1), x))
    assert np.abs(applied(module, variables, x) - applied(module, variables, x * 3)).max() > 1e-3
