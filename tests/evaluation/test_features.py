import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jssl.algorithm import Algorithm, Params, State
from jssl.augment.views import CenterView
from jssl.data import Arrays, resident
from jssl.errors import JsslError
from jssl.evaluation.features import ArrayBatches, SourceBatches, make_extractor, raw_pixels

SIDE = 8
VIEW = CenterView(size=SIDE, resize=SIDE, mean=(0.0, 0.0, 0.0), std=(51.0, 51.0, 51.0))
PARAMS, STATE = {'scale': jnp.float32(2)}, {'offset': jnp.float32(1)}


@dataclasses.dataclass(frozen=True)
class ChannelMeans(Algorithm):
    """The smallest network there is; counts how often it is traced."""

    traces: list[tuple[int, ...]]

    def extract_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        self.traces.append(images.shape)
        return (params['scale'] * images.mean(axis=(1, 2)) + state['offset']).astype(jnp.bfloat16)


@pytest.fixture(scope='module')
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (21, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture(scope='module')
def arrays(images: np.ndarray) -> dict[str, Any]:
    return resident(Arrays(images, np.arange(21) % 3), canvas=SIDE)


def expected(images: np.ndarray) -> np.ndarray:
    means = images.astype(np.float64).mean(axis=(1, 2)) / 51
    return 2 * means + 1


def test_extracts_in_order_and_compiles_once(images: np.ndarray, arrays: dict[str, Any]) -> None:
    algorithm = ChannelMeans(traces=[])
    extract = make_extractor(algorithm, VIEW)
    features, labels = extract(PARAMS, STATE, ArrayBatches(arrays, batch_size=8))
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected(images), rtol=1e-2)  # bfloat16
    np.testing.assert_array_equal(labels, np.arange(21) % 3)
    again, _ = extract(PARAMS, STATE, ArrayBatches(arrays, batch_size=8))
    np.testing.assert_array_equal(again, features)
    assert algorithm.traces == [(8, SIDE, SIDE, 3)]


@pytest.mark.parametrize('batch_size', [1, 7, 21, 100])
def test_batch_size_does_not_matter(arrays: dict[str, Any], batch_size: int) -> None:
    extract = make_extractor(ChannelMeans(traces=[]), VIEW)
    whole, _ = extract(PARAMS, STATE, ArrayBatches(arrays, batch_size=21))
    parts, labels = extract(PARAMS, STATE, ArrayBatches(arrays, batch_size=batch_size))
    np.testing.assert_array_equal(parts, whole)
    assert labels is not None
    assert len(labels) == 21


@pytest.mark.parametrize('axes', [(8,), (2, 4)])
def test_sharded_batches_give_the_same(arrays: dict[str, Any], axes: tuple[int, ...]) -> None:
    """Ten rows a batch do not divide over eight devices; padding makes them."""
    names = ('data', 'fsdp')[: len(axes)]
    mesh = jax.make_mesh(axes, names, axis_types=(AxisType.Auto,) * len(axes))
    algorithm = ChannelMeans(traces=[])
    extract = make_extractor(algorithm, VIEW, NamedSharding(mesh, P(names)))
    single = make_extractor(algorithm, VIEW)
    batches = ArrayBatches(arrays, batch_size=10)
    sharded, labels = extract(PARAMS, STATE, batches)
    np.testing.assert_array_equal(sharded, single(PARAMS, STATE, batches).features)
    np.testing.assert_array_equal(labels, np.arange(21) % 3)
    assert algorithm.traces[0] == (16, SIDE, SIDE, 3)


def test_chosen_rows_from_memory_and_from_a_source(
    images: np.ndarray, arrays: dict[str, Any]
) -> None:
    rows = np.array([3, 1, 20, 7, 7])
    extract = make_extractor(ChannelMeans(traces=[]), VIEW)
    kept = ArrayBatches(arrays, 2, rows)
    decoded = SourceBatches(Arrays(images, np.arange(21) % 3), 2, SIDE, rows, threads=2)
    for batches in (kept, decoded, decoded):  # twice: batches can be gone through again
        features, labels = extract(PARAMS, STATE, batches)
        np.testing.assert_allclose(features, expected(images)[rows], rtol=1e-2)
        np.testing.assert_array_equal(labels, rows % 3)


def test_all_rows_of_a_source_without_labels(images: np.ndarray) -> None:
    batches = SourceBatches(Arrays(images), 16, SIDE)
    features, labels = make_extractor(ChannelMeans(traces=[]), VIEW)(PARAMS, STATE, batches)
    assert features.shape == (21, 3)
    assert labels is None


def test_arrays_on_the_device_work_as_well(images: np.ndarray, arrays: dict[str, Any]) -> None:
    on_device = jax.tree.map(jnp.asarray, dict(arrays))
    batches = ArrayBatches(on_device, batch_size=8)
    features, _ = make_extractor(ChannelMeans(traces=[]), VIEW)(PARAMS, STATE, batches)
    np.testing.assert_allclose(features, expected(images), rtol=1e-2)


def test_bad_batches_are_named(arrays: dict[str, Any]) -> None:
    extract = make_extractor(ChannelMeans(traces=[]), VIEW)
    with pytest.raises(JsslError, match='the set is empty'):
        extract(PARAMS, STATE, [])
    short, long = (jax.tree.map(lambda array, n=n: array[:n], arrays) for n in (2, 5))
    with pytest.raises(JsslError, match='5 images follows one of 2'):
        extract(PARAMS, STATE, [short, long])


def test_raw_pixels_are_the_normalised_image(images: np.ndarray, arrays: dict[str, Any]) -> None:
    features, labels = raw_pixels(VIEW, ArrayBatches(arrays, batch_size=8))
    np.testing.assert_allclose(features, images.reshape(21, -1) / 51, rtol=1e-6)
    assert labels is not None
    assert len(labels) == 21


def test_raw_pixels_of_large_views_are_shrunk(images: np.ndarray, arrays: dict[str, Any]) -> None:
    """Halving with an antialiased filter keeps the mean of every image, up to its borders."""
    features, _ = raw_pixels(VIEW, ArrayBatches(arrays, batch_size=8), side=4)
    assert features.shape == (21, 4 * 4 * 3)
    means = features.reshape(21, 16, 3).mean(axis=1)
    np.testing.assert_allclose(means, images.mean(axis=(1, 2)) / 51, atol=0.25)
