import base64
import dataclasses
import os
import re
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jssl.errors import JsslError
from jssl.visualization.curves import series
from jssl.visualization.features import Neighbors, Shown
from jssl.visualization.report import write_report
from jssl.visualization.results import Facts
from jssl.visualization.wording import Counts, wording

EVIL = '<script>alert("&")</script>'
STEPS = {'kind': 'step', 'time': 1.0}
METRICS = [
    {**STEPS, 'step': 10, 'epoch': 1.0, 'loss': 4.0, 'lr': 0.1, 'images_per_second': 900.0},
    {**STEPS, 'step': 20, 'epoch': 2.0, 'loss': float('nan'), 'lr': 0.05, 'grad_norm': 2.0},
    {**STEPS, 'step': 40, 'epoch': 4.0, 'loss': 2.0, 'lr': 0.0, 'my_number': 3.0},
    {'kind': 'epoch', 'step': 20, 'epoch': 2.0, 'nmi_truth': 0.3},
    {'kind': 'epoch', 'step': 40, 'epoch': 4.0, 'nmi_truth': 0.4},
    {'kind': 'evaluation', 'step': 20, 'epoch': 2.0, 'knn': 0.5, 'linear': 0.6, 'rankme': 9.0},
    {'kind': 'evaluation', 'step': 40, 'epoch': 4.0, 'knn': 0.8, 'linear': 0.9, 'rankme': 9.2},
]
SCORES = {'knn': 0.823, 'linear': 0.836, 'feature_std': 0.41, 'rankme': 9.2}
COUNTS = Counts(test=40, learned=1000, neighbors=20, dimensions=64, guessing=0.125)
RUN = {'Features:': 'jssl embed runs/my-run --data=folder:photos --out=features.npz'}
FACTS = Facts(epochs=4, planned=4, seconds=112.0, counts=COUNTS, commands=RUN)
PLAIN: dict[str, Any] = {
    'views': None,
    'features': None,
    'metrics': [],
    'labels': None,
    'neighbors': None,
}
BASELINES = {'raw pixels': {'knn': 0.53}, 'random network': {'knn': 0.12, 'feature_std': 0.07}}
DIGITS = load_digits()
IMAGES = (DIGITS.images[:60] * 255 / 16).astype(np.uint8)[..., None]


def shown(rows: Any, labelled: bool = True) -> Shown:
    labels = DIGITS.target[rows] if labelled else None
    return Shown(IMAGES[rows], [f'digits/{row}.png' for row in rows], labels)


