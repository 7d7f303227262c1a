"""The page about released weights, with a folder as timm publishes them, tiny and random."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from jssl.main import main
from jssl.runs.metrics import read_metrics
from tests import tiny
from tests.docs.pages import blocks, run_python
from tests.interop.layouts.test_layouts import file_of

PAGE = 'docs/tutorials/released_weights.md'
LAST = 'Give it the network of the weights: '


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `hf download` leaves, of a network 8 wide, and a photo."""
    monkeypatch.chdir(tmp_path)
    Path('vit_small').mkdir()
    arrays = {key: value / 10 for key, value in file_of('timm-vit').items()}
    save_file(arrays, 'vit_small/model.safetensors')
    told = {'architecture': 'vit_tiny', 'num_features': 8, 'model_args': {'num_heads': 2}}
    Path('vit_small/config.json').write_text(json.dumps(told))
    Image.fromarray(np.full((20, 20, 3), 90, np.uint8)).save('photo.jpg')


def test_it_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    run_python(PAGE)
    said = capsys.readouterr().out.splitlines()
    shown = next(block for block in blocks(PAGE, 'text') if 'arrays' in block).splitlines()
    assert [re.sub('174', '30', shown[0]), '4 antialiased', '(8,)'] == said


def test_what_the_refusal_says_can_be_typed_and_then_it_trains(
    digits_dir: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word for word in tiny.arguments(digits_dir, Path('run')) if '.model.' not in word]
    given += ['--config.pretrained=vit_small', '--config.model.neck.out_channels=8']
    assert main(given) == 2
    refusal = capsys.readouterr().err
    page = next(block for block in blocks(PAGE, 'text') if block.startswith('jssl:'))
    first, last = ' '.join(page.split()).split('the weights lack 49 of its arrays')[0], LAST
    assert first in refusal
    assert last in refusal
    typed = shlex.split(refusal.partition(last)[2])
    fitting = ['--config.model.neck.in_channels=8', '--config.model.neck.vit_backbone=True']
    assert main([*given, *typed, *fitting]) == 0
    took = next(block for block in blocks(PAGE, 'text') if 'backbone from' in block)
    assert took.replace('174', '30') in capsys.readouterr().out
    rows: list[Any] = read_metrics(Path('run/metrics.jsonl'))
    assert rows[-1]['knn'] > 0
