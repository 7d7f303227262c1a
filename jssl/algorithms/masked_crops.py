"""Global crops with masked patches, and local crops without: those of iBOT and of what followed."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jssl.algorithm import Params
from jssl.algorithms.dino import GLOBAL, global_views
from jssl.algorithms.masked import check_no_average
from jssl.augment.masks import masked_patches, most_masked
from jssl.errors import JsslError
from jssl.heads import DINOHead
from jssl.layers.rows import neighbour_groups, row_parts
from jssl.losses import koleo
from jssl.networks import Patches, TwoHeads, by_size

PARTS = ('backbone', 'head', 'patch_head')  # of a student, and of its teacher


def check_heads(algorithm: str, **heads: DINOHead | None) -> None:
    """Refuses heads with batch norms: a student has no batch statistics.

    Args:
      algorithm: for the message.
      heads: by their fields.

    Raises:
      JsslError: names the field.
    """
    for field, head in heads.items():
        if getattr(head, 'with_bn', False):
            raise JsslError(
                f'config.model.{field}.with_bn=True would norm class tokens and patches by '
                f'statistics of each; {algorithm} is for vision transformers, set it to False.'
            )


def init_student(
    network: TwoHeads, rng: jax.Array, views: Sequence[jax.Array], algorithm: str
) -> Params:
    """Fresh parameters of a network for such views, the mask token among them."""
    rows, side = places(views, network.backbone, algorithm)
    masks, masked = jnp.zeros((rows, side, side), bool), (jnp.zeros((1, 1), int), jnp.zeros(1))
    crops = by_size(global_views(views, algorithm))
    return network.init(rng, crops, masked, masks, train=False)['params']


def crops_of(views: Sequence[jax.Array], algorithm: str) -> tuple[jax.Array, ...]:
    """By size, the global crops alone even where local ones are as large: these see no mask."""
    return (*by_size(global_views(views, algorithm)), *by_size(views[GLOBAL:]))


def places(views: Sequence[jax.Array], backbone: Any, algorithm: str) -> tuple[int, int]:
    """How many global crops a batch has, and patches along a side of one.

    Raises:
      JsslError: if they are no squares, or the backbone gives no class token beside patches; the
        message names `algorithm`.
    """
    if not getattr(backbone, 'with_cls_token', False):
        raise JsslError(
            f'{algorithm} is for vision transformers with a class token, and config.model.backbone '
            f'is {type(backbone).__name__} without; set config.model.backbone.type to DINOViT.'
        )
    check_no_average(backbone, algorithm)
    first, _ = global_views(views, algorithm)
    images, height, width = first.shape[:3]
    if height != width:
        raise JsslError(
            f'{algorithm} masks square global crops and got {height} x {width} px; set '
            'config.views to a policy of square ones, such as GlobalLocal.'
        )
    return GLOBAL * images, height // backbone.patch_size


def draw_masks(
    rule: Callable[..., jax.Array], key: jax.Array, rows: int, side: int, **options: Any
) -> jax.Array:
    """Masks of the global crops of a batch, by groups of neighbours (`neighbour_groups`).

    Each group has all strata, as in the reference each device has them.

    Args:
      rule: `stratified_masks` or `completed_masks`.
      key: PRNG key.
      rows: 2 n, the global crops of n images.
      side: patches along a side of one.
      options: of the rule.

    Returns:
      Bool (2 n, T), the first view's before the second's.
    """
    groups = neighbour_groups(rows // GLOBAL)

    def draw(key: jax.Array) -> jax.Array:
        return rule(key, rows // groups, side, **options)

    masks = jax.vmap(draw)(jax.random.split(key, groups))
    return masks.reshape(groups, GLOBAL, -1, side**2).swapaxes(0, 1).reshape(rows, -1)


def masked_rows(masks: jax.Array, dtype: Any, **options: Any) -> tuple[jax.Array, Patches]:
    """Masks by image, and the masked patches of each group of neighbours.

    Args:
      masks: bool (2 n, T), the first view's before the second's, as `draw_masks` gives them.
      dtype: of the weights of patches.
      options: `share` and `ratios` by which masks are drawn.

    Returns:
      Bool (2 n, h, h), an image's two crops beside each other; what `TwoHeads` takes as `patches`,
      see `masked_patches`.
    """
    side = math.isqrt(masks.shape[1])
    by_image = masks.reshape(GLOBAL, -1, side, side).swapaxes(0, 1).reshape(-1, side, side)
    groups = neighbour_groups(len(masks) // GLOBAL)
    most = most_masked(len(masks) // groups, side, **options)
    most += -most % (row_parts() // math.gcd(row_parts(), groups))  # devices share all evenly
    pick = jax.vmap(functools.partial(masked_patches, most=most))
    index, weights = pick(by_image.reshape(groups, -1, side, side))
    return by_image, (index, weights.ravel().astype(dtype))


def koleo_of_views(
    features: jax.Array, group_size: int | None = None, neighbors: int = 1
) -> jax.Array:
    """The mean of KoLeo over views (V, n, C), each by itself."""
    each = [koleo(view, group_size=group_size, neighbors=neighbors) for view in features]
    return jnp.stack(each).mean()
