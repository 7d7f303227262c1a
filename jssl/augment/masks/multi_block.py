"""I-JEPA's masks: a large context block without the blocks that are to be predicted from it.

Assran, Duval, Misra, Bojanowski, Vincent, Rabbat, LeCun, Ballas, "Self-Supervised Learning from
Images with a Joint-Embedding Predictive Architecture", CVPR 2023, arXiv 2301.08243, section 3.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jssl.augment.masks.grid import check_grid
from jssl.augment.masks.numbers import Numbers, numbers_of
from jssl.checks import Checked, Count, Positive, Share
from jssl.errors import JsslError

Tries = tuple[jax.Array, jax.Array, jax.Array]  # at a context, numbers used by then, its mask
PATIENCE = 20  # tries at a context, before it need not keep out of one target more


@dataclasses.dataclass(frozen=True)
class MultiBlock(Checked):
    """How context and target blocks of a batch are drawn, and how many patches of them count.

    The reference draws one size for the targets of a batch and one for its contexts, and cuts what
    is left of the contexts to the smallest in the batch. A compiled step needs the same numbers of
    patches always: here the targets are cut to the smallest size that can be drawn, and contexts to
    `context_patches`. Both keep the first patches, row by row, as the reference's cut does. A
    context that has fewer is drawn again.

    Attributes:
      targets: blocks to predict, of each image.
      contexts: blocks to predict from.
      target_scale: least and largest share of the patches in a target.
      target_aspect: its height over its width at the least share, and at the largest.
      context_scale: least and largest share of the patches in a context, a square, before the
        targets are taken out.
      allow_overlap: whether targets are left in the context.
      context_patches: of a context that the network sees; None for a quarter of the image, which is
        what the reference's cut leaves of 224 px on average, with 128 images on a device.

    Raises:
      JsslError: a range goes down.
    """

    targets: Count = 4
    contexts: Count = 1
    target_scale: tuple[Share, Share] = (0.15, 0.2)
    target_aspect: tuple[Positive, Positive] = (0.75, 1.5)
    context_scale: tuple[Share, Share] = (0.85, 1.0)
    allow_overlap: bool = False
    context_patches: Count | None = None

    def __post_init__(self) -> None:
        """Refuses ranges that go down."""
        super().__post_init__()
        for name in ('target_scale', 'target_aspect', 'context_scale'):
            low, high = getattr(self, name)
            if low > high:
                raise JsslError(
                    f'MultiBlock.{name}=({low!r}, {high!r}) goes down; give ({high!r}, {low!r}).'
                )

    def draw(self, key: jax.Array, images: int, grid: int) -> tuple[jax.Array, jax.Array]:
        """The patches of contexts and targets.

        Args:
          key: one typed key; every image has its own from it.
          images: how many.
          grid: patches along each side.

        Returns:
          int32 (images, contexts, n) and (images, targets, m), numbers of patches in order; n and m
          are `counts` of the grid.

        Raises:
          JsslError: see `counts`.

        Examples:
          >>> context, target = MultiBlock().draw(jax.random.key(0), images=2, grid=14)
          >>> print(context.shape, target.shape)
          (2, 1, 49) (2, 4, 30)
        """
        context_count, target_count = self.counts(grid)
        size_key, key = jax.random.split(key)
        target_sides, context_sides = self.sides(jax.random.uniform(size_key, (2,)), grid)

        def one(key: jax.Array) -> tuple[jax.Array, jax.Array]:
            contexts, targets, _ = self.blocks(
                numbers_of(key), 0, grid, target_sides, context_sides, min_keep=context_count - 1
            )
            return first_patches(contexts, context_count), first_patches(targets, target_count)

        return jax.vmap(one)(jax.random.split(key, images))

    def counts(self, grid: int) -> tuple[int, int]:
        """The numbers of patches in a context and in a target, which do not depend on the draw.

        Raises:
          JsslError: a context cannot have so many, or a block cannot be drawn on such a grid.

        Examples:
          >>> MultiBlock(context_patches=50).counts(16)
          (50, 35)
        """
        check_grid(grid, least=3)
        numbers = np.linspace(0, 1, 2049, endpoint=False)
        target, context = (
            int(np.prod(_sides(numbers, scale, aspect, grid, np), axis=0).min())
            for scale, aspect in self._ranges
        )
        count = grid**2 // 4 if self.context_patches is None else self.context_patches
        if target < 1 or count > context:
            raise JsslError(
                f'On {grid} x {grid} patches a target may have {target} and a context block has at '
                f'least {context}, of which config.model.masks.context_patches={count} are to be '
                'seen; give fewer, or larger scales.'
            )
        return count, target

    def sides(self, numbers: jax.Array, grid: int) -> tuple[jax.Array, jax.Array]:
        """Height and width of the targets and of the contexts, from two uniform numbers.

        Each number decides a scale and an aspect: a small target is a wide one.

        Args:
          numbers: (2,).
          grid: patches along each side.

        Returns:
          int32 (2,) and (2,).

        Examples:
          >>> print(*MultiBlock().sides(jnp.array([0.0, 0.0]), 16))
          [5 7] [15 15]
        """
        target, context = (
            _sides(numbers[index], scale, aspect, grid, jnp)
            for index, (scale, aspect) in enumerate(self._ranges)
        )
        return target, context

    def blocks(
        self,
        numbers: Numbers,
        used: jax.Array | int,
        grid: int,
        target_sides: jax.Array,
        context_sides: jax.Array,
        *,
        min_keep: int,
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The blocks of one image, as a function of its numbers.

        A place is two numbers; it never is on the last row or the last column (the reference draws
        it so). After `PATIENCE` tries a context may overlap the last target, then the last two.

        Args:
          numbers: where they come from.
          used: how many of them have been used before.
          grid: patches along each side.
          target_sides, context_sides: see `sides`.
          min_keep: a context has more patches than this.

        Returns:
          Bool (contexts, grid, grid), bool (targets, grid, grid), and the numbers used by then.

        Examples:
          >>> masks, sides = MultiBlock(), (jnp.array([2, 3]), jnp.array([5, 5]))
          >>> contexts, targets, _ = masks.blocks(numbers_of(jax.random.key(0)), 0, 6, *sides,
          ...                                     min_keep=4)
          >>> print(contexts.shape, targets.sum(axis=(1, 2)), (contexts & targets.any(0)).any())
          (1, 6, 6) [6 6 6 6] False
        """
        used, targets = jnp.asarray(used, jnp.int32), []
        for _ in range(self.targets):
            targets.append(_block(numbers(used, 2), target_sides, grid))
            used += 2
        blocks = jnp.stack(targets)
        contexts = []
        for _ in range(self.contexts):
            context, used = self._context(numbers, used, blocks, context_sides, min_keep)
            contexts.append(context)
        return jnp.stack(contexts), blocks, used

    def _context(
        self,
        numbers: Numbers,
        used: jax.Array,
        targets: jax.Array,
        sides: jax.Array,
        min_keep: int,
    ) -> tuple[jax.Array, jax.Array]:
        """One context block without the targets, and the numbers used by then."""
        grid, index = targets.shape[1], jnp.arange(self.targets)

        def place(carry: Tries) -> Tries:
            tries, used, _ = carry
            block = _block(numbers(used, 2), sides, grid)
            kept_out = index < self.targets - tries // PATIENCE
            hidden = jnp.any(targets & kept_out[:, None, None], axis=0)
            return tries + 1, used + 2, block if self.allow_overlap else block & ~hidden

        def few(carry: Tries) -> jax.Array:
            return (jnp.sum(carry[2]) <= min_keep) & (carry[0] < PATIENCE * (self.targets + 1))

        start = (jnp.zeros((), jnp.int32), used, jnp.zeros((grid, grid), bool))
        _, used, context = lax.while_loop(few, place, start)
        return context, used

    @property
    def _ranges(self) -> tuple[tuple[tuple[float, float], tuple[float, float]], ...]:
        """Scale and aspect of targets, and of contexts."""
        return (self.target_scale, self.target_aspect), (self.context_scale, (1.0, 1.0))


