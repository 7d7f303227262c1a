"""A hundred mutated files of every layout: right arrays or one paragraph."""

import random
from collections.abc import Callable

import numpy as np
import pytest

from jssl.errors import JsslError
from jssl.interop.bring import place
from tests.interop.layouts.test_layouts import NAMED, arrays_for, file_of
from tests.interop.layouts.tiny import Arrays

COUNT = 100
MANY = 10_000
Mutation = Callable[[random.Random, Arrays, str], None]


def dropped(draw: random.Random, weights: Arrays, key: str) -> None:
    del weights[key]


def renamed(draw: random.Random, weights: Arrays, key: str) -> None:
    place = draw.randrange(len(key))
    weights[key[:place] + draw.choice('x.0{}%\n') + key[place + 1 :]] = weights.pop(key)


def numbered(draw: random.Random, weights: Arrays, key: str) -> None:
    weights[key.replace('.0.', f'.{draw.choice([2, 7, 99999, 10**9])}.')] = weights[key]


def reshaped(draw: random.Random, weights: Arrays, key: str) -> None:
    value = weights[key]
    shapes = [(), (0,), (value.size,), (1, *value.shape), value.shape[::-1], (value.size, 0)]
    weights[key] = np.resize(value, draw.choice(shapes))


def retyped(draw: random.Random, weights: Arrays, key: str) -> None:
    weights[key] = weights[key].astype(draw.choice(['float16', 'float64', 'int8', 'bool']))


def swapped(draw: random.Random, weights: Arrays, key: str) -> None:
    other = draw.choice(sorted(weights))
    weights[key], weights[other] = weights[other], weights[key]


def crowded(draw: random.Random, weights: Arrays, key: str) -> None:
    weights |= {f'{key}.{number}': weights[key] for number in range(MANY)}


MUTATIONS: list[Mutation] = [dropped, renamed, numbered, reshaped, retyped, swapped, crowded]


@pytest.mark.slow
@pytest.mark.parametrize('name', NAMED)
def test_mutated_files_give_right_arrays_or_a_paragraph(name: str) -> None:
    whole, expected = file_of(name), arrays_for(name)
    said = []
    for seed in range(COUNT):
        draw = random.Random(seed)
        weights = dict(whole)
        for _ in range(draw.randint(1, 2)):
            mutation = draw.choice(MUTATIONS if seed % 10 == 0 else MUTATIONS[:-1])
            mutation(draw, weights, draw.choice(sorted(weights)))
        try:
            brought = place(weights, 'it', name)
        except JsslError as error:
            said.append(str(error))
        else:
            assert brought.network is not None
            assert brought.arrays.keys() <= expected.keys() | {'mask_token', 'ln2.weight'}
    assert len(said) > COUNT // 4
    for message in said:
        assert '\n' not in message
        assert len(message) < 3000
