import jax.numpy as jnp
import numpy as np

from jssl.heads import CAEHead
from tests.checks import matrix, refused

LOGITS = jnp.asarray(matrix(12, 5, 0.3).reshape(2, 2, 3, 5))


def test_the_largest_logit_is_the_token() -> None:
    tokens = CAEHead().tokens(LOGITS, 6)
    assert (tokens.shape, tokens.dtype) == ((2, 6), 'int32')
    np.testing.assert_array_equal(tokens.ravel(), matrix(12, 5, 0.3).argmax(1))


def test_tokens_stay_tokens() -> None:
    ids = jnp.arange(12).reshape(2, 2, 3)
    np.testing.assert_array_equal(CAEHead().tokens(ids, 6), np.arange(12).reshape(2, 6))


def test_bad_input() -> None:
    with refused('CAEHead.align_weight=-1', 'at least 0'):
        CAEHead(align_weight=-1)
    with refused('2 x 3 tokens for 16 patches', 'views.token_size'):
        CAEHead().tokens(LOGITS, 16)
