"""A function that is computed in one way on CPUs and in another on accelerators."""

from collections.abc import Callable

import jax

Compute = Callable[..., jax.Array]


def on_cpu(fast: Compute, plain: Compute) -> Compute:
    """`fast` on CPUs and `plain` everywhere else, for values and gradients.

    The choice is made when a program is compiled, for the platform it is compiled for, and nothing
    of the other way is left in it. Gradients are taken of whichever was chosen; only the arguments
    are kept for them.

    Args:
      fast: arrays -> array.
      plain: the same function of the same arrays.
    """

    @jax.custom_vjp
    def function(*arrays: jax.Array) -> jax.Array:
        return jax.lax.platform_dependent(*arrays, cpu=fast, default=plain)

    def forward(*arrays: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        return function(*arrays), arrays

    def backward(arrays: tuple[jax.Array, ...], given: jax.Array) -> tuple[jax.Array, ...]:
        return jax.lax.platform_dependent(
            given, *arrays, cpu=_pullback(fast), default=_pullback(plain)
        )

    function.defvjp(forward, backward)
    return function


def _pullback(function: Compute) -> Callable[..., tuple[jax.Array, ...]]:
    def pullback(given: jax.Array, *arrays: jax.Array) -> tuple[jax.Array, ...]:
        return jax.vjp(function, *arrays)[1](given)

    return pullback
