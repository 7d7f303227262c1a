"""One switch for the type that a whole model computes in.

Parameters, batch-norm statistics, softmax, losses, teachers and memories are float32 whatever it
says: the type is that of the products and activations in between.
"""

import dataclasses
from typing import Any, TypeVar

import flax.linen as nn

from jssl.kinds import TARGET_GENERATOR, kinds_of
from jssl.values import hints_of

Part = TypeVar('Part')


def with_dtype(part: Part, dtype: Any) -> Part:
    """The same part with `dtype` wherever a module in it leaves its own open.

    A `dtype` that was set on one module stays. Target generators stay as they are: what a model is
    to predict is made in float32.

    Args:
      part: an algorithm, a module, or whatever holds some.
      dtype: such as ``'bfloat16'``; None changes nothing.

    Examples:
      >>> from jssl.necks import LinearNeck
      >>> with_dtype(LinearNeck(in_channels=8, out_channels=4), 'bfloat16').dtype
      'bfloat16'
    """
    if dtype is None or isinstance(part, type) or not dataclasses.is_dataclass(part):
        return part
    changes = {}
    for field in dataclasses.fields(part):
        value = getattr(part, field.name, None)
        if not field.init or field.name in ('parent', 'name'):
            continue
        if field.name == 'dtype' and isinstance(part, nn.Module):
            changes['dtype'] = dtype if value is None else value
        elif kinds_of(hints_of(type(part)).get(field.name, Any)) != (TARGET_GENERATOR,):
            changes[field.name] = with_dtype(value, dtype)
    changes = {name: new for name, new in changes.items() if new is not getattr(part, name)}
    found: Any = part
    return dataclasses.replace(found, **changes) if changes else part
