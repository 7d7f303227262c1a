"""The order of samples, and batches that depend on nothing but (seed, step)."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from jssl.data.loader import Loader, Order, fits_on_device, resident
from jssl.data.sources import TFDS, Arrays
from jssl.errors import JsslError

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (*shape, 3), np.uint8) for shape in RNG.integers(4, 20, (22, 2))]
SOURCE = Arrays(IMAGES, labels=RNG.integers(0, 5, 22))

LEFT_RUNNING = """
import numpy as np
from jssl.data.loader import Loader
from jssl.data.sources import Arrays
batches = Loader(Arrays(np.zeros((64, 200, 200, 3), np.uint8)), batch_size=64, canvas=100).iterate()
print(next(batches)['index'].shape)
"""


def assert_same(batch, other):
    assert batch.keys() == other.keys()
    for key in batch:
        assert batch[key].dtype == other[key].dtype
        np.testing.assert_array_equal(batch[key], other[key])


def first(loader: Loader, count: int, start: int = 0):
    return list(itertools.islice(loader.iterate(start), count))


def test_an_epoch_is_a_permutation_without_what_fills_no_batch():
    order = Order(length=22, batch_size=5, seed=3)
    assert order.steps_per_epoch == 4
    for epoch in range(3):
        samples = np.concatenate([order(4 * epoch + step) for step in range(4)])
        assert len(set(samples)) == 20
        assert set(samples) <= set(range(22))


def test_every_sample_is_seen_when_batches_divide_the_set():
    order = Order(length=20, batch_size=5)
    for epoch in range(3):
        samples = np.concatenate([order(4 * epoch + step) for step in range(4)])
        assert sorted(samples) == list(range(20))


def test_epochs_and_seeds_differ_and_neighbouring_seeds_share_no_epoch():
    epochs = [Order(20, 20, seed)(step).tolist() for seed in range(4) for step in range(4)]
    assert len({tuple(epoch) for epoch in epochs}) == 16


def test_the_order_is_the_same_in_every_version():
    assert Order(length=10, batch_size=4, seed=0)(0).tolist() == [5, 8, 9, 7]
    assert Order(length=10, batch_size=4, seed=0)(10**7).tolist() == [7, 0, 6, 9]


def test_a_batch_holds_the_decoded_samples():
    batch = Loader(SOURCE, batch_size=6, canvas=20)[7]
    assert {key: (value.shape, value.dtype.name) for key, value in batch.items()} == {
        'canvas': ((6, 20, 20, 3), 'uint8'),
        'size': ((6, 2), 'int32'),
        'index': ((6,), 'int32'),
        'label': ((6,), 'int32'),
    }
    for row, index in enumerate(batch['index']):
        height, width = batch['size'][row]
        np.testing.assert_array_equal(batch['canvas'][row, :height, :width], IMAGES[index])
        assert batch['canvas'][row].sum() == IMAGES[index].sum()
        assert batch['label'][row] == SOURCE.labels[index]


def test_without_labels_a_batch_has_none():
    assert 'label' not in Loader(Arrays(IMAGES), batch_size=4, canvas=20)[0]


def test_grey_canvases():
    assert Loader(SOURCE, batch_size=4, canvas=20, channels=1)[0]['canvas'].shape[-1] == 1


@pytest.mark.parametrize('threads', [1, 2, 5, 40])
@pytest.mark.parametrize('prefetch', [1, 3])
def test_threads_and_prefetching_change_nothing(threads, prefetch):
    loader = Loader(SOURCE, batch_size=6, canvas=20, threads=threads, prefetch=prefetch)
    for step, batch in enumerate(first(loader, 8)):
        assert_same(batch, Loader(SOURCE, batch_size=6, canvas=20)[step])


def test_starting_at_a_step_equals_skipping_to_it():
    loader = Loader(SOURCE, batch_size=6, canvas=20, seed=4)
    for batch, other in zip(first(loader, 3, start=5), first(loader, 8)[5:], strict=True):
        assert_same(batch, other)


def test_iterating_a_loader_starts_at_step_0():
    loader = Loader(SOURCE, batch_size=6, canvas=20)
    assert_same(next(iter(loader)), loader[0])


@pytest.mark.parametrize('only_index', [False, True])
def test_the_shares_of_all_processes_are_the_batch_of_one(only_index):
    options = {'batch_size': 8, 'canvas': 20, 'seed': 1, 'resident': only_index}
    shares = [Loader(SOURCE, shards=(p, 4), **options)[3] for p in range(4)]
    joined = {key: np.concatenate([share[key] for share in shares]) for key in shares[0]}
    assert_same(joined, Loader(SOURCE, **options)[3])


def test_the_resident_set_gives_the_streamed_batches():
    data = resident(SOURCE, 20, threads=3)
    indices = first(Loader(SOURCE, batch_size=6, canvas=20, resident=True), 9, start=2)
    for index, batch in zip(
        indices, first(Loader(SOURCE, batch_size=6, canvas=20), 9, start=2), strict=True
    ):
        assert index.keys() == {'index'}
        gathered = {key: value[index['index']] for key, value in data.items()}
        assert_same(index | gathered, batch)


def test_the_resident_set_of_real_files(digits_dir):
    source = TFDS('embedded_digits', 'test[:50]', digits_dir)
    data = resident(source, 32)
    batch = Loader(source, batch_size=50, canvas=32)[0]
    np.testing.assert_array_equal(data['canvas'][batch['index']], batch['canvas'])
    np.testing.assert_array_equal(data['label'][batch['index']], batch['label'])


def test_what_fits_on_the_device():
    assert fits_on_device(50_000, canvas=32)
    assert not fits_on_device(1_281_167, canvas=512)
    assert fits_on_device(10, canvas=8, channels=1, budget=640)
    assert not fits_on_device(10, canvas=8, channels=1, budget=639)


@pytest.mark.parametrize('batch_size', [23, 0, -1])
def test_a_batch_that_does_not_fit_the_set_is_refused(batch_size):
    with pytest.raises(
        JsslError, match=rf'batch_size is {batch_size} .* 22 samples; set batch_size'
    ):
        Loader(SOURCE, batch_size=batch_size, canvas=20)


def test_a_batch_that_processes_cannot_share_is_refused():
    with pytest.raises(JsslError, match=r'batch_size is 6, which 4 processes .* multiple of 4'):
        Loader(SOURCE, batch_size=6, canvas=20, shards=(0, 4))


def test_a_negative_seed_is_refused():
    with pytest.raises(JsslError, match='seed is -1'):
        Loader(SOURCE, batch_size=6, canvas=20, seed=-1)


def test_a_negative_step_is_no_batch():
    with pytest.raises(IndexError, match='step -1'):
        Loader(SOURCE, batch_size=6, canvas=20)[-1]


def test_a_broken_image_is_named_by_its_index():
    source = [{'image': image} for image in IMAGES[:7]] + [{'image': b'no image'}]
    expected = 'sample 7 of the data set: .*cannot be decoded'
    with pytest.raises(JsslError, match=expected):
        Loader(source, batch_size=8, canvas=20)[0]
    with pytest.raises(JsslError, match=expected):
        next(Loader(source, batch_size=8, canvas=20).iterate())
    with pytest.raises(JsslError, match=expected):
        resident(source, 20)


def test_a_loader_left_running_does_not_keep_the_program_alive():
    command = [sys.executable, '-c', LEFT_RUNNING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, '(64,)', '')
