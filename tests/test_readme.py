"""The README tells the truth; that its commands run and its links lead somewhere, tests/docs says.

Its library code of before has its tests in tests/docs/tutorials, its tables theirs in tests/docs
and tests/experiments/test_reference.py.
"""

import re

from jssl.cli.configs import shipped
from tests.conftest import ROOT

README = (ROOT / 'README.md').read_text(encoding='utf-8')


def test_commands_are_those_of_the_ci() -> None:
    script = (ROOT / '.ci' / 'run').read_text()
    assert re.findall('.*&& pytest$', README, flags=re.MULTILINE) == [
        "pip install -e '.[test]' && pytest"
    ]
    # Read from the README; before it, all is collected where PyTorch is not installed.
    assert "grep --max-count=1 '&& pytest$' README.md" in script
    assert script.index('--collect-only') < script.index('torch==') < script.index('"$command"')


def test_it_begins_with_the_two_commands_and_ones_own_photos() -> None:
    first, second, *_ = re.findall(r'```bash\n(.*?)\n```', README, flags=re.DOTALL)
    assert first == 'pip install . && jssl train simclr'
    assert second == 'jssl train simclr --data=folder:photos'


def test_every_config_is_in_its_table() -> None:
    table = README.partition('## Algorithms')[2].partition('\n## ')[0]
    assert set(shipped()) <= set(re.findall(r'`([\w/]+)`', table))


def test_it_is_one_screen() -> None:
    assert len(README.splitlines()) < 90
    assert '```python' not in README


def test_its_scores_are_those_of_the_table_of_results() -> None:
    results = (ROOT / 'docs/reference/results.md').read_text(encoding='utf-8')
    row = next(line for line in results.splitlines() if line.startswith('| simclr |'))
    scores = [cell.strip() for cell in row.split('|')[2:4]]
    for page in ('README.md', 'docs/start/first_run.md'):
        text = (ROOT / page).read_text(encoding='utf-8').replace('**', '')
        assert all(score in text for score in scores), page
