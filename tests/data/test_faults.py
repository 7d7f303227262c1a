"""Broken samples: their substitutes, their names in the log, and when they are too many."""

import threading

import numpy as np
import pytest

from jssl.data.canvas import decode
from jssl.data.faults import NAMED, TRIES, Faults, read
from jssl.data.sources import Arrays
from tests.checks import refused

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
BROKEN = b'no image'


class Missing:
    """A user's own source of files, of which some cannot be opened."""

    def __init__(self, missing: set[int], length: int = 6):
        self.missing, self.length = missing, length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        if index in self.missing:
            raise FileNotFoundError(2, 'No such file or directory', f'{index}.jpg')
        return {'image': IMAGES[index % len(IMAGES)], 'label': index}

    def name_of(self, index):
        return f'folder/{index}.jpg'


def test_a_sample_that_can_be_read_is_itself():
    found = read(Arrays(IMAGES, labels=range(6)), 4, canvas=8)
    np.testing.assert_array_equal(found.image, decode(IMAGES[4], 8)[0])
    assert found[1:] == ((5, 4), 4, None)


def test_without_labels_there_is_none():
    assert read(Arrays(IMAGES), 0, canvas=8).label is None


def test_grey_canvases():
    assert read(Arrays(IMAGES), 0, canvas=8, channels=1).image.shape == (8, 8, 1)


def test_the_next_readable_sample_takes_the_place_with_its_own_label():
    source = [{'image': image, 'label': 10 + index} for index, image in enumerate(IMAGES)]
    source[2]['image'] = source[3]['image'] = BROKEN
    found = read(source, 2, canvas=8)
    np.testing.assert_array_equal(found.image, decode(IMAGES[4], 8)[0])
    assert found.label == 14
    assert found.fault.startswith('sample 2: the image (8 bytes) cannot be decoded')
    assert found.fault.endswith('Sample 4 takes its place.')


def test_after_the_last_sample_comes_the_first():
    found = read(Missing({5, 0}), 5, canvas=8)
    assert found.label == 1
    assert "sample 5 ('folder/5.jpg'): [Errno 2] No such file" in found.fault


def test_a_fault_is_one_line_even_where_its_name_is_not():
    source = Missing({0})
    source.name_of = lambda index: 'a\nb'
    assert '\n' not in read(source, 0, canvas=8).fault


def test_a_set_of_which_nothing_can_be_read_is_refused():
    with refused('samples 3 to 2 of the data set', "sample 3 ('folder/3.jpg')", 'check the path'):
        read(Missing(set(range(6))), 3, canvas=8)


def test_the_search_for_a_substitute_has_an_end():
    assert read(Missing(set(range(1, TRIES)), 2 * TRIES), 1, canvas=8).label == TRIES
    with refused(f'samples 1 to {TRIES} of'):
        read(Missing(set(range(1, TRIES + 1)), 2 * TRIES), 1, canvas=8)


@pytest.mark.parametrize('sample', [{'picture': BROKEN}, (BROKEN, 3), None])
def test_a_source_that_gives_something_else_is_told_what_to_give(sample):
    with refused("give a dict with the key 'image'", repr(sample)):
        read([sample], 0, canvas=8)


def test_a_mistake_in_the_source_s_own_code_is_not_taken_for_a_broken_file():
    source = Missing(set())
    source.missing = None
    with pytest.raises(TypeError, match=r'not (iterable|a container)'):
        read(source, 0, canvas=8)


def test_every_broken_sample_is_named_once_and_the_first_twenty_only():
    said = []
    faults = Faults(1000, 0.1, said.append)
    for index in [*range(30), *range(30)]:
        faults.record(index, f'sample {index}')
    assert faults.count == 30
    assert said[:NAMED] == [f'sample {index}' for index in range(NAMED)]
    assert said[NAMED:] == ['20 samples are broken; any more are counted, not named.']


def test_more_than_the_allowed_share_ends_the_run():
    faults = Faults(200, 0.01, lambda words: None)
    for index in (3, 8, 3, 8):
        faults.record(index, 'broken')
    expected = ('3 of 200 samples', 'config.faults=0.01', 'allows 2;', 'The last is this')
    for _ in range(2):  # it stays over
        with refused(*expected):
            faults.record(9, 'this')
    assert faults.count == 3


def test_nothing_is_forgiven_at_a_share_of_zero_and_everything_at_one():
    with refused('1 of 200'):
        Faults(200, 0.0, print).record(0, 'broken')
    Faults(1, 1.0, lambda words: None).record(0, 'broken')


def test_threads_record_together():
    said = []
    faults = Faults(10_000, 1.0, said.append)

    def record(start):
        for index in range(start, start + 500):
            faults.record(index, str(index))

    threads = [threading.Thread(target=record, args=(250 * start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults.count == 1750
    assert len(set(said)) == len(said) == NAMED + 1
