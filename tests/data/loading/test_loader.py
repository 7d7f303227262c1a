"""Batches that depend on nothing but (seed, step), whoever decodes them."""

import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jssl.data import Canvas
from jssl.data.loading.loader import Loader, fits_on_device, read_labels, resident
from jssl.data.loading.samplers import ClassBalanced, Sequential
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources import TFDS, Arrays, Folder, ImageList, Sample
from tests.checks import refused, structure

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (*shape, 3), np.uint8) for shape in RNG.integers(4, 20, (22, 2))]
LABELS = RNG.integers(0, 5, 22)
SOURCE = Arrays(IMAGES, labels=LABELS)
BROKEN: list[Sample] = [{'image': image, 'label': row} for row, image in enumerate(IMAGES[:7])]
BROKEN.append({'image': b'no image', 'label': 7})

LEFT_RUNNING = """
import numpy as np
from jssl.data.loading.loader import Loader
from jssl.data.sources import Arrays
batches = Loader(Arrays(np.zeros((64, 200, 200, 3), np.uint8)), batch_size=64, canvas=100).iterate()
print(next(batches)['index'].shape)
"""


def assert_same(batch: Any, other: Any) -> None:
    assert structure(batch) == structure(other)
    for found, wanted in zip(jax.tree.leaves(batch), jax.tree.leaves(other), strict=True):
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def first(loader: Loader, count: int, start: int = 0) -> list[Any]:
    return list(itertools.islice(loader.iterate(start), count))


def test_a_batch_holds_the_decoded_samples() -> None:
    batch = Loader(SOURCE, batch_size=6, canvas=20)[7]
    assert jax.tree.map(lambda array: (array.shape, array.dtype.name), batch) == {
        'canvas': Canvas(((6, 20, 20, 3), 'uint8'), ((6, 2), 'int32')),
        'index': ((6,), 'int32'),
        'label': ((6,), 'int32'),
    }
    for row, index in enumerate(batch['index']):
        pixels, (height, width) = batch['canvas'].pixels[row], batch['canvas'].size[row]
        np.testing.assert_array_equal(pixels[:height, :width], IMAGES[index])
        assert pixels.sum() == IMAGES[index].sum()
        assert batch['label'][row] == LABELS[index]


def test_without_labels_a_batch_has_none() -> None:
    assert 'label' not in Loader(Arrays(IMAGES), batch_size=4, canvas=20)[0]


def test_grey_canvases() -> None:
    assert Loader(SOURCE, batch_size=4, canvas=20, channels=1)[0]['canvas'].pixels.shape[-1] == 1


@pytest.mark.parametrize('threads', [0, 1, 2, 4, 40])
@pytest.mark.parametrize('prefetch', [1, 3])
def test_threads_and_prefetching_change_nothing(threads: int, prefetch: int) -> None:
    loader = Loader(SOURCE, batch_size=6, canvas=20, threads=threads, prefetch=prefetch)
    for step, batch in enumerate(first(loader, 8)):
        assert_same(batch, Loader(SOURCE, batch_size=6, canvas=20)[step])


@settings(deadline=None, max_examples=25)
@given(
    start=st.integers(0, 10**6),
    batch_size=st.integers(1, 22),
    seed=st.integers(0, 2**32 - 1),
    threads=st.sampled_from([0, 1, 3]),
)
def test_resuming_at_any_step_equals_skipping_to_it(
    start: int, batch_size: int, seed: int, threads: int
) -> None:
    loader = Loader(SOURCE, batch_size, canvas=12, seed=seed, threads=threads)
    for offset, batch in enumerate(first(loader, 3, start)):
        assert_same(batch, loader[start + offset])


def test_iterating_a_loader_starts_at_step_0() -> None:
    loader = Loader(SOURCE, batch_size=6, canvas=20)
    assert_same(next(iter(loader)), loader[0])


@pytest.mark.parametrize('only_index', [False, True])
@pytest.mark.parametrize('count', [2, 4])
def test_the_shares_of_all_processes_are_the_batch_of_one(only_index: bool, count: int) -> None:
    options: dict[str, Any] = {'batch_size': 8, 'canvas': 20, 'seed': 1, 'resident': only_index}
    shares = [Loader(SOURCE, shards=(p, count), **options)[3] for p in range(count)]
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), *shares)
    assert_same(joined, Loader(SOURCE, **options)[3])


def test_the_resident_set_gives_the_streamed_batches() -> None:
    data = resident(SOURCE, 20, threads=3)
    indices = first(Loader(SOURCE, batch_size=6, canvas=20, resident=True), 9, start=2)
    streamed = first(Loader(SOURCE, batch_size=6, canvas=20), 9, start=2)
    for index, batch in zip(indices, streamed, strict=True):
        assert index.keys() == {'index'}
        gathered = jax.tree.map(lambda value, rows=index['index']: value[rows], data)
        assert_same(index | gathered, batch)


