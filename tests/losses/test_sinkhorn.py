from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from jssl.losses import sinkhorn
from tests import golden
from tests.checks import matrix

ASSIGN = jax.jit(sinkhorn, static_argnames=('epsilon', 'iterations', 'group_size'))


def balanced(scores: np.ndarray, epsilon: float, iterations: int) -> np.ndarray:
    """Appendix A of the paper in float64."""
    q = np.exp(scores / epsilon).T
    q /= q.sum()
    for _ in range(iterations):
        q /= q.sum(axis=1, keepdims=True) * q.shape[0]
        q /= q.sum(axis=0, keepdims=True) * q.shape[1]
    return (q * q.shape[1]).T


def test_hand_made_codes() -> None:
    with jax.enable_x64(True):
        codes = ASSIGN(jnp.asarray(0.5 * matrix(4, 3, 0.3)))
    expected = [
        [0.00002701, 0.28873286, 0.71124013],
        [0.21205115, 0.76194187, 0.02600697],
        [0.99787042, 0.00189057, 0.00023901],
        [0.99627049, 0.00005435, 0.00367516],
    ]
    np.testing.assert_allclose(codes, expected, atol=1e-8)


@pytest.mark.parametrize(('float64', 'bound'), [(True, 1e-9), (False, 1e-5)])
@golden.each('part_sinkhorn')
def test_the_reference_s_codes(path: Path, float64: bool, bound: float) -> None:
    """Also where a prototype's scores all underflow."""
    other = 'out/*' if float64 else 'out64/*'
    with jax.enable_x64(float64), golden.whole(path, other) as saved:
        for number, case in enumerate(saved.meta['cases']):
            scores = saved.arrays[f'in/scores{number}']
            scores = jnp.asarray(scores, 'float64' if float64 else 'float32')
            codes = ASSIGN(scores, epsilon=case['epsilon'], iterations=case['iterations'])
            expected = saved.arrays[f'out{"64" * float64}/codes{number}']
            np.testing.assert_allclose(codes, expected, rtol=bound, atol=1e-2 * bound)
            underflow = np.exp(np.float32(scores.max(0)) / np.float32(case['epsilon'])) == 0
            assert underflow.any() == case['underflow']


@golden.each('part_dinov2_sinkhorn')
def test_the_codes_of_dinov2(path: Path) -> None:
    """Three rounds, for class tokens and for patches alike."""
    with jax.enable_x64(True), golden.whole(path, 'out/*') as saved:
        for number, case in enumerate(saved.meta['settings']):
            logits = saved.arrays[f'in/logits{number}']
            assert logits.shape == (case['samples'], case['prototypes'])
            codes = ASSIGN(jnp.asarray(logits, float), epsilon=case['temperature'], iterations=3)
            for name in ('sinkhorn', 'sinkhorn_patch'):
                expected = saved.arrays[f'out64/{name}{number}']
                np.testing.assert_allclose(codes, expected, rtol=1e-9, atol=1e-11)


def test_large_scores_do_not_overflow() -> None:
    scores = np.random.default_rng(0).standard_normal((6, 4)).astype('float32')
    np.testing.assert_allclose(ASSIGN(scores + 100), ASSIGN(scores), rtol=1e-3, atol=1e-6)


def test_many_iterations_use_all_prototypes_alike() -> None:
    scores = np.random.default_rng(0).standard_normal((12, 4)).astype('float32')
    codes = ASSIGN(scores, epsilon=0.5, iterations=50)
    np.testing.assert_allclose(codes.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(codes.sum(axis=0), 3, rtol=1e-5)


def test_groups_are_balanced_by_themselves() -> None:
    scores = np.random.default_rng(0).standard_normal((8, 3))
    with jax.enable_x64(True):
        codes = ASSIGN(jnp.asarray(scores), epsilon=0.5, group_size=4)
        together = ASSIGN(jnp.asarray(scores), epsilon=0.5)
    halves = [balanced(half, 0.5, 3) for half in (scores[:4], scores[4:])]
    np.testing.assert_allclose(codes, np.concatenate(halves), rtol=1e-9)
    np.testing.assert_allclose(together, balanced(scores, 0.5, 3), rtol=1e-9)


def test_an_empty_prototype_is_summed_over_all_groups() -> None:
    """As the reference's devices do, where float64 holds nothing of a prototype any more."""
    scores = np.random.default_rng(0).standard_normal((4, 3)).astype('float32')
    scores[2:, 0] = -400.0  # empty in the second group alone
    q = np.exp(scores / 0.5, dtype='float64') / np.exp(scores / 0.5, dtype='float64').sum()
    q = q + 1e-12
    q = q / q.sum(axis=0) / 3
    q = q / q.sum(axis=1, keepdims=True)
    codes = ASSIGN(scores, epsilon=0.5, iterations=1, group_size=2)
    np.testing.assert_allclose(codes, q, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize('epsilon', [0.05, 0.02, 0.01, 0.005, 0.002])
@pytest.mark.parametrize('shape', [(64, 3), (64, 20), (64, 300)])
def test_codes_of_any_epsilon_are_those_of_float64_logarithms(
    shape: tuple[int, int], epsilon: float
) -> None:
    draw = np.random.default_rng(0)
    a, b = (draw.normal(size=(rows, 8)) for rows in shape)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    scores = (a @ b.T).astype('float32')
    logs = scores.astype('float64') / epsilon
    for _ in range(3):
        logs -= logsumexp(logs, axis=0, keepdims=True)
        logs -= logsumexp(logs, axis=1, keepdims=True)
    # a score of 1 is rounded by eps / 2; divided by epsilon that is a code's relative error
    bound = max(1e-5, float(np.finfo('float32').eps) / epsilon)
    np.testing.assert_allclose(ASSIGN(scores, epsilon=epsilon), np.exp(logs), rtol=0, atol=bound)


def test_codes_have_no_gradient() -> None:
    scores = jnp.asarray(matrix(4, 3, 0.3), 'float32')
    weighed = jax.grad(lambda x: (ASSIGN(x) * x).sum())(scores)
    np.testing.assert_allclose(weighed, ASSIGN(scores), rtol=1e-4)
    assert not jax.grad(lambda x: (ASSIGN(x) ** 2).sum())(scores).any()


def test_at_least_float32() -> None:
    assert sinkhorn(jnp.zeros((4, 3), jnp.bfloat16)).dtype == 'float32'


@pytest.mark.parametrize('spread', [1.0, 60.0])
def test_what_fills_a_list_up_is_left_out_of_every_sum(spread: float) -> None:
    """Also where a prototype is empty, and whatever the padding holds."""
    draw = np.random.default_rng(0)
    samples, padding = spread * draw.standard_normal((5, 3)), 99 * np.ones((3, 3))
    rows = np.concatenate([samples[:2], padding, samples[2:]])
    present = np.array([1, 1, 0, 0, 0, 1, 1, 1], bool)
    with jax.enable_x64(True):
        codes = ASSIGN(jnp.asarray(rows), present=jnp.asarray(present))
        expected = ASSIGN(jnp.asarray(samples))
        without = ASSIGN(jnp.asarray(rows), present=jnp.zeros(8, bool))
    np.testing.assert_allclose(codes[present], expected, rtol=1e-9)
    np.testing.assert_array_equal(codes[~present], 0)
    np.testing.assert_array_equal(without, 0)  # masks of a small batch may all be empty
