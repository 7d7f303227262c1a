"""The arithmetic of a traced program: operations of its matrix products and convolutions.

They are read off the jaxpr, in which a loop over layers (`jax.lax.scan`) has its length; XLA's own
count takes such a loop for one turn, and for CUDA there is none. All else that a program does, such
as norms and augmentation, is bound by the memory and is not counted here.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core

from jssl.planning.machines import BFLOAT16, FLOAT32, FLOAT64, TENSORFLOAT32

# Of fused attention: the products of two matrices (queries x keys x channels) in it.
FUSED = {
    'dot_product_attention_fwd_wrapper': 2,  # scores, weighted values
    'dot_product_attention_bwd_wrapper': 5,  # scores again, and the gradients of all four factors
}
Kinds = Counter[tuple[str, str]]  # of operations, by the type of the factors and the precision


def count(jaxpr: Any, platform: str) -> Kinds:
    """Operations of a traced program, two for a multiplication and its addition.

    Args:
      jaxpr: of `jax.stages.Traced`, a closed or an open jaxpr; shapes are those of all devices.
      platform: that it is compiled for, 'cpu', 'cuda' or 'tpu'.

    Returns:
      Operations by (type of the factors, precision): ``('bfloat16', 'default')``. Of branches the
      dearest is counted, of a loop without a length a single turn.
    """
    found: Kinds = Counter()
    for equation in getattr(jaxpr, 'jaxpr', jaxpr).eqns:
        name = equation.primitive.name
        if name in PRODUCTS:
            found[_kind(equation)] += PRODUCTS[name](equation)
        elif name in FUSED:
            found[_kind(equation)] += FUSED[name] * _attention(equation)
        elif name == 'cond':
            branches = [count(branch, platform) for branch in _branches(equation, platform)]
            found.update(max(branches, key=lambda kinds: sum(kinds.values())))
        else:
            times = _turns(equation)
            for inner in _inside(equation):
                once = count(inner, platform)
                found.update({kind: times * number for kind, number in once.items()})
    return found


def passes(kind: tuple[str, str], platform: str) -> tuple[str, int]:
    """On which unit of a machine such a product runs, and how many products it takes there.

    See `jax.lax.Precision`: TPUs make float32 of one, three or six products of bfloat16, NVIDIA's
    cards round it to TensorFloat-32 unless the highest precision is asked for.

    Args:
      kind: a key of what `count` gives.
      platform: 'cuda' or 'tpu'.

    Returns:
      The key of `Machine.peaks`, and the number.
    """
    dtype, precision = kind
    for text, times in (('bf16_bf16_f32_x6', 6), ('bf16_bf16_f32_x3', 3), ('bf16_bf16_f32', 1)):
        if text in precision:  # an algorithm that a program names
            return BFLOAT16, times
    if np.dtype(dtype).itemsize <= 2:
        return BFLOAT16, 1
    if platform == 'tpu':
        return BFLOAT16, {'highest': 6, 'high': 3}.get(precision, 1)
    if dtype == FLOAT64:
        return FLOAT64, 1
    return (FLOAT32 if precision == 'highest' else TENSORFLOAT32), 1


def _kind(equation: Any) -> tuple[str, str]:
    """The wider of the factors' types, and the precision in a word."""
    given = [variable.aval.dtype for variable in equation.invars[:2]]
    dtype = max(given, key=lambda dtype: dtype.itemsize)
    precision = equation.params.get('precision')
    first = precision[0] if isinstance(precision, tuple) else precision
    return str(dtype), 'default' if first is None else str(first).rpartition('.')[2].lower()


def _dot(equation: Any) -> int:
    (contracted, _), _ = equation.params['dimension_numbers']
    sides = equation.invars[0].aval.shape
    return 2 * equation.outvars[0].aval.size * math.prod(sides[axis] for axis in contracted)


def _convolution(equation: Any) -> int:
    """Without what is multiplied by the zeros of padding and of dilated inputs."""
    numbers = equation.params['dimension_numbers']
    image, kernel = (variable.aval.shape for variable in equation.invars)
    result = equation.outvars[0].aval.shape
    pairs = 1
    for place, (low, _) in enumerate(equation.params['padding']):
        pairs *= _meetings(
            image[numbers.lhs_spec[2 + place]],
            kernel[numbers.rhs_spec[2 + place]],
            result[numbers.out_spec[2 + place]],
            low,
            equation.params['window_strides'][place],
            equation.params['lhs_dilation'][place],
            equation.params['rhs_dilation'][place],
        )
    rows, channels = (result[numbers.out_spec[axis]] for axis in (0, 1))
    return 2 * rows * channels * kernel[numbers.rhs_spec[1]] * pairs


def _meetings(
    image: int, kernel: int, result: int, low: int, stride: int, spread: int, dilation: int
) -> int:
    """How often an entry of the kernel meets one of the image, along one side.

    Args:
      image: its side, without padding and dilation.
      kernel: its side, without dilation.
      result: its side.
      low: padding before the image.
      stride: of the window.
      spread: the image's dilation.
      dilation: the kernel's.
    """
    places = np.arange(result)[:, None] * stride + np.arange(kernel) * dilation - low
    inside = (places >= 0) & (places <= (image - 1) * spread) & (places % spread == 0)
    return int(inside.sum())


def _attention(equation: Any) -> int:
    """Operations of one product of queries (B, T, N, H) and keys (B, S, N, H)."""
    query, key = (variable.aval.shape for variable in equation.invars[:2])
    return 2 * math.prod(query) * key[1]


PRODUCTS: Mapping[str, Callable[[Any], int]] = {
    'dot_general': _dot,
    'conv_general_dilated': _convolution,
}


def _branches(equation: Any, platform: str) -> Sequence[Any]:
    """The programs of which an equation does one; of those for platforms, the one for this."""
    branches, platforms = equation.params['branches'], equation.params.get('branches_platforms')
    if platforms is None:
        return branches
    fits = (names is None or platform in names for names in platforms)
    return [branch for branch, fit in zip(branches, fits, strict=True) if fit][:1]


def _turns(equation: Any) -> int:
    """How often an equation does what is inside it."""
    if equation.primitive.name == 'scan':
        return equation.params['length']
    if equation.primitive.name == 'shard_map':  # shapes inside are those of one device
        return equation.params['mesh'].size
    if equation.primitive.name == 'pallas_call':
        return math.prod(equation.params['grid_mapping'].grid)
    return 1


def _inside(equation: Any) -> Iterator[Any]:
    """The programs in an equation's parameters."""
    kinds = (core.Jaxpr, core.ClosedJaxpr)
    for leaf in jax.tree.leaves(equation.params, is_leaf=lambda value: isinstance(value, kinds)):
        if isinstance(leaf, kinds):
            yield leaf
