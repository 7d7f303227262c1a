import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.heads import ClsHead
from tests.checks import applied, assert_drawn_like, refused

MAPS = jax.random.normal(jax.random.key(1), (3, 2, 2, 4))
VECTORS = MAPS.mean((1, 2))


def test_logits_are_linear_in_pooled_features() -> None:
    head = ClsHead(4, 5, with_avg_pool=True)
    variables = head.init(jax.random.key(0), VECTORS)
    layer = variables['params']['fc_cls']
    expected = VECTORS @ layer['kernel'] + layer['bias']
    token = (MAPS, VECTORS)
    for features in (VECTORS, (MAPS,), (None, token)):
        np.testing.assert_allclose(applied(head, variables, features), expected, atol=1e-6)
    plain = ClsHead(4, 5)
    np.testing.assert_allclose(applied(plain, variables, VECTORS), expected, atol=1e-6)
    transformer = ClsHead(4, 5, vit_backbone=True)
    np.testing.assert_allclose(applied(transformer, variables, (token,)), expected, atol=1e-6)


@pytest.mark.parametrize(
    ('model', 'width', 'classes', 'std'),
    [('odc', 64, 16, 0.01), ('rotation_pred', 512, 4, 0.01), ('relative_loc', 256, 8, 0.005)],
)
def test_fresh_weights_are_drawn_as_in_the_reference(
    model: str, width: int, classes: int, std: float
) -> None:
    head = ClsHead(width, classes, init_std=std)
    params = head.init(jax.random.key(0), jnp.zeros((1, width)))['params']
    assert_drawn_like({'head': params}, model)


def test_what_does_not_fit_is_refused() -> None:
    with refused('head.in_channels=3', 'set config.model.head.in_channels=4'):
        ClsHead(3, 5).init(jax.random.key(0), VECTORS)
    with refused('head.with_avg_pool=False', 'a neck that pools'):
        ClsHead(4, 5).init(jax.random.key(0), (MAPS,))
