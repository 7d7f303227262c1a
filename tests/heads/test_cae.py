import jax.numpy as jnp
import numpy as np

from jssl.heads import CAEHead
from jssl.losses import cross_entropy, latent_alignment
from tests.checks import matrix, refused

LOGITS = jnp.asarray(matrix(12, 5, 0.3).reshape(2, 2, 3, 5))


def test_the_largest_logit_is_the_token() -> None:
    tokens = CAEHead().tokens(LOGITS, 6)
    assert (tokens.shape, tokens.dtype) == ((2, 6), 'int32')
    np.testing.assert_array_equal(tokens.ravel(), matrix(12, 5, 0.3).argmax(1))


def test_tokens_stay_tokens() -> None:
    ids = jnp.arange(12).reshape(2, 2, 3)
    np.testing.assert_array_equal(CAEHead().tokens(ids, 6), np.arange(12).reshape(2, 6))


def test_the_loss_takes_every_masked_patch_of_the_batch() -> None:
    logits, latent = matrix(6, 5, 0.1), matrix(6, 4, 0.2)
    tokens = jnp.array([0, 1, 2, 3, 4, 0])
    align = latent_alignment(latent, matrix(6, 4, 0.9))
    expected = cross_entropy(logits, tokens), 3 * align
    target = matrix(6, 4, 0.9).reshape(2, 3, 4)
    shaped = logits.reshape(2, 3, 5), tokens.reshape(2, 3), latent.reshape(2, 3, 4), target
    found = CAEHead(align_weight=3.0).loss(*map(jnp.asarray, shaped))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_bad_input() -> None:
    with refused('CAEHead.align_weight=-1', 'at least 0'):
        CAEHead(align_weight=-1)
    with refused('2 x 3 tokens for 16 patches', 'views.token_size'):
        CAEHead().tokens(LOGITS, 16)
