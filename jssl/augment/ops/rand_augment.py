"""RandAugment on the device: a few random operations of one strength.

Cubuk, Zoph, Shlens, Le, "RandAugment: Practical automated data augmentation with a reduced search
space", NeurIPS 2020, arXiv 1909.13719, with the set of operations that grow stronger with their
level ("increasing") of timm, as the reference's fine-tuning recipes use it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jssl.augment.ops import color, geometry, tone
from jssl.augment.ops.normalize import IMAGENET_MEAN
from jssl.errors import JsslError

OPERATIONS = (
    'auto_contrast',
    'equalize',
    'invert',
    'posterize',  # to ceil(4 - 4 x) bits, where x in [0, 1] is the strength
    'solarize',  # levels from 256 - 256 x on
    'solarize_add',  # 110 x to the levels below 128
    'saturation',  # factor 1 ± 0.9 x, the sign random; so are the following three
    'contrast',
    'brightness',
    'sharpness',
    'rotate',  # by ± 30 x degrees
    'shear_x',  # by ± 0.3 x
    'shear_y',
    'translate_x',  # by ± 0.45 x of the width
    'translate_y',
)
HIGHEST_LEVEL = 10
FILL = tuple(float(round(mean)) for mean in IMAGENET_MEAN)

TONES: tuple[Callable[..., jax.Array], ...] = (
    lambda image, strength, sign: tone.auto_contrast(image),
    lambda image, strength, sign: tone.equalize(image),
    lambda image, strength, sign: tone.invert(image),
    lambda image, strength, sign: tone.posterize(image, jnp.ceil(4 - 4 * strength)),
    lambda image, strength, sign: color.solarize(image, 256 - 256 * strength),
    lambda image, strength, sign: solarize_add(image, 110 * strength),
    lambda image, strength, sign: color.adjust_saturation(image, 1 + 0.9 * sign * strength),
    lambda image, strength, sign: color.adjust_contrast(image, 1 + 0.9 * sign * strength),
    lambda image, strength, sign: color.adjust_brightness(image, 1 + 0.9 * sign * strength),
    lambda image, strength, sign: tone.adjust_sharpness(image, 1 + 0.9 * sign * strength),
)


class Draw(NamedTuple):
    """What is done to an image: arrays of one entry for each operation, first to last.

    Attributes:
      operation: int32, an index of `OPERATIONS`.
      strength: float32 in [0, 1].
      sign: float32, 1 or -1.
      applied: bool, whether the operation is done at all.
    """

    operation: jax.Array
    strength: jax.Array
    sign: jax.Array
    applied: jax.Array


def draw_operations(
    key: jax.Array, count: int = 2, level: float = 9.0, std: float = 0.5, probability: float = 0.5
) -> Draw:
    """Draw operations, with replacement as in the reference.

    Args:
      key: one typed key.
      count: how many.
      level: mean of the normal distribution of the level, which is clipped to 0..10; the strength
        is a tenth of the level.
      std: deviation of that distribution.
      probability: how often an operation that was drawn is applied; timm and the reference say 0.5.

    Returns:
      The draw; each field is `(count,)`.

    Examples:
      >>> import jax
      >>> from jssl.augment.ops.rand_augment import draw_operations
      >>> draw = draw_operations(jax.random.key(0), count=2, level=5.0, std=0.0)
      >>> print(draw.operation.shape, draw.strength)
      (2,) [0.5 0.5]
    """
    operation_key, level_key, sign_key, chance_key = jax.random.split(key, 4)
    levels = level + std * jax.random.normal(level_key, (count,), jnp.float32)
    return Draw(
        operation=jax.random.randint(operation_key, (count,), 0, len(OPERATIONS)),
        strength=jnp.clip(levels, 0, HIGHEST_LEVEL) / HIGHEST_LEVEL,
        sign=jax.random.rademacher(sign_key, (count,), jnp.float32),
        applied=jax.random.uniform(chance_key, (count,), jnp.float32) < probability,
    )


def solarize_add(image: jax.Array, amount: jax.Array | float) -> jax.Array:
    """Add `amount`, truncated where it is no whole level, to the levels below 128.

    Args:
      image: float32 `(H, W, C)`, whole levels 0..255.
      amount: in levels; may be traced.

    Returns:
      Float32 `(H, W, C)`, whole levels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.rand_augment import solarize_add
      >>> print(solarize_add(jnp.array([[[100.0, 120.0, 200.0]]]), 50))
      [[[150. 170. 200.]]]
    """
    return jnp.where(image < 128, jnp.minimum(image + jnp.floor(amount), 255), image)


def _warp_matrix(operation: jax.Array, magnitude: jax.Array, height: int, width: int) -> jax.Array:
    """The matrix of a geometric operation, which is one of the last five of `OPERATIONS`."""
    matrices = jnp.stack(
        [
            geometry.rotation_matrix(30 * magnitude, height, width),
            geometry.shear_matrix(x=0.3 * magnitude),
            geometry.shear_matrix(y=0.3 * magnitude),
            geometry.translation_matrix(x=0.45 * magnitude * width),
            geometry.translation_matrix(y=0.45 * magnitude * height),
        ]
    )
    return matrices[operation - len(TONES)]


def apply_operation(
    image: jax.Array,
    draw: Draw,
    interpolation: str = 'bicubic',
    fill: Sequence[float] | float = FILL,
) -> jax.Array:
    """Apply one operation.

    All geometric operations are one branch with another matrix, for under `vmap` every branch is
    evaluated and they are the dearest.

    Args:
      image: float32 `(H, W, 3)`, whole levels 0..255.
      draw: one operation; each field is a scalar.
      interpolation, fill: of the geometric operations, see `geometry.affine`.

    Returns:
      Float32 `(H, W, 3)`, whole levels.

    Examples:
      >>> import jax.numpy as jnp
      >>> from jssl.augment.ops.rand_augment import OPERATIONS, Draw, apply_operation
      >>> operation, one = jnp.array(OPERATIONS.index('invert')), jnp.array(1.0)
      >>> draw = Draw(operation, strength=one, sign=one, applied=jnp.array(True))
      >>> print(apply_operation(jnp.array([[[200.0, 100.0, 50.0]]]), draw))
      [[[ 55. 155. 205.]]]
    """
    height, width, _ = image.shape

    def warp(image: jax.Array, strength: jax.Array, sign: jax.Array) -> jax.Array:
        matrix = _warp_matrix(draw.operation, sign * strength, height, width)
        return geometry.affine(image, matrix, interpolation, fill)

    branch = jnp.minimum(draw.operation, len(TONES))
    changed = lax.switch(branch, (*TONES, warp), image, draw.strength, draw.sign)
    return jnp.where(draw.applied, changed, image)


def rand_augment(
    key: jax.Array,
    image: jax.Array,
    count: int = 2,
    level: float = 9.0,
    std: float = 0.5,
    interpolation: str = 'bicubic',
    fill: Sequence[float] | float = FILL,
) -> jax.Array:
    """Apply `count` random operations, one after the other, each with probability one half.

    Args:
      key: one typed key.
      image: float32 `(H, W, 3)`, whole levels 0..255.
      count, level, std: see `draw_operations`.
      interpolation, fill: of the geometric operations, see `geometry.affine`.

    Returns:
      Float32 `(H, W, 3)`, whole levels.

    Raises:
      JsslError: the image has not three channels, or `interpolation` is not known.

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.augment.ops.rand_augment import rand_augment
      >>> keys, images = jax.random.split(jax.random.key(0), 4), jnp.ones((4, 32, 32, 3))
      >>> print(jax.eval_shape(jax.vmap(rand_augment), keys, images).shape)
      (4, 32, 32, 3)
    """
    if image.shape[-1] != 3:
        raise JsslError(
            f'RandAugment changes colours but the image has {image.shape[-1]} channel(s); leave it '
            'out of the view, or convert the images to RGB.'
        )

    def apply(image: jax.Array, draw: Draw) -> tuple[jax.Array, None]:
        return apply_operation(image, draw, interpolation, fill), None

    return lax.scan(apply, image, draw_operations(key, count, level, std))[0]
