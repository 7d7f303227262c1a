from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jssl.heads import LinearClsHead, MultiClsHead, VisionTransformerClsHead
from jssl.interop.mmselfsup import export_state
from tests.checks import applied, refused, well_scaled

DRAW = np.random.default_rng(0)
MAPS = tuple(
    jnp.asarray(DRAW.standard_normal((4, side, side, 2)), 'float32') for side in (24, 16, 9)
)
TOKENS = jnp.asarray(DRAW.standard_normal((4, 6)), 'float32')
KEY = jax.random.key(0)


def variables(head: nn.Module, features: Any) -> Any:
    return well_scaled(jax.eval_shape(head.init, KEY, features))


def test_a_linear_head_pools_a_map_and_takes_a_class_token_or_vectors() -> None:
    head = LinearClsHead(num_classes=3)
    given = variables(head, MAPS)
    dense = given['params']['fc']
    expected = MAPS[-1].mean((1, 2)) @ dense['kernel'] + dense['bias']
    np.testing.assert_allclose(applied(head, given, MAPS), expected, rtol=1e-5)
    token = MAPS[-1].mean((1, 2))
    np.testing.assert_allclose(applied(head, given, ((MAPS[0], token),)), expected, rtol=1e-5)
    np.testing.assert_allclose(applied(head, given, token), expected, rtol=1e-5)


def test_a_linear_head_starts_small_and_without_bias() -> None:
    head = LinearClsHead(num_classes=50, init_std=0.02)
    kernel = head.init(KEY, jnp.zeros((1, 60)))['params']['fc']['kernel']
    assert float(kernel.std()) == pytest.approx(0.02, rel=0.1)
    assert not head.init(KEY, jnp.zeros((1, 60)))['params']['fc']['bias'].any()


def test_the_token_s_head_starts_at_zero_and_may_have_a_hidden_layer() -> None:
    plain = VisionTransformerClsHead(num_classes=3)
    assert not plain.init(KEY, TOKENS)['params']['layers.head']['kernel'].any()
    head = VisionTransformerClsHead(num_classes=3, hidden_dim=5)
    given = variables(head, TOKENS)
    first, last = given['params']['layers.pre_logits'], given['params']['layers.head']
    hidden = np.tanh(TOKENS @ first['kernel'] + first['bias'])
    expected = hidden @ last['kernel'] + last['bias']
    np.testing.assert_allclose(applied(head, given, TOKENS), expected, rtol=1e-5)


@pytest.mark.parametrize('head', [LinearClsHead, VisionTransformerClsHead])
def test_parameters_have_the_reference_s_names(head: type[nn.Module]) -> None:
    params = variables(head(num_classes=3), TOKENS)['params']
    layer = 'head.fc' if head is LinearClsHead else 'head.layers.head'
    assert export_state({'head': params}).keys() == {f'{layer}.weight', f'{layer}.bias'}


def torch_stages(torch: Any, exported: Any, pool: Any) -> np.ndarray:
    """The head of every stage in PyTorch, from weights with the reference's names and layouts."""
    logits = []
    for place, images in enumerate(MAPS):
        x = pool(place, torch.tensor(np.asarray(images).transpose(0, 3, 1, 2)))
        x = torch.nn.functional.batch_norm(x, None, None, training=True).flatten(1)
        weights = (torch.tensor(exported[f'fcs.{place}.{kind}']) for kind in ('weight', 'bias'))
        logits.append(torch.nn.functional.linear(x, *weights).numpy())
    return np.stack(logits, axis=1)


@pytest.mark.parametrize('pool_type', ['adaptive', 'specified'])
def test_a_head_per_stage_equals_pytorch_s(pool_type: str) -> None:
    torch = pytest.importorskip('torch')
    head = MultiClsHead(in_indices=(0, 1, 3), num_classes=3, pool_type=pool_type)
    given = variables(head, MAPS)
    logits, _ = jax.jit(lambda v: head.apply(v, MAPS, mutable=['batch_stats']))(given)
    specified = [dict(kernel_size=10, stride=10, padding=4), dict(kernel_size=16, stride=8)]
    specified += [dict(kernel_size=8, stride=3)]

    def pool(place: int, x: Any) -> Any:
        if pool_type == 'adaptive':
            return torch.nn.functional.adaptive_avg_pool2d(x, (12, 6, 3)[place])
        return torch.nn.functional.avg_pool2d(x, **specified[place])

    exported = {k: np.array(v) for k, v in export_state(given['params']).items()}
    np.testing.assert_allclose(logits, torch_stages(torch, exported, pool), rtol=1e-4, atol=1e-5)


def test_pooled_maps_have_the_published_widths() -> None:
    """ALGORITHMS 3.2: 9216, 9216, 8192, 9216 and 8192 values, for ResNet-50 at 224 px."""
    sides, channels = (112, 56, 28, 14, 7), (64, 256, 512, 1024, 2048)
    maps = tuple(
        jax.ShapeDtypeStruct((2, side, side, width), 'float32')
        for side, width in zip(sides, channels, strict=True)
    )
    for pool_type in ('adaptive', 'specified'):
        head = MultiClsHead(num_classes=10, pool_type=pool_type)
        params = jax.eval_shape(head.init, KEY, maps)['params']
        widths = [params[f'fcs.{i}']['kernel'].shape[0] for i in range(5)]
        assert widths == [9216, 9216, 8192, 9216, 8192]


def test_what_does_not_fit_is_refused() -> None:
    with refused('in_channels=8', '2 channels', 'set config.model.head.in_channels=2'):
        LinearClsHead(num_classes=3, in_channels=8).init(KEY, MAPS)
    with refused('num_classes is not set', 'config.model.head.num_classes'):
        LinearClsHead().init(KEY, MAPS)
    with refused('in_indices=(0, 1)', '3 arrive', 'out_indices'):
        MultiClsHead(in_indices=(0, 1), num_classes=3).init(KEY, MAPS)
    with refused('in_indices=(7,)', '0 (stem) to 4'):
        MultiClsHead(in_indices=(7,))
    with refused("pool_type='max'", "'adaptive' or 'specified'"):
        MultiClsHead(pool_type='max')
