"""What a traced function computes on its way: its arrays, by size and norm."""

import collections
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core


def with_norms(function: Callable[..., Any], sizes: Iterable[int]) -> Callable[..., Any]:
    """`function`, which also returns the L2 norms of arrays that it reads or computes.

    The traced program is the same and has more outputs: results and gradients are its own. What
    happens inside a loop, or a compiled function that it calls, is not looked into.

    Args:
      function: of trees of arrays.
      sizes: numbers of entries; arrays of other sizes are left out.

    Returns:
      A function of the same arguments -> (its result, {size: norms (n,)}).
    """
    wanted = frozenset(sizes)

    def run(*arguments: Any) -> tuple[Any, dict[int, jax.Array]]:
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        jaxpr, count = closed.jaxpr, len(closed.jaxpr.outvars)
        within = [*jaxpr.constvars, *jaxpr.invars, *(v for e in jaxpr.eqns for v in e.outvars)]
        within = [variable for variable in within if _counts(variable, wanted)]
        names = jaxpr.debug_info._replace(result_paths=('',) * (count + len(within)))
        more = jaxpr.replace(outvars=[*jaxpr.outvars, *within], debug_info=names)
        outputs = core.jaxpr_as_fun(closed.replace(jaxpr=more))(*jax.tree.leaves(arguments))
        norms = collections.defaultdict(list)
        for value in outputs[count:]:
            norms[value.size].append(jnp.linalg.norm(jax.lax.stop_gradient(value).ravel() * 1.0))
        result = jax.tree.unflatten(jax.tree.structure(shapes), outputs[:count])
        return result, {size: jnp.stack(found) for size, found in norms.items()}

    return run


def _counts(variable: core.Var, sizes: frozenset[int]) -> bool:
    aval: Any = variable.aval
    numbers = getattr(aval, 'size', None) in sizes and not jax.dtypes.issubdtype(
        aval.dtype, jax.dtypes.extended
    )
    return numbers and type(variable).__name__ != 'DropVar'
