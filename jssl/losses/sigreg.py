"""SIGReg: how far embeddings are from a standard normal distribution, the regulariser of LeJEPA.

Balestriero, LeCun, "LeJEPA: Provable and Scalable Self-Supervised Learning Without the Heuristics",
arXiv 2511.08544. The test of one direction is Epps and Pulley's, "A Test for Normality Based on the
Empirical Characteristic Function", Biometrika 1983.
"""

import jax
import jax.numpy as jnp

from jssl.layers.widen import widen


def sigreg(
    embeddings: jax.Array, directions: jax.Array, *, t_max: float = 3.0, points: int = 17
) -> jax.Array:
    """The Epps-Pulley statistic of embeddings along directions, averaged over these and views.

    ``n int w(t) |phi_n(t) - exp(-t^2 / 2)|^2 dt`` over [-t_max, t_max] by the trapezoidal rule,
    where phi_n is the empirical characteristic function of one direction's n projections and the
    window w(t) = exp(-t^2 / 2).

    Args:
      embeddings: (V, n, D), of V views of n images; each view is tested by itself.
      directions: (D, K), of any length, the same for all views.
      t_max: where the integral ends.
      points: of the rule, in [0, t_max]; the integrand is even.

    Returns:
      A scalar, computed in at least float32. It counts samples: for normal embeddings it is about
      1, whatever n.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.losses import sigreg
      >>> normal, directions = jax.random.normal(jax.random.key(0), (1, 256, 4)), jnp.eye(4)
      >>> bool(sigreg(normal, directions) < 2), bool(sigreg(3 * normal, directions) > 50)
      (True, True)
    """
    embeddings, directions = widen(embeddings), widen(directions)
    directions = directions / jnp.linalg.norm(directions, axis=0)
    t = jnp.linspace(0, t_max, points, dtype=embeddings.dtype)
    normal = jnp.exp(-jnp.square(t) / 2)
    weights = jnp.full(points, 2 * t_max / (points - 1), t.dtype).at[jnp.array([0, -1])].divide(2)
    slices = jnp.matmul(embeddings, directions, precision=jax.lax.Precision.HIGHEST)
    # One point after the other: (V, n, K, points) at once would be the largest array of a step.
    errors = jax.lax.map(
        lambda point: (
            jnp.square(jnp.cos(slices * point[0]).mean(axis=1) - point[1])
            + jnp.square(jnp.sin(slices * point[0]).mean(axis=1))
        ),
        (t, normal),
    )
    return embeddings.shape[1] * jnp.tensordot(weights * normal, errors.mean(axis=(1, 2)), 1)


def view_spread(embeddings: jax.Array, targets: int | None = None) -> jax.Array:
    """The mean squared distance of views to a mean of views, what LeJEPA predicts.

    The gradient flows through both.

    Args:
      embeddings: (V, n, D).
      targets: how many of the first views are averaged, the global ones in the paper; None for all.

    Returns:
      A scalar, computed in at least float32.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.losses import view_spread
      >>> print(view_spread(jnp.array([[[1.0, 5.0]], [[3.0, 5.0]]])))
      0.5
    """
    embeddings = widen(embeddings)
    return jnp.mean(jnp.square(embeddings - embeddings[:targets].mean(axis=0)))
