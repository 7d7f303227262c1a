from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jssl.losses import capi_targets, soft_cross_entropy
from tests import golden
from tests.losses.parts import both_precisions, part


@both_precisions
@golden.each('part_capi_clustering')
def test_the_reference_s_assignments_and_loss(path: Path, dtype: str) -> None:
    with part(path, dtype) as saved:
        for number, case in enumerate(saved.meta['settings']):
            x, *weights = (saved.input(f'{name}{number}') for name in ('x', 'weight', 'bias'))
            assert x.shape == (case['tokens'], case['batch'], case['dim'])
            assert len(weights[1]) == case['clusters']
            assign = partial(
                capi_targets,
                temperature=case['target_temp'],
                rounds=case['n_sk_iter'],
                by_position=case['positionwise'],
            )
            targets = jax.jit(lambda *inputs, to=assign: to(logits_of(*inputs)))(x, *weights)
            saved.check(f'assignments{number}', targets, 1e-8 if dtype == 'float64' else 1e-4)
            loss = partial(clustering_loss, x=x, targets=targets, temperature=case['pred_temp'])
            value, grads = jax.jit(jax.value_and_grad(loss, (0, 1)))(*weights)
            saved.check(f'loss{number}', value)
            for name, gradient in zip(('weight', 'bias'), grads, strict=True):
                saved.check(f'grad_{name}{number}', gradient, 1e-7 if dtype == 'float64' else 1e-3)


def clustering_loss(
    weight: jax.Array, bias: jax.Array, *, x: jax.Array, targets: jax.Array, temperature: float
) -> jax.Array:
    return soft_cross_entropy(logits_of(x, weight, bias), targets, temperature).mean()


def logits_of(x: jax.Array, weight: jax.Array, bias: jax.Array) -> jax.Array:
    x = x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-7)
    return x @ weight.T + bias


def test_clusters_are_used_alike_at_each_position() -> None:
    logits = 0.1 * np.random.default_rng(0).standard_normal((3, 8, 4))
    codes = jax.jit(partial(capi_targets, rounds=50))(logits)
    np.testing.assert_allclose(codes.sum(axis=1), 2, rtol=1e-4)
    np.testing.assert_allclose(codes.sum(axis=2), 1, rtol=1e-4)
