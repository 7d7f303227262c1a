"""The permutation is Grain's, position by position."""

import grain
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jssl.data.permutation import shuffled

EDGES = [1, 2, 3, 4, 5, 257, 65_535, 65_536, 65_538, 131_073, 1_281_167, 2**31 - 1]
MISCOUNTED = [2**bits + 1 for bits in range(16, 32, 2)]  # where Grain's is no permutation

LENGTHS = st.integers(1, 2**31 - 1).filter(lambda length: length not in MISCOUNTED)


def grains(positions: list[int], length: int, seed: int) -> list[int]:
    dataset = grain.MapDataset.range(length).shuffle(seed=seed)
    return [dataset[position] for position in positions]


@pytest.mark.parametrize('length', EDGES)
@pytest.mark.parametrize('seed', [0, 1, 2**32 - 1])
def test_edges_of_block_sizes(length, seed):
    positions = sorted({0, 1 % length, length // 2, length - 1})
    assert shuffled(np.array(positions), length, seed).tolist() == grains(positions, length, seed)


@settings(deadline=None, max_examples=50)
@given(st.data(), LENGTHS, st.integers(0, 2**32 - 1))
def test_any_position(data, length, seed):
    positions = data.draw(st.lists(st.integers(0, length - 1), min_size=1, max_size=5))
    assert shuffled(np.array(positions), length, seed).tolist() == grains(positions, length, seed)


def test_a_permutation_in_several_chunks():
    found = shuffled(np.arange(150_001), 150_001, 3)
    np.testing.assert_array_equal(np.sort(found), np.arange(150_001))


@pytest.mark.parametrize('length', MISCOUNTED[:2])
def test_a_permutation_where_grain_gives_none(length):
    assert grains([0], length, 0) == grains([length - 1], length, 0)
    np.testing.assert_array_equal(np.sort(shuffled(np.arange(length), length, 0)), range(length))


def test_no_positions():
    assert shuffled(np.arange(0), 10, 3).shape == (0,)
