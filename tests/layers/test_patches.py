import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.errors import UnevenPatches
from jssl.layers.patches import enlarge_mask, patchify, unpatchify
from tests.checks import matrix, refused

IMAGES = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)


def test_a_patch_is_row_column_channel() -> None:
    patches = patchify(jnp.asarray(IMAGES), 2)
    assert patches.shape == (2, 6, 12)
    np.testing.assert_array_equal(patches[1, 4], IMAGES[1, 2:4, 2:4].ravel())
    np.testing.assert_array_equal(unpatchify(patches, 2, 4, 6), IMAGES)


def test_hand_made_value() -> None:
    """ALGORITHMS.md, golden value 6: image 0, patch 1."""
    images = matrix(48, 2, 0.4).reshape(2, 3, 4, 4).transpose(0, 2, 3, 1)
    expected = [0.89120736, 0.40484992, -0.26323179, 0.67546318]
    with jax.enable_x64(True):
        patches = patchify(jnp.asarray(images), 2)
    np.testing.assert_allclose(patches[0, 1, :4], np.array(expected), atol=1e-8)


def test_a_mask_covers_the_pixels_of_its_patches() -> None:
    mask = jnp.array([[[1, 0], [0, 1]]])
    np.testing.assert_array_equal(enlarge_mask(mask, 3)[0], np.kron(mask[0], np.ones((3, 3))))


def test_images_that_do_not_divide_are_refused() -> None:
    with refused('4 x 6 px', 'head.patch_size=4; views of 4 or 8 px do'):
        patchify(jnp.asarray(IMAGES), 4)


@pytest.mark.parametrize(
    ('side', 'patch', 'sides', 'smaller'),
    [(56, 16, '48 or 64', 14), (12, 16, '16', 12), (29, 4, '28 or 32', None)],
)
def test_sides_that_divide_are_named(
    side: int, patch: int, sides: str, smaller: int | None
) -> None:
    error = UnevenPatches(side, side, patch, 'config.it')
    assert f'patches of config.it={patch}; views of {sides} px do.' in str(error)
    assert error.smaller == smaller
