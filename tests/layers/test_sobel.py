import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.layers.sobel import sobel

KERNELS = [[[1, 0, -1], [2, 0, -2], [1, 0, -1]], [[1, 2, 1], [0, 0, 0], [-1, -2, -1]]]


def test_the_two_frozen_convolutions_of_the_reference() -> None:
    torch = pytest.importorskip('torch')
    images = jax.random.normal(jax.random.key(0), (2, 5, 7, 3))
    gray = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).mean(1, keepdim=True)
    kernels = torch.tensor(KERNELS, dtype=torch.float32)[:, None]
    expected = torch.nn.functional.conv2d(gray, kernels, padding=1)
    np.testing.assert_allclose(sobel(images), expected.permute(0, 2, 3, 1), atol=1e-5)


def test_an_edge_is_seen_by_the_gradient_across_it() -> None:
    images = jnp.zeros((1, 6, 6, 1)).at[:, :, 3:].set(1)
    edges = sobel(images)[0, 2]  # a row in the middle
    np.testing.assert_array_equal(edges[:-1], [[0, 0], [0, 0], [-4, 0], [-4, 0], [0, 0]])