def first_patches(masks: jax.Array, count: int) -> jax.Array:
    """The numbers of the first patches, row by row, at which masks are True.

    Args:
      masks: bool (..., grid, grid), each True in at least `count` places.
      count: how many.

    Returns:
      int32 (..., count).

    Examples:
      >>> print(first_patches(jnp.eye(3, dtype=bool), 2))
      [0 4]
    """
    flat = masks.reshape(*masks.shape[:-2], -1)
    return jnp.argsort(~flat, axis=-1, stable=True)[..., :count].astype(jnp.int32)


def _sides(
    number: Any, scale: tuple[float, float], aspect: tuple[float, float], grid: int, lib: Any
) -> Any:
    """Height and width of a block (2, ...), from one number; both less than the grid's."""
    area = lib.floor(grid**2 * (scale[0] + number * (scale[1] - scale[0])))
    ratio = aspect[0] + number * (aspect[1] - aspect[0])
    sides = lib.round(lib.sqrt(lib.stack([area * ratio, area / ratio])))
    return lib.minimum(sides, grid - 1).astype(lib.int32)


def _block(place: jax.Array, sides: jax.Array, grid: int) -> jax.Array:
    """The block of a size, bool (grid, grid), where two uniform numbers put it."""
    first = jnp.floor(place * (grid - sides)).astype(jnp.int32)
    first = jnp.minimum(first, grid - sides - 1)
    index = jnp.arange(grid)
    rows, columns = (index >= first[:, None]) & (index < (first + sides)[:, None])
    return rows[:, None] & columns
