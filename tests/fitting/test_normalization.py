"""What is said of views that normalise otherwise than those of released weights."""

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

import jssl
from jssl.algorithms import ImageClassifier
from jssl.augment.views import CenterView, FineTuneView, MultiView, Pair, View
from jssl.backbones import ResNet
from jssl.fitting.normalization import Normalization, stated, tell_other
from jssl.fitting.pretrained import read_source, with_pretrained
from jssl.heads import LinearClsHead
from jssl.interop.layouts import find
from tests.fitting.test_pretrained import begin_run, train_state
from tests.interop.layouts.test_layouts import file_of
from tests.training import toy

HALF = Normalization((127.5,) * 3, (127.5,) * 3)
OWN = HALF._replace(standardize=True)
IMAGENET = Normalization((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
TIMM = {
    'num_features': 8,
    'model_args': {'num_heads': 2},
    'pretrained_cfg': {'mean': [0.5] * 3, 'std': [0.5] * 3},
}
SAID = "--{0}.mean='(127.5, 127.5, 127.5)' --{0}.std='(127.5, 127.5, 127.5)'"


def said(theirs: Normalization | None, **places: Any) -> list[str]:
    lines: list[str] = []
    tell_other(
        'it', theirs, {f'config.{name}': view for name, view in places.items()}, lines.append
    )
    return lines


def test_both_are_named_with_what_to_type() -> None:
    (line,) = said(HALF, views=Pair(View(), View(mean=HALF.mean, std=HALF.std)), eval_view=View())
    assert line == (
        'it: its network has seen images with mean (127.5, 127.5, 127.5) and deviation '
        '(127.5, 127.5, 127.5), and here are config.views.first, config.eval_view with mean '
        '(123.675, 116.28, 103.53) and deviation (58.395, 57.12, 57.375). To give it what it has '
        f'seen: {SAID.format("config.views.first")} {SAID.format("config.eval_view")}'
    )


def test_nothing_is_said_where_there_is_no_difference_or_it_is_unknown() -> None:
    rounded = Normalization((124.0, 116.0, 103.7), IMAGENET.std)
    view = MultiView(View())
    assert said(None, views=view) == said(IMAGENET, views=view) == said(rounded, views=view) == []
    assert said(HALF, views=toy.views, eval_view=toy.view) == []  # which are functions


def test_images_with_their_own_mean_are_another_normalization() -> None:
    own = View(standardize=True)
    assert said(OWN, views=own) == []
    (line,) = said(IMAGENET, views=own)
    assert line.endswith(
        'config.views with their own mean and deviation. To give it what it has '
        'seen: --config.views.standardize=False'
    )
    (line,) = said(OWN, views=FineTuneView())
    assert line.endswith('deviation (58.395, 57.12, 57.375)')  # such a view cannot
    (line,) = said(OWN, views=View())
    assert line.endswith('seen: --config.views.standardize=True')


def test_grey_images_are_compared_with_the_average() -> None:
    grey = View(mean=(114.495,), std=(57.63,), gray=0.0, saturation=0.0, hue=0.0)
    assert said(IMAGENET, views=grey) == []
    (line,) = said(HALF, views=grey)
    assert line.endswith("--config.views.mean='(127.5,)' --config.views.std='(127.5,)'")


@pytest.mark.parametrize(
    ('section', 'fields', 'wanted'),
    [
        ({'type': 'CenterView', 'mean': None}, {}, IMAGENET),
        ({'type': 'CenterView', 'mean': [127.5] * 3, 'std': [127.5] * 3}, {}, HALF),
        ({'type': 'my_module:Mine', 'mean': [127.5] * 3, 'std': [127.5] * 3}, {}, HALF),
        ({'type': 'my_module:Mine'}, HALF._asdict(), None),
        (None, {'mean': (127.5,) * 3, 'std': (127.5,) * 3}, HALF),
        (None, {'size': 224}, None),
        ({'type': 'CenterView', 'mean': 'red'}, {}, None),
        ({'type': 'CenterView', 'mean': []}, {}, None),
        ('CenterView', {}, None),
    ],
)
def test_what_a_file_says(section: Any, fields: Any, wanted: Normalization | None) -> None:
    assert stated(section, fields) == wanted


def of_timm(folder: Path) -> str:
    """A folder of timm with weights for images of mean 0.5."""
    save_file(file_of('timm-vit'), folder / 'model.safetensors')
    (folder / 'config.json').write_text(json.dumps(TIMM))
    return str(folder)


def test_a_run_that_begins_with_weights_says_it(tmp_path: Path) -> None:
    path = of_timm(tmp_path)
    lines: list[str] = []
    backbone = jssl.load(path, report=lines.append).backbone
    algorithm = ImageClassifier(backbone, LinearClsHead(3))
    view = View(size=12)
    experiment = toy.experiment(algorithm, views=view, canvas=12, pretrained=path)
    with_pretrained(experiment, train_state(backbone, side=12), lines.append)
    assert lines[-1].startswith(f'{path}: its network has seen images with mean (127.5,')
    assert lines[-1].endswith(SAID.format('config.views'))


def test_a_view_given_to_load_is_compared_too(tmp_path: Path) -> None:
    path = of_timm(tmp_path)
    lines: list[str] = []
    view = CenterView(size=12, resize=12)
    jssl.load(path, view=view, report=lines.append)
    half = '(127.5, 127.5, 127.5)'
    assert lines[1].endswith(f'view=dataclasses.replace(view, mean={half}, std={half})')
    lines.clear()
    found: Any = jssl.load(path, report=lines.append).view
    assert found.mean == HALF.mean
    assert len(lines) == 1


def test_what_sources_tell(tmp_path: Path) -> None:
    def told(path: Path, layout: str = '') -> Normalization | None:
        return read_source(str(path), lambda line: None, layout=layout).normalization

    file = tmp_path / 'it.safetensors'
    save_file(file_of('timm-vit'), file)
    assert told(file) is None  # of timm's some have 0.5
    assert told(file, layout='dino') == IMAGENET
    save_file(file_of('timm-siglip'), file)
    assert told(file) == HALF
    section = {'type': 'CenterView', 'mean': [127.5] * 3, 'std': [127.5] * 3}
    save_file(file_of('timm-vit'), file, metadata={'eval_view': json.dumps(section)})
    assert told(file) == HALF
    begin_run(tmp_path, train_state(ResNet(10, 8, strides=(2,), out_indices=(1,))))
    assert told(tmp_path) is None
    (tmp_path / 'config.json').write_text(json.dumps({'config': {'eval_view': section}}))
    assert told(tmp_path) == HALF


@pytest.mark.parametrize('name', ['mae', 'mocov3', 'ijepa', 'ibot', 'dinov2', 'swin'])
def test_layouts_of_one_normalization(name: str) -> None:
    assert stated(None, find(name).images) == IMAGENET
