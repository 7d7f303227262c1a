"""What the page of guarantees cites is there."""

import re

from tests.conftest import ROOT
from tests.docs.pages import read


def test_every_file_that_is_cited_holds_tests() -> None:
    cited = re.findall(r'`(tests/[\w/]+\.py)`', read('docs/reference/guarantees.md'))
    assert len(set(cited)) > 25
    for file in cited:
        assert '\ndef test_' in (ROOT / file).read_text() or file == 'tests/trajectories.py', file
