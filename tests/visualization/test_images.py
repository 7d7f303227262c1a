import base64
import io

import numpy as np
import pytest
from PIL import Image

from jssl.errors import JsslError
from jssl.visualization.images import is_small, picture_uri, to_picture, view_grid


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def decode_uri(uri: str) -> tuple[str, Image.Image]:
    head, content = uri.split(',')
    return head, Image.open(io.BytesIO(base64.b64decode(content)))


@pytest.mark.parametrize('channels', [1, 3])
def test_grid_places_every_image(channels: int) -> None:
    views = noise(2, 3, 5, 4, channels)
    grid = np.asarray(view_grid(views, gap=2))
    assert grid.shape == (5 + 2 + 5, 4 + 4 + (2 + 4 + 2) + 4 - 2 + 2 - 2 + 2, 4)
    for row, top in enumerate((0, 7)):
        for column, left in enumerate((0, 10, 16)):
            cell = grid[top : top + 5, left : left + 4]
            np.testing.assert_array_equal(
                cell[..., :3], np.broadcast_to(views[row, column], (5, 4, 3))
            )
            assert (cell[..., 3] == 255).all()
    assert not grid[:, 4:10, 3].any(), 'the gap beside the originals is transparent'


def test_transparent_images_stay_transparent() -> None:
    image = noise(5, 4, 4)
    np.testing.assert_array_equal(np.asarray(view_grid(image[None, None])), image)


def test_grid_shrinks_large_images_only() -> None:
    assert view_grid(noise(1, 1, 40, 80, 3), side=20).size == (20, 10)
    assert view_grid(noise(1, 1, 8, 8, 3), side=20).size == (8, 8)


def test_pictures_are_stored_exactly_or_small() -> None:
    image = noise(32, 32, 3)
    head, picture = decode_uri(picture_uri(to_picture(image), lossless=True))
    assert head == 'data:image/png;base64'
    np.testing.assert_array_equal(np.asarray(picture), image)
    head, picture = decode_uri(picture_uri(to_picture(noise(400, 400, 3)), lossless=False))
    assert head == 'data:image/webp;base64'
    assert picture.size == (400, 400)
    assert [is_small(noise(side, 8, 3)) for side in (64, 65)] == [True, False]


@pytest.mark.parametrize('shape', [(4, 4), (4, 4, 2), (4, 4, 5)])
def test_images_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(JsslError, match='cannot be shown'):
        to_picture(noise(*shape))


def test_images_that_are_not_uint8_are_refused() -> None:
    with pytest.raises(JsslError, match='normalised views'):
        view_grid(np.zeros((1, 1, 4, 4, 3), np.float32))
    with pytest.raises(JsslError, match='rows, columns'):
        view_grid(noise(3, 4, 4, 3))
