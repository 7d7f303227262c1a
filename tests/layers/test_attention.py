from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers import attention
from jssl.layers.attention import SelfAttention, attend
from jssl.layers.rotary import Rotary, rotary_table
from jssl.layers.widen import widen
from tests.checks import applied, refused, well_scaled
from tests.programs import lowered, products

DRAW = np.random.default_rng(0)
HEADS = [DRAW.standard_normal((2, 5, 3, 4)) for _ in range(3)]  # query, key, value
BIASES = (('q_bias', 0), ('v_bias', 24))
BIAS = DRAW.standard_normal((1, 3, 5, 5))


def torch_attention(bias: np.ndarray | None) -> np.ndarray:
    torch = pytest.importorskip('torch')
    query, key, value = (torch.from_numpy(x).transpose(1, 2) for x in HEADS)
    mask = None if bias is None else torch.from_numpy(bias)
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    return out.transpose(1, 2).numpy()


@pytest.mark.parametrize(('dtype', 'bound'), [('float64', 1e-13), ('float32', 1e-6)])
@pytest.mark.parametrize('bias', [None, BIAS])
def test_attention_is_that_of_torch(dtype: str, bound: float, bias: np.ndarray | None) -> None:
    with jax.enable_x64(dtype == 'float64'):
        query, key, value = (jnp.asarray(x, dtype) for x in HEADS)
        out = attend(query, key, value, None if bias is None else jnp.asarray(bias, dtype))
        assert out.dtype == dtype
    np.testing.assert_allclose(out, torch_attention(bias), atol=bound)


def test_windows_attend_each_within_itself_and_with_its_own_bias() -> None:
    windows = (jnp.asarray(np.stack([x, 2 * x, -x], axis=1), 'float32') for x in HEADS)
    query, key, value = windows
    bias = jnp.asarray(DRAW.standard_normal((3, 3, 5, 5)), 'float32')
    out = attend(query, key, value, bias)
    for index in range(3):
        heads = (query[:, index], key[:, index], value[:, index])
        alone = attend(*heads, bias[index : index + 1])
        np.testing.assert_allclose(out[:, index], alone, atol=1e-6)


def test_bfloat16_takes_its_softmax_in_float32() -> None:
    # 512 equal keys: in bfloat16 the sum of the weights would stop at 256.
    flat = jnp.zeros((1, 512, 1, 8), 'bfloat16')
    value = jnp.ones((1, 512, 1, 8), 'bfloat16')
    out = attend(flat, flat, value)
    assert out.dtype == 'bfloat16'
    np.testing.assert_allclose(np.asarray(out, 'float32'), 1, rtol=1e-2)


def test_another_implementation_is_refused() -> None:
    query, key, value = (jnp.asarray(x, 'float32') for x in HEADS)
    with refused("implementation='flash'", "'cudnn'"):
        attend(query, key, value, implementation='flash')  # type: ignore[arg-type]


def self_attention(**options: Any) -> tuple[SelfAttention, Any, jax.Array]:
    x = jax.random.normal(jax.random.key(1), (2, 5, 12))
    module = SelfAttention(3, **options)
    return module, well_scaled(jax.eval_shape(module.init, jax.random.key(0), x)), x


def test_query_key_value_come_in_this_order_and_heads_slow() -> None:
    module, variables, x = self_attention()
    params = variables['params']
    qkv = x @ params['qkv']['kernel'] + params['qkv']['bias']
    query, key, value = (qkv[..., i * 12 : i * 12 + 12].reshape(2, 5, 3, 4) for i in range(3))
    expected = attend(query, key, value).reshape(2, 5, 12) @ params['proj']['kernel']
    out = applied(module, variables, x)
    np.testing.assert_allclose(out, expected + params['proj']['bias'], atol=1e-5)


def test_split_biases_are_a_joint_one_that_leaves_the_key_alone() -> None:
    module, variables, x = self_attention(qkv_bias=False)
    params = variables['params']
    assert set(params) == {'qkv', 'proj', 'q_bias', 'v_bias'}
    assert set(params['qkv']) == {'kernel'}
    joint = jnp.concatenate([params['q_bias'], jnp.zeros(12), params['v_bias']])
    same = {'proj': params['proj'], 'qkv': {'kernel': params['qkv']['kernel'], 'bias': joint}}
    expected = applied(SelfAttention(3), {'params': same}, x)
    np.testing.assert_allclose(applied(module, variables, x), expected, atol=1e-6)


