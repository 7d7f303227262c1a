"""Numbers with their nouns."""

import pytest

from jssl.counts import counted


@pytest.mark.parametrize(
    ('number', 'wanted'), [(0, '0 steps'), (1, '1 step'), (2, '2 steps'), (1200, '1,200 steps')]
)
def test_a_noun_goes_with_its_number(number: int, wanted: str) -> None:
    assert counted(number, 'step') == wanted


def test_a_plural_of_its_own() -> None:
    assert [counted(n, 'class', 'classes') for n in (1, 2)] == ['1 class', '2 classes']
