"""A batch that passes through the backbone in parts, one after the other, with the loss of all.

Gradient accumulation as it is usually done adds up the gradients of losses of small batches. That
is another loss wherever images are compared with each other: fewer negatives, other correlations,
other Sinkhorn codes. Here the features of all parts meet in one loss, and in the backward pass each
part is computed once more, so that only one part's activations are in memory: gradient caching (Gao
et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", arXiv
2101.06983), for every algorithm, since it stands where a backbone is called and not in a loss.
"""

import contextlib
import contextvars
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from jssl.errors import JsslError
from jssl.layers.rows import split_rows

STATS, NOISE = 'batch_stats', 'drop_path'


class Parts(NamedTuple):
    """How a batch is divided.

    Attributes:
      number: into how many parts; 1 leaves it whole.
      images: of the batch; a pass has as many rows, or several views of each, one beside the other.
    """

    number: int
    images: int

    def unit(self, rows: int, group: int) -> int:
        """Rows that stay together: the views of an image, and a group of batch norm."""
        return math.lcm(max(rows // self.images, 1), group)


WHOLE = Parts(1, 1)
_PARTS: contextvars.ContextVar[Parts] = contextvars.ContextVar('parts', default=WHOLE)


@contextlib.contextmanager
def accumulating(parts: int, images: int) -> Iterator[None]:
    """What is traced inside computes backbones in so many parts of a batch of so many images.

    Args:
      parts: how many; 1 changes nothing.
      images: of the whole batch.
    """
    token = _PARTS.set(Parts(parts, images))
    try:
        yield
    finally:
        _PARTS.reset(token)


def backbones_in_parts() -> contextlib.AbstractContextManager[Any]:
    """Makes a pass inside it give images to its backbone in the parts of `accumulating`."""
    parts = _PARTS.get()
    if parts.number == 1:
        return contextlib.nullcontext()
    inside = False

    def intercept(
        call: Callable[..., Any],
        args: Sequence[Any],
        options: Mapping[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        nonlocal inside
        if inside or not _is_backbone(context, args):
            return call(*args, **options)
        inside = True
        try:
            return _in_parts(context.module, parts, *args, **options)
        finally:
            inside = False

    return nn.intercept_methods(intercept)


def _is_backbone(context: nn.module.InterceptorContext, args: Sequence[Any]) -> bool:
    """Whether a module is called `backbone`, or runs by itself on images."""
    module = context.module
    images = getattr(args[0], 'ndim', 0) == 4 if args else False
    alone = not module.path and not hasattr(module, 'backbone') and images
    return context.method_name == '__call__' and (module.name == 'backbone' or alone)


def _in_parts(bound: nn.Module, parts: Parts, images: jax.Array, *args: Any, **options: Any) -> Any:
    """The outputs of a backbone for all images; its batch statistics are the mean of the parts'."""
    module, variables = bound.unbind()
    mutable = [STATS] if bound.is_mutable_collection(STATS) else []
    keys = jax.random.split(bound.make_rng(NOISE), parts.number) if bound.has_rng(NOISE) else None
    unit = parts.unit(len(images), getattr(bound, 'bn_group_size', None) or 1)
    whole = getattr(bound, 'whole_options', ())
    split, same = _sorted(options, len(images), whole)

    @jax.checkpoint
    def part(key: jax.Array | None, images: jax.Array, split: Mapping[str, Any]) -> Any:
        rngs = {} if key is None else {NOISE: key}
        options = {**same, **split}
        return module.apply(variables, images, *args, mutable=mutable, rngs=rngs, **options)

    given = jax.tree.map(functools.partial(_divide, parts.number, unit), (images, split))
    _, (outputs, updates) = jax.lax.scan(lambda _, one: (None, part(*one)), None, (keys, *given))
    for name, stats in updates.get(STATS, {}).items():
        bound.put_variable(STATS, name, jax.tree.map(lambda each: each.mean(0), stats))
    return jax.tree.map(functools.partial(_join, unit), outputs)


def _sorted(
    options: Mapping[str, Any], rows: int, whole: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is divided as the images are, and what every part is given as it is."""
    arrays = {name for name, value in options.items() if isinstance(value, jax.Array)}
    split = arrays - {*whole}
    for name in sorted(split):
        if len(options[name]) != rows:
            raise JsslError(
                f'The backbone is given {name} of shape {options[name].shape} for {rows} images, '
                "which cannot be divided with them; name it in the class's whole_options if it is "
                'the same for all, or set config.accumulate=1.'
            )
    named = {name: options[name] for name in split}
    return named, {name: value for name, value in options.items() if name not in split}


def _divide(parts: int, unit: int, x: jax.Array) -> jax.Array:
    """(B, ...) -> (parts, B / parts, ...), units dealt out in turn.

    So every device divides the rows that it has, and none is sent to another.
    """
    if len(x) % (parts * unit):
        fewer = max((n for n in range(1, parts) if not len(x) % (n * unit)), default=1)
        raise JsslError(
            f'config.accumulate={parts} does not divide the {len(x)} images that pass through the '
            f'backbone together, {unit} of which belong together; set config.accumulate={fewer}.'
        )
    dealt = x.reshape(-1, parts, unit, *x.shape[1:]).swapaxes(0, 1)
    return split_rows(dealt.reshape(parts, -1, *x.shape[1:]), axis=1)


def _join(unit: int, x: jax.Array) -> jax.Array:
    """(parts, B / parts, ...) -> (B, ...), the inverse of `_divide`."""
    units = split_rows(x, axis=1).reshape(len(x), -1, unit, *x.shape[2:]).swapaxes(0, 1)
    return split_rows(units.reshape(-1, *x.shape[2:]))
