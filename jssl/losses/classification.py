"""Classification: cross entropy of labels or soft targets, its reductions, and top-k hits.

A head names its loss as a component, ``loss=dict(type='CrossEntropyLoss', label_smoothing=0.1)``.
A loss of one's own is any object that gives a scalar for (logits, targets), such as a frozen
dataclass with a `__call__`; named as ``'my_module:MyLoss'`` it takes this one's place.
"""

import dataclasses

import jax
import jax.numpy as jnp

from jssl.checks import BelowOne, Checked, Positive, check_value
from jssl.errors import JsslError, suggest
from jssl.layers.widen import widen

REDUCTIONS = ('mean', 'sum', 'none')


@dataclasses.dataclass(frozen=True)
class CrossEntropyLoss(Checked):
    """Softmax cross entropy with its settings; see `classification_loss`.

    Attributes:
      label_smoothing: share of every target that is spread evenly over all classes.
      loss_weight: factor of the loss.
      reduction: over the samples, 'mean' or 'sum'.

    Raises:
      JsslError: if `label_smoothing` is not in [0, 1), or the reduction leaves no scalar.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import CrossEntropyLoss
      >>> loss = CrossEntropyLoss(label_smoothing=0.1)(jnp.array([[1.0, 0.0]]), jnp.array([0]))
      >>> print(f'{loss:.4f}')
      0.3633
    """

    label_smoothing: BelowOne = 0.0
    loss_weight: Positive = 1.0
    reduction: str = 'mean'

    def __post_init__(self) -> None:
        """Refuses what could not be trained with."""
        super().__post_init__()
        if self.reduction not in ('mean', 'sum'):
            raise JsslError(f"loss.reduction={self.reduction!r} must be 'mean' or 'sum'.")

    def __call__(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        """Logits (n, K) and labels (n,) or targets (n, K) -> a scalar."""
        return classification_loss(logits, targets, **dataclasses.asdict(self))


def classification_loss(
    logits: jax.Array,
    targets: jax.Array,
    *,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
    reduction: str = 'mean',
    avg_factor: jax.Array | float | None = None,
    loss_weight: float = 1.0,
) -> jax.Array:
    """Softmax cross entropy, natural logarithm.

    Args:
      logits: (n, K).
      targets: int (n,), classes in [0, K), or float (n, K), the probability of each class.
      label_smoothing: share e of every target that is spread evenly over all classes:
        (1 - e) t + e / K (Szegedy et al. 2016, section 7).
      weights: of the samples, (n,); None weighs all alike.
      reduction, avg_factor: see `reduce_losses`.
      loss_weight: factor of the result.

    Returns:
      A scalar, or (n,) where the reduction is 'none'; computed in at least float32.

    Raises:
      JsslError: for targets or weights of another shape, a smoothing outside [0, 1), or a reduction
        that `reduce_losses` refuses.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import classification_loss
      >>> logits, soft = jnp.array([[1.0, 0.0]]), jnp.array([[0.5, 0.5]])
      >>> print(f'{classification_loss(logits, soft):.4f}')
      0.8133
    """
    wide = widen(logits)
    smooth = smooth_targets(targets, logits.shape[-1], label_smoothing, dtype=wide.dtype)
    if smooth.shape != logits.shape:
        raise JsslError(
            f'targets of shape {targets.shape} do not fit logits of shape {logits.shape}; give one '
            'label, or one row of class probabilities, for each sample.'
        )
    losses = -jnp.sum(smooth * jax.nn.log_softmax(wide, axis=-1), axis=-1)
    return loss_weight * reduce_losses(
        losses, weights=weights, reduction=reduction, avg_factor=avg_factor
    )


def smooth_targets(
    targets: jax.Array,
    num_classes: int,
    label_smoothing: float = 0.0,
    dtype: jnp.dtype = jnp.float32,
) -> jax.Array:
    """Labels (n,) or targets (n, K) -> targets (n, K) with a share of them spread evenly.

    Raises:
      JsslError: for a share that is not in [0, 1).

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import smooth_targets
      >>> print(smooth_targets(jnp.array([1]), num_classes=4, label_smoothing=0.2))
      [[0.05 0.85 0.05 0.05]]
    """
    check_value('label_smoothing', label_smoothing, BelowOne)
    if targets.ndim == 1:
        targets = jax.nn.one_hot(targets, num_classes)
    return (1 - label_smoothing) * targets.astype(dtype) + label_smoothing / num_classes


def reduce_losses(
    losses: jax.Array,
    *,
    weights: jax.Array | None = None,
    reduction: str = 'mean',
    avg_factor: jax.Array | float | None = None,
) -> jax.Array:
    """The losses of samples as one number, by the reference's rule.

    Args:
      losses: (n,).
      weights: (n,), multiplied with them; None for 1. The mean is over n, whatever their sum.
      reduction: 'mean', 'sum', or 'none' for (n,).
      avg_factor: what 'mean' divides the sum by in place of n, such as the number of samples that
        count.

    Raises:
      JsslError: for an unknown reduction, weights of another shape, or a sum with `avg_factor`.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import reduce_losses
      >>> print(reduce_losses(jnp.array([1.0, 3.0]), weights=jnp.array([1.0, 0.0])))
      0.5
    """
    if reduction not in REDUCTIONS:
        raise JsslError(f'reduction={reduction!r} is not known. {suggest(reduction, REDUCTIONS)}')
    if weights is not None and weights.shape != losses.shape:
        raise JsslError(
            f'weights have shape {weights.shape} for {len(losses)} samples; give one for each.'
        )
    if avg_factor is not None and reduction == 'sum':
        raise JsslError(
            f"avg_factor={avg_factor!r} has no meaning with reduction='sum'; leave it out, or take "
            "reduction='mean'."
        )
    losses = losses if weights is None else losses * weights
    if reduction == 'none':
        return losses
    if reduction == 'sum':
        return losses.sum()
    return losses.sum() / (len(losses) if avg_factor is None else avg_factor)


def top_k_hits(logits: jax.Array, labels: jax.Array, k: int) -> jax.Array:
    """Whether the label is among the `k` largest logits of each sample.

    Of equal logits the class with the lower number counts as larger, so that a network that says
    nothing is not right; a logit that is not a number is never a hit.

    Args:
      logits: (n, K).
      labels: int (n,).
      k: how many classes may be named.

    Returns:
      Bool (n,).

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import top_k_hits
      >>> print(top_k_hits(jnp.array([[0.1, 0.9, 0.5], [0.1, 0.9, 0.5]]), jnp.array([2, 0]), k=2))
      [ True False]
    """
    picked = jnp.take_along_axis(logits, labels[:, None], axis=1)
    before = jnp.arange(logits.shape[1]) < labels[:, None]
    ahead = (logits > picked) | ((logits == picked) & before)
    return (ahead.sum(axis=1) < k) & ~jnp.isnan(picked[:, 0])
