import jax
import jax.numpy as jnp
import numpy as np

from jssl.necks import ClsBatchNormNeck, GlobalAveragePooling
from tests.checks import applied, refused

MAPS = np.random.default_rng(0).standard_normal((5, 3, 3, 4)).astype('float32')
TOKENS = MAPS[:, 0, 0] + 1


def test_global_average_pooling_of_maps_vectors_and_tokens() -> None:
    features = (jnp.asarray(MAPS), jnp.asarray(TOKENS), (jnp.asarray(MAPS), jnp.asarray(TOKENS)))
    first, second, third = applied(GlobalAveragePooling(), {}, features)
    np.testing.assert_allclose(first, MAPS.mean((1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(second, TOKENS)
    np.testing.assert_array_equal(third, first)


def test_bfloat16_maps_are_averaged_in_float32() -> None:
    (pooled,) = applied(GlobalAveragePooling(), {}, (jnp.asarray(MAPS, 'bfloat16'),))
    assert pooled.dtype == 'float32'


def test_the_class_token_is_normalised_without_affine_part() -> None:
    features = ((jnp.asarray(MAPS), jnp.asarray(100 * TOKENS)),)
    variables = ClsBatchNormNeck().init(jax.random.key(0), features, train=False)
    assert 'params' not in variables
    (normal,), after = ClsBatchNormNeck().apply(variables, features, mutable=['batch_stats'])
    np.testing.assert_allclose(normal.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(normal.std(0), 1, rtol=1e-4)
    moved = after['batch_stats']['bn']['var']
    np.testing.assert_allclose(moved, 0.9 + 0.1 * np.var(100 * TOKENS, axis=0, ddof=1), rtol=1e-4)


def test_another_width_is_refused() -> None:
    with refused('input_features=8', '4 channels', 'set config.model.neck.input_features=4'):
        ClsBatchNormNeck(input_features=8).init(jax.random.key(0), (jnp.asarray(MAPS),))
