"""DINO's head: unit columns, names of the reference, what is trained."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.heads import DINOHead, IBOTHead
from tests.checks import refused, well_scaled

FEATURES = jnp.asarray(np.random.default_rng(0).standard_normal((6, 8)), 'float32')


@pytest.mark.parametrize(
    ('with_bn', 'names'),
    [(False, ['mlp.0', 'mlp.2', 'mlp.4']), (True, ['mlp.0', 'mlp.1', 'mlp.3', 'mlp.4', 'mlp.6'])],
)
def test_layers_have_the_reference_s_names(with_bn: bool, names: list[str]) -> None:
    variables = DINOHead(8, 12, 16, 4, with_bn=with_bn).init(jax.random.key(0), FEATURES)
    assert sorted(variables['params']) == ['last_layer', *names]
    last = variables['params']['last_layer']
    assert {name: leaf.shape for name, leaf in last.items()} == {
        'weight_g': (1, 12),
        'weight_v': (4, 12),
    }
    assert set(variables.get('batch_stats', {})) == ({'mlp.1', 'mlp.4'} if with_bn else set())


def test_logits_are_cosines_times_the_length_of_a_column() -> None:
    head = DINOHead(8, 12, 16, 4, num_layers=1)
    params = well_scaled(jax.eval_shape(head.init, jax.random.key(0), FEATURES))['params']
    found: Any = head.apply({'params': params}, FEATURES)
    x = FEATURES @ params['mlp.0']['kernel'] + params['mlp.0']['bias']
    v = params['last_layer']['weight_v']
    cosines = x @ v / np.linalg.norm(x, axis=1, keepdims=True) / np.linalg.norm(v, axis=0)
    np.testing.assert_allclose(found, cosines * params['last_layer']['weight_g'], atol=1e-5)


@pytest.mark.parametrize('fixed', [True, False])
def test_the_length_of_columns_is_trained_where_that_is_asked_for(fixed: bool) -> None:
    head = DINOHead(8, 12, 16, 4, norm_last_layer=fixed)
    variables = head.init(jax.random.key(0), FEATURES)

    def total(params: Any) -> Any:
        logits: Any = head.apply({'params': params}, FEATURES)
        return logits[:, 0].sum()

    found = jax.grad(total)(variables['params'])['last_layer']
    assert bool(np.any(found['weight_g'])) != fixed
    assert np.any(found['weight_v'])
    assert head.is_frozen('last_layer.weight_g') == fixed
    assert not head.is_frozen('last_layer.weight_v')


def test_patches_have_the_last_layer_of_class_tokens_or_one_of_their_own() -> None:
    shared, own = IBOTHead(8, 12, 16, 4), IBOTHead(8, 12, 16, 4, patch_channels=10)
    rng = jax.random.key(0)
    one, other = (own.init(rng, FEATURES, method=method) for method in ('__call__', 'of_patches'))
    params = {**one['params'], **other['params']}
    assert params.keys() - one['params'].keys() == {'last_layer2'}
    found: Any = own.apply({'params': params}, FEATURES, method='of_patches')
    moved = {**params, 'last_layer': params['last_layer2']}
    wide: Any = IBOTHead(8, 10, 16, 4).apply({'params': moved}, FEATURES)
    np.testing.assert_array_equal(found, wide)
    logits: Any = shared.apply({'params': params}, FEATURES, method='of_patches')
    np.testing.assert_array_equal(logits, own.apply({'params': params}, FEATURES))
    assert own.is_frozen('last_layer2.weight_g')
    assert not own.is_frozen('last_layer2.weight_v')


def test_the_last_layer_may_be_a_plain_matrix() -> None:
    head = DINOHead(8, 12, 16, 4, num_layers=1, weight_norm=False)
    variables = head.init(jax.random.key(0), FEATURES)
    assert list(variables['params']['last_layer']) == ['kernel']
    assert np.std(variables['params']['last_layer']['kernel']) == pytest.approx(0.02, rel=0.4)
    params = well_scaled(jax.eval_shape(lambda: variables))['params']
    found: Any = head.apply({'params': params}, FEATURES)
    x = FEATURES @ params['mlp.0']['kernel'] + params['mlp.0']['bias']
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(found, unit @ params['last_layer']['kernel'], atol=1e-5)


@pytest.mark.parametrize('field', ['out_channels', 'patch_channels'])
def test_a_single_logit_from_which_nothing_is_learned_is_refused(field: str) -> None:
    fields: dict[str, Any] = {field: 1}
    with refused(f'IBOTHead.{field}=1', 'a whole number of at least 2'):
        IBOTHead(8, **fields)


def test_another_width_is_refused() -> None:
    with refused('head.in_channels=7', 'set config.model.head.in_channels=8'):
        DINOHead(7).init(jax.random.key(0), FEATURES)
