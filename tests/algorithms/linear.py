"""Networks that are matrices, for losses that NumPy can follow term by term in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

IMAGES, PIXELS, WIDTH = 6, 12, 5
DRAW = np.random.default_rng(0)
VIEWS = [DRAW.standard_normal((IMAGES, 2, 2, 3)) for _ in range(2)]
ONLINE, SLOW = (DRAW.standard_normal((PIXELS, WIDTH)) for _ in range(2))
PREDICTOR = DRAW.standard_normal((WIDTH, WIDTH))


def projections(kernel: np.ndarray) -> list[np.ndarray]:
    """Both views times a matrix."""
    return [view.reshape(IMAGES, PIXELS) @ kernel for view in VIEWS]


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The mean cosine of rows."""
    return float(np.sum(unit(first) * unit(second), axis=1).mean())


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """By its definition."""
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return float(-np.log(probabilities[np.arange(len(logits)), labels]).mean())


def params(predictor: bool = False) -> dict[str, Any]:
    """Of a neck `linear`, and of a head with a predictor like it."""
    neck = {'neck': {'fc0': {'kernel': jnp.asarray(ONLINE)}}}
    head = {'predictor': {'fc0': {'kernel': jnp.asarray(PREDICTOR)}}}
    return neck | ({'head': head} if predictor else {})


def teacher(steps: int) -> dict[str, Any]:
    """A momentum network with weights of its own."""
    kernel = {'neck': {'fc0': {'kernel': jnp.asarray(SLOW)}}}
    return {'params': kernel, 'batch_stats': {}, 'steps': jnp.array(steps, 'int32')}


def loss(algorithm: Any, params: Any, state: Any, swapped: bool = False) -> Any:
    """The loss of the two views, or of the two swapped, compiled."""
    views = tuple(jnp.asarray(view) for view in (VIEWS[::-1] if swapped else VIEWS))
    return jax.jit(algorithm.loss)(params, {'batch_stats': {}, **state}, {'views': views})
