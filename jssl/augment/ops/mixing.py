"""Mixup and CutMix: each image of a batch mixed with another one, its target likewise.

Pure functions of a key and a batch, for supervised fine-tuning. As in the reference, one ratio and
one box serve the whole batch, and the partners are one permutation of it.
"""

import jax
import jax.numpy as jnp

from jssl.augment.ops.erase import inside_box
from jssl.errors import JsslError

Mixed = tuple[jax.Array, jax.Array]


def mixup(key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float = 0.8) -> Mixed:
    """Blend each image with a partner: `ratio * image + (1 - ratio) * partner`.

    Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv
    1710.09412; the ratio is drawn from Beta(alpha, alpha).

    Args:
      key: one typed key.
      images: float `(B, H, W, C)`.
      targets: float `(B, K)`, the probability of each class.
      alpha: both parameters of the Beta distribution; positive.

    Returns:
      Images and targets, shaped as given.

    Raises:
      JsslError: `alpha` is not positive, or `targets` is not `(B, K)`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.augment.ops.mixing import mixup
      >>> images, labels = jnp.ones((4, 8, 8, 3)), jnp.array([0, 1, 2, 2])
      >>> images, targets = mixup(jax.random.key(0), images, jax.nn.one_hot(labels, 3))
      >>> print(images.shape, targets.sum(axis=1).round(3))
      (4, 8, 8, 3) [1. 1. 1. 1.]
    """
    ratio_key, partner_key = jax.random.split(key)
    weights, ratio = mixup_weights(ratio_key, images.shape[1], images.shape[2], alpha)
    return _combine(partner_key, images, targets, weights, ratio)


def cutmix(key: jax.Array, images: jax.Array, targets: jax.Array, alpha: float = 1.0) -> Mixed:
    """Replace a box of each image by the same box of a partner.

    Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable
    Features", ICCV 2019, arXiv 1905.04899. The targets are mixed by the area that is left after
    the box was cut to the image.

    Args:
      key: one typed key.
      images: float `(B, H, W, C)`.
      targets: float `(B, K)`, the probability of each class.
      alpha: both parameters of the Beta distribution of the area kept; positive.

    Returns:
      Images and targets, shaped as given.

    Raises:
      JsslError: `alpha` is not positive, or `targets` is not `(B, K)`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.augment.ops.mixing import cutmix
      >>> images, labels = jnp.ones((4, 8, 8, 3)), jnp.array([0, 1, 2, 2])
      >>> images, targets = cutmix(jax.random.key(0), images, jax.nn.one_hot(labels, 3))
      >>> print(images.shape, targets.sum(axis=1).round(3))
      (4, 8, 8, 3) [1. 1. 1. 1.]
    """
    box_key, partner_key = jax.random.split(key)
    weights, ratio = cutmix_weights(box_key, images.shape[1], images.shape[2], alpha)
    return _combine(partner_key, images, targets, weights, ratio)


def mix(
    key: jax.Array,
    images: jax.Array,
    targets: jax.Array,
    mixup_alpha: float = 0.8,
    cutmix_alpha: float = 1.0,
) -> Mixed:
    """Mixup or CutMix, one of the two for the whole batch, each with probability one half.

    Args:
      key: one typed key.
      images: float `(B, H, W, C)`.
      targets: float `(B, K)`, the probability of each class.
      mixup_alpha, cutmix_alpha: see `mixup` and `cutmix`.

    Returns:
      Images and targets, shaped as given.

    Raises:
      JsslError: an alpha is not positive, or `targets` is not `(B, K)`.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.augment.ops.mixing import mix
      >>> images, labels = jnp.ones((4, 8, 8, 3)), jnp.array([0, 1, 2, 2])
      >>> images, targets = mix(jax.random.key(0), images, jax.nn.one_hot(labels, 3))
      >>> print(images.shape, targets.sum(axis=1).round(3))
      (4, 8, 8, 3) [1. 1. 1. 1.]
    """
    chance_key, mixup_key, cutmix_key, partner_key = jax.random.split(key, 4)
    _, height, width, _ = images.shape
    blend, blend_ratio = mixup_weights(mixup_key, height, width, mixup_alpha)
    paste, paste_ratio = cutmix_weights(cutmix_key, height, width, cutmix_alpha)
    chosen = jax.random.bernoulli(chance_key)
    weights = jnp.where(chosen, blend, paste)
    ratio = jnp.where(chosen, blend_ratio, paste_ratio)
    return _combine(partner_key, images, targets, weights, ratio)


def mixup_weights(
    key: jax.Array, height: int, width: int, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """How much of its own image each pixel keeps, `(height, width)`, and the target, `()`.

    Examples:
      >>> import jax
      >>> from jssl.augment.ops.mixing import mixup_weights
      >>> weights, ratio = mixup_weights(jax.random.key(0), height=2, width=2, alpha=0.8)
      >>> print(weights.shape, bool((weights == ratio).all()))
      (2, 2) True
    """
    ratio = _draw_ratio(key, alpha)
    return jnp.broadcast_to(ratio, (height, width)), ratio


def cutmix_weights(
    key: jax.Array, height: int, width: int, alpha: float
) -> tuple[jax.Array, jax.Array]:
    """As `mixup_weights`, with weights 0 in a box and 1 outside.

    The box has the image's aspect and a fraction of its area that is one minus the ratio drawn;
    its centre is uniform over all pixels, so the image may cut it.

    Examples:
      >>> import jax
      >>> from jssl.augment.ops.mixing import cutmix_weights
      >>> weights, ratio = cutmix_weights(jax.random.key(0), height=8, width=8, alpha=1.0)
      >>> print(bool(weights.mean() == ratio))
      True
    """
    ratio_key, place_key = jax.random.split(key)
    image = jnp.array([height, width])
    sides = image * jnp.sqrt(1 - _draw_ratio(ratio_key, alpha))
    half = sides.astype(jnp.int32) // 2
    center = jax.random.randint(place_key, (2,), 0, image)
    first, last = jnp.maximum(center - half, 0), jnp.minimum(center + half, image)
    box = jnp.concatenate([first, last - first])
    weights = 1 - inside_box(box, height, width).astype(jnp.float32)
    return weights, 1 - jnp.prod(last - first) / (height * width)


def _draw_ratio(key: jax.Array, alpha: float) -> jax.Array:
    if not alpha > 0:
        raise JsslError(f'alpha is {alpha!r}; give a positive number, such as 0.8 for mixup.')
    return jax.random.beta(key, alpha, alpha, dtype=jnp.float32)


def _combine(
    key: jax.Array, images: jax.Array, targets: jax.Array, weights: jax.Array, ratio: jax.Array
) -> Mixed:
    """Mix images by `weights` (H, W) and targets by `ratio` with those of a drawn permutation."""
    if targets.ndim != 2 or len(targets) != len(images):
        raise JsslError(
            f'targets have shape {targets.shape} for {len(images)} images; give one row of class '
            'probabilities for each image, for labels jax.nn.one_hot(labels, num_classes).'
        )
    partner = jax.random.permutation(key, len(images))
    weights = weights[..., None].astype(images.dtype)
    mixed = weights * images + (1 - weights) * images[partner]
    ratio = ratio.astype(targets.dtype)
    return mixed, ratio * targets + (1 - ratio) * targets[partner]
