"""The page about a memory: it says what its code says, and its ring holds the newest rows."""

from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.errors import JsslError
from jssl.heads import ContrastiveHead
from tests.algorithms.tiny_models import Flatten
from tests.docs.pages import blocks, run_python
from tests.docs.tutorials.tiny import imported, written

PAGE = 'docs/tutorials/memory.md'


def test_the_code_says_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    run_python(PAGE)
    said = capsys.readouterr().out
    assert said == '[ 3. 30.  2. 20.] 2 4\n' + ''.join(blocks(PAGE, 'text'))


class Nothing(nn.Module):
    """A neck that passes the features on."""

    def __call__(self, features: tuple[jax.Array], train: bool = True) -> jax.Array:
        return features[-1]


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the page."""
    written(PAGE, tmp_path, monkeypatch)
    return imported('my_memory', tmp_path, monkeypatch)


def test_what_is_not_written_is_like_nothing(ring: Any) -> None:
    found = ring.push(ring.init_ring(3, 2), jnp.array([[0.6, 0.8]]))
    np.testing.assert_allclose(
        ring.cosines(found, jnp.array([[1.0, 0.0]])), [[0.6, -np.inf, -np.inf]], rtol=1e-6
    )


def test_no_gradient_flows_into_what_is_remembered(ring: Any) -> None:
    stored = jax.grad(lambda new: ring.push(ring.init_ring(4, 2), new)['rows'].sum())
    assert not stored(jnp.ones((2, 2))).any()


def test_a_batch_that_does_not_fit_is_refused(ring: Any) -> None:
    with pytest.raises(JsslError, match='a ring of 3 rows is no multiple of the 2 of a batch'):
        ring.push(ring.init_ring(3, 2), jnp.ones((2, 2)))


def test_the_loss_compares_with_what_it_remembers(ring: Any) -> None:
    """Without a neck: the second of two equal batches finds its own rows in the ring."""
    algorithm = ring.CrossBatch(Flatten(), Nothing(), ContrastiveHead(0.5), feat_dim=4, length=8)
    images = jnp.asarray(np.random.default_rng(0).normal(size=(2, 2, 2, 1)), 'float32')
    batch = {'views': (images, images)}
    params: Any = {}
    state: Any = {'batch_stats': {}, 'ring': ring.init_ring(8, 4)}
    first, (state, seen) = algorithm.loss(params, state, batch)
    second, (state, again) = algorithm.loss(params, state, batch)
    assert [int(found['remembered']) for found in (seen, again)] == [2, 4]
    rows = images.reshape(2, 4) / jnp.linalg.norm(images.reshape(2, 4), axis=1, keepdims=True)
    e = np.exp(rows @ rows.T / 0.5)
    np.testing.assert_allclose(first, -np.log(np.diag(e) / e.sum(1)).mean(), rtol=1e-5)
    np.testing.assert_allclose(second, -np.log(np.diag(e) / (2 * e.sum(1))).mean(), rtol=1e-5)