def test_a_masked_key_bias_is_a_parameter_that_does_nothing() -> None:
    module, variables, x = self_attention(mask_k_bias=True)
    params = variables['params']
    assert params['qkv']['bias'].shape == (36,)
    split = {name: params['qkv']['bias'][start : start + 12] for name, start in BIASES}
    same = {'proj': params['proj'], 'qkv': {'kernel': params['qkv']['kernel']}, **split}
    table = rotary_table(Rotary(), (2, 2), 4)
    out = applied(module, variables, x, None, table)
    expected = applied(SelfAttention(3, qkv_bias=False), {'params': same}, x, None, table)
    np.testing.assert_allclose(out, expected, atol=1e-6)
    # Queries and keys turn, so that a bias of the key is seen where it is not masked.
    assert np.abs(applied(SelfAttention(3), variables, x, None, table) - out).max() > 1e-3


def test_heads_that_do_not_divide_the_channels_are_refused() -> None:
    with refused('num_heads=5', '12 channels'):
        SelfAttention(5).init(jax.random.key(0), jnp.zeros((1, 2, 12)))


def loss(query: jax.Array, key: jax.Array, value: jax.Array, bias: Any = None) -> jax.Array:
    return jnp.sum(jnp.sin(widen(attend(query, key, value, bias))))


def plain_loss(query: jax.Array, key: jax.Array, value: jax.Array, bias: Any = None) -> jax.Array:
    logits = jnp.einsum('bnhd,bmhd->bhnm', query, key) / 2 + (0 if bias is None else bias)
    return jnp.sum(jnp.sin(jnp.einsum('bhnm,bmhd->bnhd', jax.nn.softmax(logits), value)))


@pytest.mark.parametrize('bias', [None, BIAS, BIAS[:, :1, :, :1]])
def test_gradients_are_those_that_jax_derives(bias: np.ndarray | None) -> None:
    which = (0, 1, 2) if bias is None else (0, 1, 2, 3)
    with jax.enable_x64(True):
        arrays = [*map(jnp.asarray, HEADS), *([] if bias is None else [jnp.asarray(bias)])]
        found, expected = (jax.grad(f, which)(*arrays) for f in (loss, plain_loss))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-13)


def test_gradients_in_bfloat16_are_as_good_as_those_that_jax_derives() -> None:
    exact = jax.grad(plain_loss, (0, 1, 2))(*(jnp.asarray(x, 'float32') for x in HEADS))
    half = [jnp.asarray(x, 'bfloat16') for x in HEADS]
    for one, other in zip(jax.grad(loss, (0, 1, 2))(*half), exact, strict=True):
        assert one.dtype == 'bfloat16'
        gap = np.linalg.norm(np.asarray(one, 'float32') - other) / np.linalg.norm(other)
        assert gap < 1e-2  # bfloat16 is 4e-3 apart


@pytest.mark.parametrize('platform', ['cuda', 'tpu'])
def test_no_product_mixes_bfloat16_and_float32(platform: str) -> None:
    heads = [jax.ShapeDtypeStruct((2, 5, 3, 4), 'bfloat16')] * 3  # too narrow for cuDNN
    found = products(lowered(jax.grad(loss, (0, 1, 2)), *heads, platform=platform))
    factors = {kinds[:2] for kinds in found}
    assert factors == {('bf16', 'bf16')}
    assert sum(found.values()) == 6


@pytest.mark.parametrize('tokens', [4, 5])
def test_cudnn_is_chosen_by_the_platform_that_is_compiled_for(
    tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is called is noted, since cuDNN need not be here."""
    monkeypatch.setattr(attention, 'has_cudnn', lambda: True)
    monkeypatch.setattr(jax.nn, 'dot_product_attention', marked)
    heads = [jax.ShapeDtypeStruct((2, tokens, 3, 8), 'bfloat16')] * 3
    found = {name: lowered(attend, *heads, platform=name) for name in ('cuda', 'tpu', 'cpu')}
    assert [name for name, program in found.items() if 'cosine' in program] == ['cuda']
    assert 'tensor<2x6x3x8xbf16>' in found['cuda'] or tokens == 4  # even
    wide = [jax.ShapeDtypeStruct((2, tokens, 3, 8), 'float32')] * 3
    assert 'cosine' not in lowered(attend, *wide)
    assert 'cosine' not in lowered(attend, *heads, jax.ShapeDtypeStruct((1, 3, 1, 1), 'float32'))


def marked(query: jax.Array, *rest: jax.Array | None, **options: Any) -> jax.Array:
    """In the place of JAX's function: a program shows that it ran."""
    assert options.pop('implementation') == 'cudnn'
    even = query.shape[1]
    assert even % 2 == 0
    assert set(options) <= {'query_seq_lengths', 'key_value_seq_lengths'}
    return jnp.cos(query)
