import re

import pytest

from tests.docs.pages import blocks, run_python

PAGE = 'docs/tutorials/indicators.md'


def test_the_code_says_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    run_python(PAGE)
    shown = blocks(PAGE, 'text')[-1]
    said, expected = (
        re.findall(r'[^\W\d]+|\d\.\d\d', text) for text in (capsys.readouterr().out, shown)
    )
    assert said == expected  # numbers to two digits
