import base64
import re
import sys
import threading
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.datasets import load_digits

from jssl.errors import JsslError
from jssl.visualization.report import series, write_report

EVIL = '<script>alert("&")</script>'
METRICS = [
    {'step': 10, 'epoch': 1.0, 'time': 1.0, 'loss': 4.0, 'lr': 0.1, 'images_per_second': 900.0},
    {'step': 20, 'epoch': 2.0, 'time': 2.0, 'loss': float('nan'), 'lr': 0.05},
    {'step': 20, 'epoch': 2.0, 'knn': 0.5, 'linear': 0.6, 'feature_std': 0.3, 'rankme': 9.0},
    {'step': 40, 'epoch': 4.0, 'time': 3.0, 'loss': 2.0, 'lr': 0.0, 'knn': 0.8, 'linear': 0.9},
]
SUMMARY = {
    'knn': 0.823,
    'linear': 0.836,
    'feature_std': 0.41,
    'rankme': 9.2,
    'epochs': 4,
    'seconds': 112.0,
}
NO_PICTURES = {'views': None, 'features': None, 'metrics': [], 'labelled': False}
BASELINES = {'raw pixels': {'knn': 0.53}, 'random network': {'knn': 0.12, 'feature_std': 0.07}}


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text by element, and what was left open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ('meta', 'img', 'source'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        where = self.open[-1] if self.open else ''
        self.text[where] = self.text.get(where, '') + data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def report(path, labelled=True, **changes):
    digits = load_digits()
    images = (digits.images[:40] * 255 / 16).astype(np.uint8)[..., None]
    inputs = {
        'title': 'SimCLR on digits',
        'metrics': METRICS,
        'summary': SUMMARY,
        'baselines': BASELINES,
        'views': images[:12].reshape(4, 3, 8, 8, 1),
        'test_images': images,
        'features': digits.data[:40],
        'labels': digits.target[:40] if labelled else None,
        'label_names': [f'digit {label}' for label in range(10)] if labelled else None,
        'config': {'note': EVIL, 'versions': {'jax': '0.10.2'}},
    }
    return write_report(path / 'report.html', **{**inputs, **changes}).read_text(encoding='utf-8')


@pytest.fixture(scope='module')
def text(tmp_path_factory):
    return report(tmp_path_factory.mktemp('report'))


@pytest.fixture(scope='module')
def seen(text):
    return Page(text)


def test_page_is_well_formed(seen):
    assert not seen.open
    assert seen.all('html') == [{'lang': 'en'}]
    assert seen.all('meta')[0] == {'charset': 'utf-8'}


def test_page_is_self_contained(text, seen):
    assert not {'script', 'link', 'iframe', 'object'} & {tag for tag, _ in seen.tags}
    for tag, attributes in seen.tags:
        for name in ('src', 'srcset', 'href', 'action', 'data', 'poster'):
            assert attributes.get(name, 'data:').startswith('data:'), (tag, name)
    outside = re.sub(r'data:[^"]*', '', text)
    assert not re.search(r'https?:|//|@import|url\(', outside)


def test_images_can_be_read_and_are_described(seen):
    images = seen.all('img')
    assert len(images) > 20
    for attributes in images:
        head, content = attributes['src'].split(',')
        assert re.fullmatch(r'data:image/(png|webp|svg\+xml);base64', head)
        assert base64.b64decode(content, validate=True)
        assert attributes['alt']


def test_plots_come_for_light_and_dark_pages(seen):
    sources = seen.all('source')
    assert len(sources) == 6 + 1  # panels and map
    assert {source['media'] for source in sources} == {'(prefers-color-scheme: dark)'}


def test_everything_is_escaped(tmp_path):
    names = [EVIL] * 10
    evil = {
        'title': EVIL,
        'summary': {**SUMMARY, 'warning': EVIL, EVIL: EVIL},
        'baselines': {EVIL: {'knn': 0.5}},
        'label_names': names,
        'config': {EVIL: EVIL, 'versions': {EVIL: EVIL}},
    }
    text = report(tmp_path, **evil)
    assert '<script' not in text
    page = Page(text)
    assert EVIL in page.text['h1']
    assert EVIL in page.text['p']
    assert EVIL in page.text['th']


def test_config_and_versions_are_shown(text, seen):
    assert '"note": "<script>alert(\\"&\\")</script>"' in seen.text['pre']
    assert 'versions' not in seen.text['pre']
    assert 'jax' in seen.text['th']
    assert '0.10.2' in seen.text['td']


def test_headline_and_table(seen):
    assert seen.text['dd'] == '82.3 %83.6 %9.241:52'
    rows = ('this run', 'raw pixels', 'random network')
    assert all(name in seen.text['th'] for name in rows)
    for value in ('82.3 %', '53.0 %', '12.0 %', '0.41', '0.07'):
        assert value in seen.text['td']


def test_neighbours_are_marked(seen):
    styles = [attributes.get('class') for attributes in seen.all('figure')]
    assert styles.count('query') == 10
    right, wrong = styles.count('right'), styles.count('wrong')
    assert right + wrong == 80
    assert f'{right} of these 80 neighbours' in seen.text['p']
    assert 'digit 3' in seen.text['figcaption']


def test_page_without_labels(tmp_path):
    page = Page(report(tmp_path, labelled=False, summary={'feature_std': 0.4}, baselines={}))
    styles = [attributes.get('class') for attributes in page.all('figure')]
    assert 'right' not in styles
    assert 'wrong' not in styles
    assert 'figcaption' not in page.text


def test_what_was_not_measured_is_left_out(tmp_path):
    losses = [{'step': step, 'loss': 1.0} for step in (1, 2)]
    page = Page(report(tmp_path, metrics=losses, summary={'epochs': 1}, baselines={}))
    assert page.text['h3'] == 'Loss'
    assert 'Result beside the baselines' not in page.text['h2']
    page = Page(report(tmp_path, metrics=[]))
    assert 'Curves' not in page.text['h2']


def test_warning_is_shown(tmp_path):
    page = Page(report(tmp_path, summary={'warning': 'The features collapse.'}))
    assert {'class': 'warning'} in page.all('p')
    assert 'The features collapse.' in page.text['p']


def test_photographs_stay_affordable(tmp_path):
    """Noise, the worst case for compression, at ImageNet's size."""
    rng = np.random.default_rng(0)
    views = rng.integers(0, 256, (6, 7, 224, 224, 3), dtype=np.uint8)
    images = rng.integers(0, 256, (40, 224, 224, 3), dtype=np.uint8)
    assert len(report(tmp_path, views=views, test_images=images)) < 3_000_000


def test_a_part_that_fails_is_missing_alone(tmp_path):
    said = []
    summary = {**SUMMARY, 'epochs': 'four'}
    metrics = [*METRICS, {'step': 60, 'epoch': 6.0, 'lr': 0.1, 'feature_std': 'wide'}]
    changes = {'summary': summary, 'metrics': metrics, 'features': np.ones((40, 2, 2))}
    page = Page(report(tmp_path, views=np.zeros(3), tell=said.append, **changes))
    parts = ['headline', "curve 'Feature spread'", 'picture of views', 'map', 'nearest']
    assert len(said) == len(parts)
    for sentence, part in zip(said, parts, strict=True):
        assert sentence.startswith(f'The {part}')
        assert sentence in page.text['p']
    assert page.all('p').count({'class': 'warning'}) == len(parts)
    assert 'Loss' in page.text['h3']
    assert '83.6 %' in page.text['td']


def test_what_could_not_be_made_before_is_said(tmp_path):
    page = Page(report(tmp_path, missing=['No <b>weights</b>.'], **NO_PICTURES))
    assert 'No <b>weights</b>.' in page.text['p']
    assert page.text['h2'] == 'Result beside the baselinesConfiguration'


def test_a_report_that_cannot_be_written_leaves_the_one_before(tmp_path):
    (tmp_path / 'report.html').write_text('before')
    (tmp_path / 'report.html.part').mkdir()
    with pytest.raises(OSError, match='report'):
        report(tmp_path, **NO_PICTURES)
    assert (tmp_path / 'report.html').read_text() == 'before'


def test_different_lengths_are_refused(tmp_path):
    with pytest.raises(JsslError, match=r'\[40, 39, 40\]'):
        report(tmp_path, features=np.ones((39, 4)))


def test_series_skips_missing_and_infinite_values():
    line = series([*METRICS, {'step': 50, 'epoch': 5.0, 'loss': float('inf')}], 'epoch', 'loss')
    assert line.x.tolist() == [1.0, 4.0]
    assert line.y.tolist() == [4.0, 2.0]


def test_report_can_be_written_from_a_thread_and_leaves_pyplot_alone(tmp_path):
    loaded = 'matplotlib.pyplot' in sys.modules
    thread = threading.Thread(target=report, args=(tmp_path,))
    thread.start()
    thread.join()
    assert (tmp_path / 'report.html').stat().st_size > 10_000
    assert ('matplotlib.pyplot' in sys.modules) == loaded
