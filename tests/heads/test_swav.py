from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.heads import SwAVHead
from jssl.interop import mmselfsup
from tests.checks import matrix, refused


def test_scores_are_products_with_the_prototypes_under_the_reference_s_name() -> None:
    projections = matrix(6, 4, 0.3).astype('float32')
    scores, variables = SwAVHead(4, num_prototypes=3).init_with_output(
        jax.random.key(0), projections
    )
    weights = mmselfsup.export_state({'head': variables['params']})
    assert set(weights) == {'head.loss.prototypes.weight'}
    prototypes = weights['head.loss.prototypes.weight']
    assert prototypes.shape == (3, 4)
    np.testing.assert_allclose(scores, projections @ prototypes.T, rtol=1e-5, atol=1e-6)


def test_fresh_prototypes_lie_within_the_reference_s_bound() -> None:
    params = SwAVHead(4, num_prototypes=500).init(jax.random.key(0), jnp.zeros((2, 4)))['params']
    kernel = np.abs(params['loss.prototypes']['kernel'])
    assert 0.49 < kernel.max() <= 0.5


def test_scores_are_in_float32() -> None:
    scores = jax.eval_shape(
        lambda x: SwAVHead(4).init_with_output(jax.random.key(0), x)[0],
        jnp.zeros((2, 4), jnp.bfloat16),
    )
    assert scores.dtype == 'float32'


@pytest.mark.parametrize(
    ('fields', 'parts'),
    [
        ({'epsilon': 0}, ('SwAVHead.epsilon=0', 'positive')),
        ({'epsilon': 1e-9}, ('SwAVHead.epsilon=1e-09', 'a number of at least 0.0001')),
        ({'temperature': -0.1}, ('SwAVHead.temperature=-0.1', 'positive')),
        ({'num_prototypes': 1}, ('SwAVHead.num_prototypes=1', 'at least 2')),
        ({'sinkhorn_iterations': 0}, ('SwAVHead.sinkhorn_iterations=0', 'at least 1')),
        ({'crops_for_assign': (0, 2)}, ('crops_for_assign=(0, 2)', '0 to 1', 'num_crops=(2,)')),
        ({'crops_for_assign': ()}, ('crops_for_assign=()',)),
        ({'crops_for_assign': (1, 1)}, ('crops_for_assign=(1, 1)',)),
        ({'crops_for_assign': ('x',)}, ("crops_for_assign=('x',)", 'whole number')),
    ],
)
def test_bad_fields(fields: dict[str, Any], parts: tuple[str, ...]) -> None:
    with refused(*parts):
        SwAVHead(4, **fields)


def test_another_width_is_refused_with_the_right_one() -> None:
    with refused('head.feat_dim=4', 'set config.model.head.feat_dim=5'):
        SwAVHead(4).init(jax.random.key(0), jnp.zeros((2, 5)))
