"""The glossary: in the order of the alphabet, and with the words that the design fixes."""

import re

import pytest

from tests.docs.pages import read

ROWS = re.findall(
    r'^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$', read('docs/reference/glossary.md'), re.M
)
WORDS = [row[0] for row in ROWS if row[0] not in {'word', '---'}]


def test_words_are_in_the_order_of_the_alphabet() -> None:
    assert sorted(WORDS, key=str.lower) == WORDS


@pytest.mark.parametrize(
    'word',
    [
        *('backbone', 'neck', 'head', 'loss', 'memory', 'teacher', 'target generator'),
        *('algorithm', 'view', 'canvas', 'label', 'target', 'protocol'),
    ],
)
def test_a_word_of_the_design_is_there(word: str) -> None:
    assert word in WORDS