def test_the_resident_set_of_real_files(digits_dir: str) -> None:
    source = TFDS('embedded_digits', 'test[:50]', digits_dir)
    data = resident(source, 32)
    batch = Loader(source, batch_size=50, canvas=32)[0]
    gathered = data['canvas'].pixels[batch['index']]
    np.testing.assert_array_equal(gathered, batch['canvas'].pixels)
    np.testing.assert_array_equal(data['label'][batch['index']], batch['label'])


def test_some_rows_of_the_resident_set() -> None:
    rows = np.array([5, 0, 5])
    whole, some = resident(SOURCE, 20), resident(SOURCE, 20, rows=rows)
    assert_same(some, jax.tree.map(lambda value: value[rows], whole))


def test_what_fits_on_the_device() -> None:
    assert fits_on_device(50_000, canvas=32)
    assert not fits_on_device(1_281_167, canvas=512)
    assert fits_on_device(10, canvas=8, channels=1, budget=640)
    assert not fits_on_device(10, canvas=8, channels=1, budget=639)


def test_the_sampler_decides_on_the_samples() -> None:
    loader = Loader(SOURCE, batch_size=6, canvas=20, sampler=Sequential())
    assert loader[4]['index'].tolist() == [6, 7, 8, 9, 10, 11]


def test_new_labels_change_what_is_seen_from_the_next_epoch_on() -> None:
    loader = Loader(SOURCE, batch_size=11, canvas=20, sampler=ClassBalanced())
    rare = np.zeros(22, np.int64)
    rare[3] = 1
    later = loader.with_labels(rare)
    seen = np.concatenate([batch['index'] for batch in first(later, 2, start=6)])
    assert 9 <= (seen == 3).sum() <= 12  # a class of one image is half of the epoch
    assert_same(later[6], loader.with_labels(rare.tolist())[6])
    assert (loader[6]['index'] != later[6]['index']).any()
    np.testing.assert_array_equal(later[6]['label'], LABELS[later[6]['index']])
    with refused('21 labels for 22 samples'):
        loader.with_labels(rare[1:])


def test_labels_of_sources(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_labels(SOURCE), LABELS.tolist())
    np.testing.assert_array_equal(read_labels([{'image': IMAGES[0], 'label': 4}]), [4])
    assert read_labels(Arrays(IMAGES)) is None
    for name in ('a/0.png', 'b/1.png', 'b/2.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()  # the labels of a folder are known without reading its files
    np.testing.assert_array_equal(read_labels(Folder(str(tmp_path))), [0, 1, 1])
    (tmp_path / 'list.txt').write_text('a/0.png 3\nb/1.png 1\n')
    np.testing.assert_array_equal(read_labels(ImageList(str(tmp_path / 'list.txt'))), [3, 1])


def test_a_batch_that_does_not_fit_the_set_is_refused() -> None:
    with refused('batch_size is 23 ', '22 samples; set batch_size'):
        Loader(SOURCE, batch_size=23, canvas=20)


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with refused('batch_size is 6, which 4 processes', 'multiple of 4'):
        Loader(SOURCE, batch_size=6, canvas=20, shards=(0, 4))


def test_a_negative_step_is_no_batch() -> None:
    with pytest.raises(IndexError, match='step -1'):
        Loader(SOURCE, batch_size=6, canvas=20)[-1]


@pytest.mark.parametrize('threads', [0, 2])
def test_a_broken_image_is_replaced_counted_and_named_once(threads: int) -> None:
    said: list[str] = []
    bad_samples = BadSamples(8, 0.2, said.append)
    loader = Loader(BROKEN, 8, canvas=20, threads=threads, bad_samples=bad_samples)
    for batch in first(loader, 3):
        rows = np.argsort(batch['index'])
        assert batch['label'][rows].tolist() == [0, 1, 2, 3, 4, 5, 6, 0]
        pixels = batch['canvas'].pixels
        np.testing.assert_array_equal(pixels[rows[7]], pixels[rows[0]])
    assert_same(loader[0], first(loader, 1)[0])
    assert bad_samples.count == len(said) == 1
    assert 'sample 7' in said[0]
    data = resident(BROKEN, 20, bad_samples=bad_samples)
    assert data['label'].tolist() == [0, 1, 2, 3, 4, 5, 6, 0]
    assert bad_samples.count == 1


def test_without_a_share_that_is_allowed_a_broken_image_is_an_error() -> None:
    named = ('1 of 8 samples cannot be read', 'sample 7')
    with refused(*named):
        Loader(BROKEN, batch_size=8, canvas=20)[0]
    with refused(*named):
        next(Loader(BROKEN, batch_size=8, canvas=20).iterate())
    with refused(*named):
        resident(BROKEN, 20)


def test_a_missing_label_is_named() -> None:
    with refused('sample 1 of the data set has no label'):
        resident([{'image': IMAGES[0], 'label': 0}, {'image': IMAGES[1]}], 20)


def test_a_loader_left_running_does_not_keep_the_program_alive() -> None:
    command = [sys.executable, '-c', LEFT_RUNNING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, '(64,)', '')
