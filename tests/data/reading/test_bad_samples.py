"""Broken samples: their substitutes, their names in the log, and when they are too many."""

import dataclasses
import itertools
import re
import threading
import zipfile
import zlib
from typing import Any, NoReturn

import numpy as np
import pytest

from jssl.data.loading.loader import Loader, read_labels
from jssl.data.reading.bad_samples import NAMED, BadSamples, read, read_into
from jssl.data.reading.decoding import decode
from jssl.data.sources import Arrays, Sample, has_labels
from jssl.data.sources.reading import TRIES
from jssl.errors import JsslError
from tests.checks import refused

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
BROKEN = b'no image'


class Missing:
    """A user's own source of files, of which some cannot be opened."""

    def __init__(self, missing: set[int], length: int = 6) -> None:
        self.missing, self.length, self.asked = missing, length, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        self.asked += 1
        if index in self.missing:
            raise FileNotFoundError(2, 'No such file or directory', f'{index}.jpg')
        return {'image': IMAGES[index % len(IMAGES)], 'label': index}

    def name_of(self, index: int) -> str:
        return f'folder/{index}.jpg'


def test_a_sample_that_can_be_read_is_itself() -> None:
    found = read(Arrays(IMAGES, labels=range(6)), 4, canvas=8)
    np.testing.assert_array_equal(found.canvas.pixels, decode(IMAGES[4], 8).pixels)
    assert tuple(found.canvas.size) == (5, 4)
    assert found[1:] == (4, None)


def test_it_is_read_onto_a_canvas_that_held_another() -> None:
    row = np.full((8, 8, 3), 7, np.uint8)
    found = read_into(Arrays(IMAGES), 4, row)
    assert found.canvas.pixels is row
    np.testing.assert_array_equal(row, decode(IMAGES[4], 8).pixels)


def test_without_labels_there_is_none() -> None:
    assert read(Arrays(IMAGES), 0, canvas=8).label is None


def test_grey_canvases() -> None:
    assert read(Arrays(IMAGES), 0, canvas=8, channels=1).canvas.pixels.shape == (8, 8, 1)


def test_the_next_readable_sample_takes_the_place_with_its_own_label() -> None:
    source: list[Sample] = [
        {'image': image, 'label': 10 + index} for index, image in enumerate(IMAGES)
    ]
    source[2]['image'] = source[3]['image'] = BROKEN
    found: Any = read(source, 2, canvas=8)
    np.testing.assert_array_equal(found.canvas.pixels, decode(IMAGES[4], 8).pixels)
    assert found.label == 14
    assert found.broken.fault.startswith('sample 2: the image (8 bytes) cannot be decoded')
    assert found.broken.substitute == 4


def test_after_the_last_sample_comes_the_first() -> None:
    found: Any = read(Missing({5, 0}), 5, canvas=8)
    assert found.label == 1
    assert "sample 5 ('folder/5.jpg'): [Errno 2] No such file" in found.broken.fault


def test_a_fault_is_one_line_even_where_its_name_is_not() -> None:
    source: Any = Missing({0})
    source.name_of = lambda index: 'a\nb'
    found: Any = read(source, 0, canvas=8)
    assert '\n' not in found.broken.fault


def test_a_set_of_which_nothing_can_be_read_is_refused() -> None:
    with refused(
        'none of the 6 samples', 'from 3 on', "sample 3 ('folder/3.jpg')", 'check the path'
    ):
        read(Missing(set(range(6))), 3, canvas=8)


def test_the_search_for_a_substitute_has_an_end() -> None:
    assert read(Missing(set(range(1, TRIES)), 2 * TRIES), 1, canvas=8).label == TRIES
    with refused(f'none of the {TRIES} samples'):
        read(Missing(set(range(1, TRIES + 1)), 2 * TRIES), 1, canvas=8)


def test_behind_a_missing_file_of_thousands_the_next_sample_is_soon_found() -> None:
    source = Missing(set(range(10, 5000)), 100_000)
    found: Any = read(source, 10, canvas=8)
    assert found.label >= 5000
    assert found.broken.substitute == found.label
    asked = source.asked
    assert asked <= TRIES + 7
    assert read(source, 11, canvas=8).label == found.label + 1  # another one for each


@pytest.mark.parametrize('sample', [{'picture': BROKEN}, (BROKEN, 3), None])
def test_a_source_that_gives_something_else_is_told_what_to_give(sample: Any) -> None:
    with refused("give a dict with the key 'image'", repr(sample)):
        read([sample], 0, canvas=8)


def test_a_mistake_in_the_source_s_own_code_ends_it_and_says_where_it_is() -> None:
    source: Any = Missing(set())
    source.missing = None
    line = Missing.__getitem__.__code__.co_firstlineno + 2
    with refused(
        'none of the 6 samples',
        'TypeError: argument of type',
        f'(test_bad_samples.py, line {line})',
    ):
        read(source, 0, canvas=8)


