"""The linear probe: how well one linear layer separates the classes of frozen features.

Multinomial logistic regression on standardised features, fitted with full-batch L-BFGS: convex,
without a learning rate to choose, and fast enough to run every few epochs.
"""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.typing import ArrayLike

from jssl.checks import Checked, Count, NonNegative
from jssl.errors import JsslError
from jssl.evaluation.inputs import checked_features, checked_labels, numbered
from jssl.evaluation.metrics import Extracted, Scores, labelled


class LinearProbe(NamedTuple):
    """A fitted probe: class scores are ``(features - mean) / scale @ kernel + bias``."""

    mean: jax.Array
    scale: jax.Array
    kernel: jax.Array
    bias: jax.Array

    def predict(self, features: ArrayLike) -> jax.Array:
        """The most probable class (N,) for each row of `features` (N, D)."""
        return jnp.argmax(_logits(self, jnp.asarray(features)), axis=-1)


def _logits(probe: LinearProbe, features: jax.Array) -> jax.Array:
    standardised = (features - probe.mean) / probe.scale
    # The line search compares nearly equal losses, for which bfloat16 products are too coarse.
    return jnp.dot(standardised, probe.kernel, precision='highest') + probe.bias


def _start(features: jax.Array, num_classes: int) -> LinearProbe:
    mean, deviation = jnp.mean(features, axis=0), jnp.std(features, axis=0)
    # What varies less than rounding is constant: dividing by it would only magnify noise.
    noise = 10 * jnp.finfo(features.dtype).eps * jnp.abs(mean)
    scale = jnp.where(deviation > noise, deviation, 1)
    kernel = jnp.zeros((features.shape[1], num_classes), features.dtype)
    return LinearProbe(mean, scale, kernel, jnp.zeros(num_classes, features.dtype))


@partial(jax.jit, static_argnames=('num_classes', 'steps'))
def _fit(
    features: jax.Array, labels: jax.Array, l2: jax.Array, *, num_classes: int, steps: int
) -> LinearProbe:
    start = _start(features, num_classes)
    standardised = (features - start.mean) / start.scale
    Weights = tuple[jax.Array, jax.Array]

    def objective(weights: Weights) -> jax.Array:
        logits = jnp.dot(standardised, weights[0], precision='highest') + weights[1]
        errors = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return errors.mean() + 0.5 * l2 / len(features) * jnp.sum(weights[0] ** 2)

    optimizer = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(objective)

    def update(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], Any]:
        weights, state = carry
        value, grad = value_and_grad(weights, state=state)
        change, state = optimizer.update(
            grad, state, weights, value=value, grad=grad, value_fn=objective
        )
        return (optax.apply_updates(weights, change), state), None

    weights = (start.kernel, start.bias)
    (weights, _), _ = jax.lax.scan(update, (weights, optimizer.init(weights)), length=steps)
    return start._replace(kernel=weights[0], bias=weights[1])


def fit_linear(
    features: ArrayLike, labels: ArrayLike, *, num_classes: int, l2: float = 1.0, steps: int = 60
) -> LinearProbe:
    """Fits a linear probe by minimising the summed cross-entropy + l2 / 2 |kernel|^2.

    Args:
      features: (N, D), standardised here with their own mean and deviation.
      labels: (N,) class indices in [0, num_classes).
      num_classes: the number of classes.
      l2: strength of the penalty, 1 / C in scikit-learn's words; the bias is free.
      steps: L-BFGS iterations, always all of them: the same input gives the same probe.

    Raises:
      JsslError: shapes or labels that do not fit.
    """
    matrix = checked_features(features, 'features')
    classes = checked_labels(labels, len(matrix), num_classes, 'labels')
    strength = jnp.asarray(l2, matrix.dtype)
    return _fit(matrix, classes, strength, num_classes=num_classes, steps=steps)


def linear_accuracy(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    num_classes: int,
    l2: float = 1.0,
    steps: int = 60,
) -> float:
    """The share of test rows (M, D) that a probe fitted on the train rows (N, D) gets right.

    Arguments and errors are those of `fit_linear`.
    """
    test = checked_features(test_features, 'test_features')
    labels = checked_labels(test_labels, len(test), num_classes, 'test_labels')
    probe = fit_linear(train_features, train_labels, num_classes=num_classes, l2=l2, steps=steps)
    if probe.mean.shape[0] != test.shape[1]:
        raise JsslError(
            f'train_features have {probe.mean.shape[0]} dimensions and test_features have '
            f'{test.shape[1]}; extract both with the same network.'
        )
    return float(np.mean(np.asarray(probe.predict(test) == labels)))


@dataclasses.dataclass(frozen=True)
class Linear(Checked):
    """The metric of a linear probe.

    Attributes:
      l2: strength of its penalty.
      steps: L-BFGS iterations.
    """

    l2: NonNegative = 1.0
    steps: Count = 60

    def __call__(self, train: Extracted | None, test: Extracted, /) -> Scores:
        """`linear`, the accuracy; none without labels."""
        data = labelled(train, test)
        if data is None:
            return {}
        present, (learned, wanted) = numbered(
            train_labels=data.train_labels, test_labels=data.test_labels
        )
        accuracy = linear_accuracy(
            data.train,
            learned,
            data.test,
            wanted,
            num_classes=len(present),
            l2=self.l2,
            steps=self.steps,
        )
        return {'linear': accuracy}
