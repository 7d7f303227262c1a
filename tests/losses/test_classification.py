import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import (
    CrossEntropyLoss,
    classification_loss,
    reduce_losses,
    smooth_targets,
    top_k_hits,
)
from tests.checks import matrix, refused

DRAW = np.random.default_rng(0)
LOGITS = DRAW.standard_normal((6, 4))
LABELS = np.array([0, 3, 1, 1, 2, 0])
WEIGHTS = jnp.array([1.0, 0.0, 2.0, 0.5, 1.0, 3.0])


@pytest.mark.parametrize('smoothing', [0.0, 0.1])
@pytest.mark.parametrize('soft', [False, True])
def test_equals_pytorch_in_float64(smoothing: float, soft: bool) -> None:
    torch = pytest.importorskip('torch')
    targets = DRAW.dirichlet(np.ones(4), 6) if soft else LABELS
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(LOGITS), torch.tensor(targets), label_smoothing=smoothing
    )
    with jax.enable_x64(True):
        args = jnp.asarray(LOGITS), jnp.asarray(targets)
        loss = classification_loss(*args, label_smoothing=smoothing)
    assert loss.dtype == 'float64'
    assert float(loss) == pytest.approx(float(expected), rel=1e-12)


def test_hand_made_value() -> None:
    loss = classification_loss(jnp.asarray(matrix(4, 3, 0.7)), jnp.array([0, 2, 1, 2]))
    assert float(loss) == pytest.approx(1.607706313115523, rel=1e-6)


def test_smoothing_keeps_the_sum_of_a_target() -> None:
    smooth = smooth_targets(jnp.array([1, 3]), 4, 0.2)
    np.testing.assert_allclose(smooth, [[0.05, 0.85, 0.05, 0.05], [0.05, 0.05, 0.05, 0.85]])


def test_weighted_losses_are_reduced_by_the_reference_s_rule() -> None:
    losses = jnp.arange(1.0, 7.0)
    total = float((losses * WEIGHTS).sum())
    reduced = {
        None: reduce_losses(losses, weights=WEIGHTS),
        3.0: reduce_losses(losses, weights=WEIGHTS, avg_factor=3.0),
    }
    assert float(reduced[None]) == pytest.approx(total / 6)  # not by the sum of the weights
    assert float(reduced[3.0]) == pytest.approx(total / 3)
    assert float(reduce_losses(losses, weights=WEIGHTS, reduction='sum')) == pytest.approx(total)
    each = reduce_losses(losses, weights=WEIGHTS, reduction='none', avg_factor=3.0)
    np.testing.assert_allclose(each, losses * WEIGHTS)


def test_the_average_factor_may_be_traced() -> None:
    count = jax.jit(lambda losses, factor: reduce_losses(losses, avg_factor=factor))
    assert float(count(jnp.ones(4), jnp.asarray(2))) == 2


def test_the_component_has_the_settings_of_the_function() -> None:
    loss = CrossEntropyLoss(label_smoothing=0.1, loss_weight=2.0, reduction='sum')
    args = jnp.asarray(LOGITS), jnp.asarray(LABELS)
    expected = 12 * float(classification_loss(*args, label_smoothing=0.1))
    assert float(loss(*args)) == pytest.approx(expected, rel=1e-6)


def test_low_precision_logits_give_a_loss_in_float32() -> None:
    loss = CrossEntropyLoss()(jnp.asarray(LOGITS, 'bfloat16'), jnp.asarray(LABELS))
    assert loss.dtype == 'float32'
    expected = float(CrossEntropyLoss()(jnp.asarray(LOGITS), jnp.asarray(LABELS)))
    assert float(loss) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize('k', [1, 2, 4])
def test_hits_are_those_of_torch_topk(k: int) -> None:
    torch = pytest.importorskip('torch')
    best = torch.tensor(LOGITS).topk(k, dim=1).indices.numpy()
    hits = top_k_hits(jnp.asarray(LOGITS), jnp.asarray(LABELS), k)
    np.testing.assert_array_equal(hits, (best == LABELS[:, None]).any(axis=1))


def test_a_network_that_says_nothing_is_right_by_chance_only() -> None:
    hits = top_k_hits(jnp.zeros((4, 4)), jnp.arange(4), 1)
    np.testing.assert_array_equal(hits, [True, False, False, False])
    assert not top_k_hits(jnp.full((2, 4), jnp.nan), jnp.array([0, 1]), 4).any()


def test_what_cannot_be_computed_is_refused() -> None:
    logits, labels = jnp.asarray(LOGITS), jnp.asarray(LABELS)
    with refused('label_smoothing=1.5', 'below 1'):
        CrossEntropyLoss(label_smoothing=1.5)
    with refused("reduction='none'", "'mean' or 'sum'"):
        CrossEntropyLoss(reduction='none')
    with refused("reduction='maen'", "Did you mean 'mean'?"):
        classification_loss(logits, labels, reduction='maen')
    with refused('avg_factor=3', "reduction='mean'"):
        classification_loss(logits, labels, reduction='sum', avg_factor=3)
    with refused('(2,)', '6 samples'):
        classification_loss(logits, labels, weights=jnp.ones(2))
    with refused('(6, 3)', '(6, 4)'):
        classification_loss(logits, jnp.ones((6, 3)))
