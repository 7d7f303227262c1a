"""Your photos in five minutes: from a folder to vectors, as the page says."""

import json
from pathlib import Path

import numpy as np
import pytest

from jssl.cli import main
from tests.docs.pages import blocks, commands, run_python

PAGE = 'start/photos.md'


def test_a_folder_becomes_vectors(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(photos)
    embed, export = (
        next(words for words in commands(f'docs/{PAGE}') if words[:2] == [verb, 'runs/photos'])
        for verb in ('embed', 'export')
    )
    assert main(embed) == 0
    assert main(export) == 0
    shorter = {'range(25)': 'range(4)', '07.jpg': '03.jpg'}
    module = run_python(f'docs/{PAGE}', shorter)
    assert 'features.npz: 48 images' in (said := capsys.readouterr().out)
    assert '1.000  china-0/00.jpg' in said
    table = module['table']
    assert json.loads(str(table['about']))['layer'] == 'pooled'
    assert len(table['label_names']) == 12
    vectors = module['vectors']
    assert vectors.shape == (2, table['features'].shape[1])
    assert np.allclose(vectors[0], table['features'][0], atol=1e-4)
    assert (photos / 'photos.safetensors.md').exists()


def test_the_neighbours_are_as_short_as_promised() -> None:
    block = next(block for block in blocks(f'docs/{PAGE}', 'python') if 'argsort' in block)
    assert len(block.strip().splitlines()) <= 10
