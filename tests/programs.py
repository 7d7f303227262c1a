"""What a program for an accelerator is made of, read off what JAX hands to the compiler.

Lowering needs neither the device nor its plugin, and takes a second.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax


def lowered(function: Callable[..., Any], *args: Any, platform: str = 'cuda') -> str:
    """The program of `function`, which `jax.jit` may have made, for that platform."""
    jitted: Any = function if hasattr(function, 'trace') else jax.jit(function)
    return jitted.trace(*args).lower(lowering_platforms=(platform,)).as_text()


def operations(program: str) -> Counter[str]:
    """How often each operation stands in a program."""
    return Counter(re.findall(r'stablehlo\.(\w+)', program))


def products(program: str) -> Counter[tuple[str, ...]]:
    """The products of arrays: how often with which types of factors and result, and precision.

    Examples:
      >>> a = jax.numpy.ones((2, 2))
      >>> products(lowered(lambda a: a @ a, a))
      Counter({('f32', 'f32', 'f32', 'DEFAULT'): 1})
    """
    found: Counter[tuple[str, ...]] = Counter()
    for line in program.splitlines():
        if 'stablehlo.dot_general' in line:
            types = re.findall(r'tensor<(?:\d+x)*(\w+)>', line.rsplit(' : ', 1)[1])
            precision = re.search(r'precision = \[(\w+),', line)
            found[(*types, precision[1] if precision else 'DEFAULT')] += 1
    return found


def equations(traced: Any) -> Iterator[Any]:
    """All equations of a jaxpr and of those within it; costs less than lowering."""
    for equation in traced.eqns:
        yield equation
        for value in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(value, 'jaxpr', value)
            if hasattr(inner, 'eqns'):
                yield from equations(inner)