class Raising:
    """A source of a user's own in which one sample cannot be read."""

    def __init__(self, error: BaseException, at: int = 7) -> None:
        self.error, self.at = error, at

    def __len__(self) -> int:
        return 200

    def __getitem__(self, index: int) -> Sample:
        if index == self.at:
            self.broken()
        return {'image': IMAGES[index % len(IMAGES)], 'label': index % 3}

    def broken(self) -> NoReturn:
        raise self.error


EXCEPTIONS = [
    OSError('bad'),
    KeyError('k'),
    ValueError('v'),
    RuntimeError('two\nlines'),
    IndexError('i'),
    EOFError(),
    zlib.error('z'),
    zipfile.BadZipFile("Bad CRC-32 for file '7.png'"),
    UnicodeDecodeError('utf-8', b'x', 0, 1, 'reason'),
    AttributeError('a'),
    StopIteration(),
]


@pytest.mark.parametrize('at', [0, 7])
@pytest.mark.parametrize('error', EXCEPTIONS, ids=lambda error: type(error).__name__)
def test_whatever_a_source_raises_is_a_fault_of_one_sample(error: BaseException, at: int) -> None:
    said: list[str] = []
    loader = Loader(
        Raising(error, at), 50, 8, threads=2, bad_samples=BadSamples(200, 0.01, said.append)
    )
    batches = list(itertools.islice(loader, 4))
    line = Raising.broken.__code__.co_firstlineno + 1
    assert len(said) == 1
    assert re.match(rf'sample {at}: ([a-z]+\.)?{type(error).__name__}[: ]', said[0])
    assert ' '.join(str(error).split()) in said[0]
    assert f'(test_bad_samples.py, line {line}). Sample {at + 1} takes its place.' in said[0]
    assert sorted(batches[0]) == ['canvas', 'index', 'label']
    with refused('1 of 200 samples cannot be read', said[0].split('. Sample')[0]):
        list(itertools.islice(dataclasses.replace(loader, bad_samples=None), 4))


@pytest.mark.parametrize('error', [KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_what_is_no_fault_of_a_sample_passes(error: BaseException) -> None:
    with pytest.raises(type(error)):
        read(Raising(error), 7, canvas=8)


def test_a_source_that_gives_no_dicts_is_refused_before_it_is_read() -> None:
    source: Any = [(image, 0) for image in IMAGES]
    with refused('none of the 6 samples', "give a dict with the key 'image'"):
        has_labels(source)


def test_an_empty_source_is_refused() -> None:
    with refused('the data set is empty'):
        has_labels([])


def test_an_endless_message_is_cut() -> None:
    found: Any = read(Raising(KeyError('x' * 10**6)), 7, canvas=8)
    assert len(found.broken.fault) < 500


def test_labels_of_samples_that_cannot_be_read_are_those_of_the_next() -> None:
    labels: Any = read_labels(Raising(EOFError()))
    assert labels[:10].tolist() == [0, 1, 2, 0, 1, 2, 0, 2, 2, 0]


def test_every_broken_sample_is_named_once_and_the_first_twenty_only() -> None:
    said: list[str] = []
    bad_samples = BadSamples(1000, 0.1, said.append)
    for index in [*range(30), *range(30)]:
        bad_samples.record(index, f'sample {index}')
    assert bad_samples.count == 30
    assert said[:NAMED] == [f'sample {index}' for index in range(NAMED)]
    assert said[NAMED:] == ['20 samples are broken; any more are counted, not named.']


def test_more_than_the_allowed_share_ends_the_run() -> None:
    bad_samples = BadSamples(200, 0.01, lambda words: None)
    for index in (3, 8, 3, 8):
        bad_samples.record(index, 'broken')
    expected = ('3 of 200 samples', 'config.bad_samples=0.01', 'allows 2;', 'The last is this')
    for _ in range(2):  # it stays over
        with refused(*expected):
            bad_samples.record(9, 'this')
    assert bad_samples.count == 3


def test_the_fault_that_ends_a_run_has_no_substitute() -> None:
    said: list[str] = []
    bad_samples = BadSamples(200, 0.005, said.append)
    bad_samples.record(3, 'sample 3: empty.', 4)
    with pytest.raises(JsslError) as caught:
        bad_samples.record(8, 'sample 8: empty.', 9)
    assert said == ['sample 3: empty. Sample 4 takes its place.']
    assert str(caught.value).endswith('The last is sample 8: empty.')


def test_nothing_is_forgiven_at_a_share_of_zero_and_everything_at_one() -> None:
    with refused('1 of 200'):
        BadSamples(200, 0.0, print).record(0, 'broken')
    BadSamples(1, 1.0, lambda words: None).record(0, 'broken')


def test_threads_record_together() -> None:
    said: list[str] = []
    bad_samples = BadSamples(10_000, 1.0, said.append)

    def record(start: int) -> None:
        for index in range(start, start + 500):
            bad_samples.record(index, str(index))

    threads = [threading.Thread(target=record, args=(250 * start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert bad_samples.count == 1750
    assert len(set(said)) == len(said) == NAMED + 1