def neighbors(labelled: bool = True) -> Neighbors:
    """The first ten digits, each beside two of the same class and one of another."""
    found = [row for query in range(10) for row in (10 + query, 10 + query, 11 + query)]
    return Neighbors(shown(range(10), labelled), shown(found, labelled), 1000, 'others')


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text by element, and what was left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text: dict[str, str] = {}
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ('meta', 'img', 'source', 'wbr'):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ''
        self.text[where] = self.text.get(where, '') + data

    def all(self, tag: str) -> list[dict[str, Any]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(path: Path, labelled: bool = True, **changes: Any) -> str:
    inputs = {
        'title': 'SimCLR on digits',
        'metrics': METRICS,
        'scores': SCORES,
        'baselines': BASELINES,
        'facts': FACTS,
        'views': IMAGES[:12].reshape(4, 3, 8, 8, 1),
        'features': DIGITS.data[:40],
        'labels': DIGITS.target[:40] if labelled else None,
        'label_names': [f'digit {label}' for label in range(10)] if labelled else None,
        'neighbors': neighbors(labelled),
        'config': {'note': EVIL, 'versions': {'jax': '0.10.2'}},
    }
    return write_report(path / 'report.html', **{**inputs, **changes}).read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report(tmp_path_factory.mktemp('report'))


@pytest.fixture(scope='module')
def seen(text: str) -> Page:
    return Page(text)


def test_page_is_well_formed(seen: Page) -> None:
    assert not seen.open
    assert seen.all('html') == [{'lang': 'en'}]
    assert seen.all('meta')[0] == {'charset': 'utf-8'}


def test_page_is_self_contained(text: str, seen: Page) -> None:
    assert not {'script', 'link', 'iframe', 'object'} & {tag for tag, _ in seen.tags}
    for tag, attributes in seen.tags:
        for name in ('src', 'srcset', 'href', 'action', 'data', 'poster'):
            assert attributes.get(name, 'data:').startswith('data:'), (tag, name)
    outside = re.sub(r'data:[^"]*', '', text)
    assert not re.search(r'https?:|//|@import|url\(', outside)


def test_images_can_be_read_and_are_described(seen: Page) -> None:
    images = seen.all('img')
    assert len(images) > 20
    for attributes in images:
        head, content = attributes['src'].split(',')
        assert re.fullmatch(r'data:image/(png|webp|svg\+xml);base64', head)
        assert base64.b64decode(content, validate=True)
        assert attributes['alt']


def test_plots_come_for_light_and_dark_pages(seen: Page) -> None:
    sources = seen.all('source')
    assert len(sources) == 5 + 1  # panels and map; three numbers were logged once
    assert {source['media'] for source in sources} == {'(prefers-color-scheme: dark)'}


def test_everything_is_escaped(tmp_path: Path) -> None:
    shown = Shown(IMAGES[:2], [EVIL] * 2, DIGITS.target[:2])
    evil: dict[str, Any] = {
        'title': EVIL,
        'scores': {**SCORES, EVIL: 0.5},
        'metrics': [*METRICS, {**STEPS, 'step': 50, 'epoch': 5.0, EVIL: 1.0}],
        'baselines': {EVIL: {'knn': 0.9}},
        'facts': Facts(purpose=EVIL, warning=EVIL, stopped_by=EVIL, commands={EVIL: EVIL}),
        'label_names': [EVIL] * 10,
        'neighbors': Neighbors(shown, shown, 2, EVIL),
        'config': {EVIL: EVIL, 'versions': {EVIL: EVIL}},
    }
    text = report(tmp_path, **evil)
    assert '<script' not in text
    page = Page(text)
    for tag in ('h1', 'h4', 'p', 'th', 'small', 'figcaption', 'li', 'span'):
        assert EVIL in page.text[tag], tag


def test_config_and_versions_are_shown(text: str, seen: Page) -> None:
    assert '"note": "<script>alert(\\"&\\")</script>"' in seen.text['pre']
    assert 'versions' not in seen.text['pre']
    assert 'jax' in seen.text['th']
    assert '0.10.2' in seen.text['td']


def test_headline_and_table(seen: Page) -> None:
    values = ['82.3 %', '83.6 %', '9.2', '4', '1:52']
    assert seen.text['dd'].startswith(''.join(values))
    assert [name for name in ('this run', *BASELINES) if name in seen.text['th']] == [
        'this run',
        *BASELINES,
    ]
    for value in ('82.3 %', '53.0 %', '12.0 %', '0.41', '0.07'):
        assert value in seen.text['td']
    assert 'top-5' not in seen.text['th']


def test_numbers_are_explained_where_they_stand(seen: Page) -> None:
    said = seen.text['dd']
    for words in (
        '40 held-out',
        'k = 20',
        '1,000 labelled',
        '12.5 %',
        'from 1 to 40',
        '1 is spread',
    ):
        assert words in said


def test_whatever_was_logged_has_a_curve_in_a_group_with_a_name_in_words(seen: Page) -> None:
    assert seen.text['h3'] == ''.join(
        (
            *('Result of an evaluation', 'What it trains on', 'Spread of the features'),
            *('Clusters, memories and teachers', 'Steps', 'Speed and data'),
        )
    )
    assert seen.text['h4'] == ''.join(
        (
            *('kNN and linear probe', 'loss', 'my number', 'RankMe'),
            'agreement of clusters with the labels (NMI)',
            *('learning rate', 'gradient norm', 'images per second'),
        )
    )


def test_neighbours_are_marked_and_named(text: str, seen: Page) -> None:
    styles = [attributes.get('class') for attributes in seen.all('figure')]
    assert styles.count('query') == 10
    right, wrong = styles.count('right'), styles.count('wrong')
    assert right + wrong == 30
    assert f'{100 * right / 30:.0f} % of these 30 have the class' in seen.text['p']
    assert 'most similar among 1,000 others' in seen.text['p']
    assert 'digit 3' in seen.text['figcaption']
    assert 'digits/3.png' in seen.text['small']
    assert 'digits/<wbr>3.<wbr>png' in text


def test_page_without_labels(tmp_path: Path) -> None:
    page = Page(report(tmp_path, labelled=False, scores={'feature_std': 0.4}, baselines={}))
    styles = [attributes.get('class') for attributes in page.all('figure')]
    assert 'right' not in styles
    assert 'wrong' not in styles
    assert page.text['h2'].startswith('Result' + 'What next')


def test_what_was_logged_once_is_a_number_and_no_curve(tmp_path: Path) -> None:
    losses = [{**STEPS, 'step': step, 'loss': 1.0 / step} for step in (1, 2)]
    once = {'kind': 'evaluation', 'step': 2, 'knn': 0.5, 'linear': 0.25}
    page = Page(report(tmp_path, **PLAIN | {'metrics': [*losses, once]}))
    assert len(page.all('source')) == 1  # the curve of the loss
    assert 'kNN 0.5, linear probe 0.25 (logged once, at step 2)' in page.text['figcaption']


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    losses = [{**STEPS, 'step': step, 'loss': 1.0} for step in (1, 2)]
    page = Page(report(tmp_path, metrics=losses, scores={}, baselines={}))
    assert page.text['h4'] == 'loss'
    assert 'Result' not in page.text['h2']
    page = Page(report(tmp_path, metrics=[]))
    assert 'Curves' not in page.text['h2']


@pytest.mark.parametrize(
    ('scores', 'words'),
    [
        ({'knn': 0.5, 'linear': 0.9}, ['no better than raw pixels (kNN 50.0 % against 53.0 %).']),
        (
            {'knn': 0.1},
            [
                'no better than raw pixels (kNN 10.0 % against 53.0 %)',
                ' and the untrained network (kNN 10.0 % against 12.0 %).',
            ],
        ),
        (
            {'knn': 0.1, 'linear': 0.3},
            ['the untrained network (kNN 10.0 % against 12.0 %; better: linear probe 30.0 % '],
        ),
        ({'knn': 0.54, 'feature_std': 0.01}, []),
    ],
)
def test_a_run_below_its_baselines_says_so_and_what_to_try(
    scores: dict[str, float], words: list[str], tmp_path: Path
) -> None:
    untrained = {**BASELINES['random network'], 'linear': 0.2}
    baselines = {**BASELINES, 'random network': untrained}
    page = Page(report(tmp_path, **PLAIN, scores=scores, baselines=baselines))
    assert page.all('p').count({'class': 'warning'}) == bool(words)
    for sentence in words:
        assert sentence in page.text['p']
        assert '--config.epochs=16' in page.text['p']


def test_a_run_with_labels_says_what_it_is(tmp_path: Path) -> None:
    facts = Facts(purpose='fine-tuning of the backbone of runs/mae', counts=COUNTS)
    scores = {'test_accuracy': 0.1, 'feature_std': 0.2}
    text = report(tmp_path, facts=facts, scores=scores, baselines={})
    page = Page(text)
    assert page.all('p')[0] == {'class': 'kind'}
    assert 'fine-tuning of the backbone of runs/mae' in page.text['p']
    assert '10.0 %' in page.text['dd']
    for words in ('frozen', 'has not seen', 'untrained', 'random network'):
        assert words not in text


def test_what_can_be_done_next_is_typed_as_it_stands(seen: Page) -> None:
    assert seen.all('span').count({'class': 'word'}) == len(RUN['Features:'].split())
    assert ''.join(RUN['Features:'].split()) in seen.text['span']


def test_a_run_that_was_stopped_says_by_whom(tmp_path: Path) -> None:
    facts = dataclasses.replace(FACTS, epochs=2, stopped_by='EarlyStopping')
    page = Page(report(tmp_path, facts=facts, **PLAIN))
    assert 'pre-training, stopped by EarlyStopping after 2 of 4 epochs' in page.text['p']


def test_nothing_asks_for_more_width_than_a_phone_has(text: str) -> None:
    """What is wider than the page would be cut there, or hidden behind a scroll bar."""
    for words in ('overflow-x', 'nowrap;\n  text-overflow', 'class="scroll"'):
        assert words not in text
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text


def test_warning_is_shown(tmp_path: Path) -> None:
    page = Page(report(tmp_path, facts=Facts(warning='The features collapse.')))
    assert {'class': 'warning'} in page.all('p')
    assert 'The features collapse.' in page.text['p']


def test_photographs_stay_affordable(tmp_path: Path) -> None:
    """Noise, the worst case for compression, at ImageNet's size."""
    rng = np.random.default_rng(0)
    views = rng.integers(0, 256, (6, 7, 224, 224, 3), dtype=np.uint8)
    images = rng.integers(0, 256, (40, 224, 224, 3), dtype=np.uint8)
    photos = Shown(images, [''] * 40)
    assert (
        len(report(tmp_path, views=views, neighbors=Neighbors(photos, photos, 40, ''))) < 3_000_000
    )


def test_a_part_that_fails_is_missing_alone(tmp_path: Path) -> None:
    said: list[str] = []
    facts = dataclasses.replace(FACTS, seconds='four')  # type: ignore[arg-type]
    metrics = [*METRICS, {**STEPS, 'step': 60, 'epoch': 6.0, 'lr': 'high'}]
    changes: dict[str, Any] = {'facts': facts, 'metrics': metrics, 'features': np.ones((40, 2, 2))}
    page = Page(report(tmp_path, views=np.zeros(3), tell=said.append, **changes))
    parts = ['headline', "curve 'learning rate'", 'picture of views', 'map']
    assert len(said) == len(parts)
    for sentence, part in zip(said, parts, strict=True):
        assert sentence.startswith(f'The {part}')
        assert sentence in page.text['p']
    assert page.all('p').count({'class': 'warning'}) == len(parts)
    assert 'loss' in page.text['h4']
    assert '83.6 %' in page.text['td']


def test_what_could_not_be_made_before_is_said(tmp_path: Path) -> None:
    page = Page(report(tmp_path, missing=['No <b>weights</b>.'], **PLAIN))
    assert 'No <b>weights</b>.' in page.text['p']
    assert page.text['h2'] == 'Result beside the baselinesWhat nextConfiguration'


def test_a_report_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'report.html').write_text('before')
    monkeypatch.setattr(os, 'replace', Mock(side_effect=OSError('full')))
    with pytest.raises(OSError, match='full'):
        report(tmp_path, **PLAIN)
    assert (tmp_path / 'report.html').read_text() == 'before'


