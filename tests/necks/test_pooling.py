import jax
import jax.numpy as jnp
import numpy as np

from jssl.necks import ClsBatchNormNeck, ConcatNeck, GlobalAveragePooling
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


def test_outputs_stand_side_by_side() -> None:
    maps, tokens = jnp.asarray(MAPS), jnp.asarray(TOKENS)
    pairs = ((maps, tokens), (2 * maps, 2 * tokens))
    (beside,) = applied(ConcatNeck(with_patch_mean=True), {}, pairs)
    means = MAPS.mean((1, 2))
    expected = np.concatenate([TOKENS, 2 * TOKENS, 2 * means], axis=1)
    np.testing.assert_allclose(beside, expected, rtol=1e-5)
    (of_maps,) = applied(ConcatNeck(), {}, (maps, 2 * maps))
    np.testing.assert_allclose(of_maps, np.concatenate([means, 2 * means], axis=1), rtol=1e-5)
    (normal,), _ = ConcatNeck(with_bn=True).init_with_output(jax.random.key(0), pairs)
    np.testing.assert_allclose(normal.std(0), 1, rtol=1e-4)
    with refused('config.model.neck.with_patch_mean=True', 'set it to False'):
        applied(ConcatNeck(with_patch_mean=True), {}, (maps,))
