"""The linear probe: how well one linear layer separates the classes of frozen features.

Multinomial logistic regression on standardised features, fitted with full-batch L-BFGS: convex,
without a learning rate to choose, and fast enough to run every few epochs.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
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
        return _classes(self, jnp.asarray(features))


@jax.jit
def _classes(probe: LinearProbe, features: jax.Array) -> jax.Array:
    standardised = (features - probe.mean) / probe.scale
    logits = jnp.dot(standardised, probe.kernel, precision='highest') + probe.bias
    return jnp.argmax(logits, axis=-1)


@jax.jit
def _standardise(features: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Standardised features, the mean and the scale by which they are."""
    mean, deviation = jnp.mean(features, axis=0), jnp.std(features, axis=0)
    # What varies less than rounding is constant: dividing by it would only magnify noise.
    noise = 10 * jnp.finfo(features.dtype).eps * jnp.abs(mean)
    scale = jnp.where(deviation > noise, deviation, 1)
    return (features - mean) / scale, mean, scale


@jax.jit
def _objective(
    weights: jax.Array, features: jax.Array, labels: jax.Array, l2: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """The mean loss of standardised features, and its gradient by the weights (C, D + 1).

    A row of weights is a class, its bias last: a CPU multiplies so in a third of the time that it
    takes by their transpose.
    """

    def loss(weights: jax.Array) -> jax.Array:
        kernel, bias = weights[:, :-1], weights[:, -1]
        # The search compares nearly equal losses, for which bfloat16 products are too coarse.
        logits = jnp.einsum('nd,cd->cn', features, kernel, precision='highest') + bias[:, None]
        wanted = jnp.take_along_axis(logits, labels[None], axis=0)[0]
        errors = jax.nn.logsumexp(logits, axis=0) - wanted
        return errors.mean() + 0.5 * l2 / len(features) * jnp.sum(kernel**2)

    return jax.value_and_grad(loss)(weights)


def _fit(
    features: jax.Array, labels: jax.Array, l2: float, *, num_classes: int, steps: int
) -> LinearProbe:
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    standardised, mean, scale = _standardise(features)
    shape, dtype = (num_classes, features.shape[1] + 1), features.dtype

    def evaluate(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(shape).astype(dtype)
        value, gradient = jax.device_get(_objective(weights, standardised, labels, l2))
        return float(value), gradient.ravel().astype(np.float64)

    # The search is the host's: compiled as a whole, it takes longer to compile than to run. It ends
    # where rounding hides what another step would gain.
    options = {'maxiter': steps, 'ftol': float(jnp.finfo(dtype).eps), 'gtol': 0.0}
    # Threads of BLAS wait by spinning, and gain nothing on vectors as short as these.
    with threadpool_limits(1, user_api='blas'):
        found = minimize(
            evaluate, np.zeros(np.prod(shape)), jac=True, method='L-BFGS-B', options=options
        )
    kernel, bias = np.split(found.x.reshape(shape).astype(dtype), [-1], axis=1)
    return LinearProbe(mean, scale, jax.device_put(kernel.T), jax.device_put(bias[:, 0]))


def fit_linear(
    features: ArrayLike, labels: ArrayLike, *, num_classes: int, l2: float = 1.0, steps: int = 60
) -> LinearProbe:
    """Fits a linear probe by minimising the summed cross-entropy + l2 / 2 |kernel|^2.

    Args:
      features: (N, D), standardised here with their own mean and deviation.
      labels: (N,) class indices in [0, num_classes).
      num_classes: the number of classes.
      l2: strength of the penalty, 1 / C in scikit-learn's words; the bias is free.
      steps: L-BFGS iterations at most; the same input gives the same probe.

    Raises:
      JsslError: shapes or labels that do not fit.
    """
    matrix = checked_features(features, 'features')
    classes = checked_labels(labels, len(matrix), num_classes, 'labels')
    return _fit(matrix, classes, l2, num_classes=num_classes, steps=steps)


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
      steps: L-BFGS iterations at most.
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