def test_different_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(JsslError, match='39, 40'):
        report(tmp_path, features=np.ones((39, 4)))


def test_series_skips_missing_and_infinite_values() -> None:
    line = series([*METRICS, {'step': 50, 'epoch': 5.0, 'loss': float('inf')}], 'epoch', 'loss')
    assert line.x.tolist() == [1.0, 4.0]
    assert line.y.tolist() == [4.0, 2.0]


@pytest.mark.parametrize(
    ('name', 'of_steps', 'words'),
    [
        ('feature_std', True, 'spread of the projections in a batch'),
        ('feature_std', False, 'feature spread'),
        ('loss.2', True, 'loss, head 2'),
        ('my_own_number', False, 'my own number'),
    ],
)
def test_metrics_have_names_in_words(name: str, of_steps: bool, words: str) -> None:
    assert wording(name, of_steps=of_steps).name == words


def test_report_can_be_written_from_a_thread_and_leaves_pyplot_alone(tmp_path: Path) -> None:
    loaded = 'matplotlib.pyplot' in sys.modules
    thread = threading.Thread(target=report, args=(tmp_path,))
    thread.start()
    thread.join()
    assert (tmp_path / 'report.html').stat().st_size > 10_000
    assert ('matplotlib.pyplot' in sys.modules) == loaded
