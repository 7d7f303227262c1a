import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.heads import MAEPretrainHead, SimMIMHead
from jssl.losses import masked_patch_error, masked_pixel_error
from tests.checks import matrix, refused

IMAGES = matrix(48, 2, 0.4).reshape(2, 3, 4, 4).transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    ('norm_pix', 'expected'), [(True, 1.4660516635231666), (False, 1.0115054225674938)]
)
def test_hand_made_value_of_mae(norm_pix: bool, expected: float) -> None:
    """ALGORITHMS.md, golden value 6."""
    head = MAEPretrainHead(norm_pix, patch_size=2)
    mask = np.array([[1, 0, 1, 1], [0, 1, 1, 0]])
    with jax.enable_x64(True):
        target = head.target(jnp.asarray(IMAGES))
        prediction = jnp.asarray(matrix(8, 12, 0.6).reshape(2, 4, 12))
        loss = masked_patch_error(prediction, target, jnp.asarray(mask))
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_hand_made_value_of_simmim() -> None:
    """ALGORITHMS.md, golden value 7."""
    prediction = matrix(24, 4, 0.6).reshape(2, 3, 4, 4).transpose(0, 2, 3, 1)
    mask = np.array([[[1, 0], [0, 1]], [[1, 1], [0, 0]]])
    with jax.enable_x64(True):
        hidden = SimMIMHead(patch_size=2).hidden(jnp.asarray(mask))
        loss = masked_pixel_error(jnp.asarray(prediction), jnp.asarray(IMAGES), hidden)
    assert float(loss) == pytest.approx(0.6620929929021381, rel=1e-12)


@pytest.mark.parametrize('norm_pix', [True, False])
def test_the_target_as_an_image_is_the_image(norm_pix: bool) -> None:
    head = MAEPretrainHead(norm_pix, patch_size=2)
    painted = head.to_images(head.target(jnp.asarray(IMAGES)), jnp.asarray(IMAGES))
    np.testing.assert_allclose(painted, IMAGES, atol=1e-5)


def test_a_prediction_of_nothing_is_each_normalised_patch_s_mean() -> None:
    painted = MAEPretrainHead(True, patch_size=2).to_images(
        jnp.zeros((2, 4, 12)), jnp.asarray(IMAGES)
    )
    assert float(painted[1, 0, 2, 0]) == pytest.approx(IMAGES[1, :2, 2:].mean(), rel=1e-5)


@pytest.mark.parametrize('head', [MAEPretrainHead, SimMIMHead])
def test_a_patch_has_pixels(head: type[MAEPretrainHead | SimMIMHead]) -> None:
    with refused(f'{head.__name__}.patch_size=0'):
        head(patch_size=0)


def test_patches_of_one_grey_pixel_have_no_deviation() -> None:
    with refused('head.norm_pix=True', 'one grey pixel'):
        MAEPretrainHead(norm_pix=True, patch_size=1).target(jnp.ones((1, 2, 2, 1)))
