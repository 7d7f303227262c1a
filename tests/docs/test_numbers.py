"""Numbers that stand on the page of an algorithm and in a measured table are the same in both."""

import re
from collections.abc import Iterator, Mapping

import pytest

from tests.docs.pages import read, tables
from tests.docs.test_algorithms import NAMES, page, section

RESULTS, PARITY = read('docs/reference/results.md'), read('docs/reference/parity.md')
REACHED, TUNED = tables(RESULTS)
MEASURED = [name for name in NAMES if any(row['config'] == name for row in REACHED)]
FILES = {row['file'].strip('`'): row for table in tables(PARITY) for row in table}
DIGITS = re.compile(r'digits(?: \((?P<variant>.*)\))?: (?P<what>.*)')
Numbers = dict[tuple[str, str], str]


@pytest.mark.parametrize('name', NAMES)
def test_errors_are_those_of_the_certificate(name: str) -> None:
    """Exactly the files that the page names, and every file whose name begins with the page's."""
    told = dict(errors(section(name, 'Numbers')))
    assert told == {file: error_of(FILES[file]) for file in told}
    own = {file for file in FILES if re.match(rf'golden2?/{name}_', file)}
    assert own <= told.keys()


def errors(text: str) -> Iterator[tuple[str, str]]:
    """The number of every row that the certificate is named for, by the file it is measured on."""
    for row in tables(text)[0]:
        if 'certificate' in row['how it was obtained']:
            file = re.search(r'`(golden2?/\w+)`', row['how it was obtained'])
            assert file, row
            yield file[1], row['number']


def error_of(row: Mapping[str, str]) -> str:
    """How a page writes what the certificate says of a file: float64 alone."""
    names = ('loss', 'gradients') if 'float64: loss' in row else ('trajectory', 'part')
    return ' / '.join(row[f'float64: {name}'] for name in names if f'float64: {name}' in row)


@pytest.mark.parametrize('name', MEASURED)
def test_digits_are_those_of_the_results(name: str) -> None:
    assert on_the_page(name) == in_the_results(name)


def on_the_page(name: str) -> Numbers:
    """The numbers of digits by variant and by what they are."""
    rows = tables(section(name, 'Numbers'))[0]
    found = [(DIGITS.fullmatch(row['what']), row['number']) for row in rows]
    return {(match['variant'] or '', match['what']): number for match, number in found if match}


def in_the_results(name: str) -> Numbers:
    """The same of the table of results, written as on a page."""
    found: Numbers = {}
    for row in REACHED:
        config, _, variant = row['config'].partition(', ')
        if config == name:
            for what in ('kNN', 'linear probe'):
                found[variant, what] = f'{row[what]}, untrained {row[f"untrained: {what}"]}'
            if row['own task']:
                found[variant, 'own task'] = row['own task']
    return found


def test_only_ijepa_has_no_row_of_results() -> None:
    assert set(NAMES) - set(MEASURED) == {'ijepa'}


@pytest.mark.parametrize('row', TUNED, ids=[row['method'] for row in TUNED])
def test_fine_tuning_is_that_of_the_results(row: Mapping[str, str]) -> None:
    rows = tables(section(row['method'].lower(), 'Numbers'))[0]
    told = {line['what']: line['number'] for line in rows}
    said = f'{row["mean"]}, from scratch {row["mean from scratch"]}'
    assert told['digits, fine-tuned on 100 labels'] == said
    for all_seeds, of_all in (
        ('pre-trained, seeds 0, 1, 2', 'mean'),
        ('the same from scratch', 'mean from scratch'),
    ):
        assert float(row[of_all]) == pytest.approx(mean(row[all_seeds]), abs=0.000501)


@pytest.mark.parametrize('name', NAMES)
def test_links_to_the_results_say_their_numbers(name: str) -> None:
    """A text such as `[kNN 0.896, linear probe 0.940](../reference/results.md)`."""
    told = re.findall(r'\[kNN ([\d.]+), linear probe ([\d.]+)\]', page(name))
    known = [(row['kNN'], row['linear probe']) for row in REACHED if row['config'].startswith(name)]
    assert set(told) <= set(known)


def test_the_index_has_the_means() -> None:
    rows = [row for table in tables(page('index')) for row in table]
    shown = {re.findall(r'\((\w+)\.md\)', row['algorithm'])[0]: row for row in rows}
    assert sorted(shown) == NAMES
    for row in REACHED:
        if row['config'] in shown:
            cell = shown[row['config']]['digits: kNN / linear']
            for number, what in zip(cell.split(' / '), ('kNN', 'linear probe'), strict=True):
                assert float(number) == pytest.approx(mean(row[what]), abs=0.00501), row['config']


def mean(cell: str) -> float:
    numbers = [float(number) for number in cell.split(' / ')]
    return sum(numbers) / len(numbers)


def test_the_index_has_the_range_of_untrained_networks() -> None:
    rows = [row for row in REACHED if row['untrained: kNN']]
    ends = [
        f'{end(float(row[f"untrained: {what}"]) for row in rows):.2f}'
        for what in ('kNN', 'linear probe')
        for end in (min, max)
    ]
    text = '{} to {} (kNN) and {} to {} (linear)'.format(*ends)
    assert text in ' '.join(page('index').split())
