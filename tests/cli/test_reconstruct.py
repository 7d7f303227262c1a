"""`jssl reconstruct`: the picture of a run, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jssl.cli import main
from jssl.cli.reconstruct import reconstruct_run
from jssl.data.sources import Arrays
from jssl.fitting.fit import fit
from jssl.fitting.pictures import reconstruct
from tests.algorithms import runs
from tests.checks import refused
from tests.visualization.test_reconstructions import subject


def test_a_run_is_read_back_from_its_directory(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = fit(subject(), workdir=tmp_path / 'run')
    found = reconstruct(subject(), outcome.train_state.params, outcome.train_state.state)
    capsys.readouterr()
    # A run of a config is read back from its directory; this one was described in Python.
    monkeypatch.setattr('jssl.cli.runs.experiment', lambda config: subject())
    again = reconstruct_run(tmp_path / 'run')
    np.testing.assert_array_equal(again.pictures, found.pictures)
    out = tmp_path / 'new' / 'mae.png'
    arguments = [str(tmp_path / 'run'), '--images=3', f'--out={out}']
    assert not capsys.readouterr().out
    other = Arrays(255 - runs.images())
    monkeypatch.setattr('jssl.cli.runs.experiment', lambda config: subject(data=other))
    assert main(['reconstruct', *arguments]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(f'config.data is not what the run in {tmp_path / "run"} had: 48 gone')
    assert told[1].startswith(f'{out}: PSNR')
    with Image.open(out) as picture:
        assert picture.size == (3 * 10 - 2 + 4, 3 * 10 - 2)


def test_what_cannot_be_reconstructed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(['reconstruct', str(tmp_path)]) == 2
    assert 'config.json' in capsys.readouterr().err
    (tmp_path / 'config.json').write_text(json.dumps({'config': {}}))
    monkeypatch.setattr('jssl.cli.runs.experiment', lambda config: subject())
    with refused('no checkpoint', str(tmp_path)):
        reconstruct_run(tmp_path)
    workdir = str(tmp_path)
    for wrong, part in (
        ([workdir, '--images=0'], '--images=0'),
        ([workdir, '--images=x'], "argument --images: invalid int value: 'x'"),
        ([workdir, '--out=a.jpg'], '.png or .webp'),
        ([workdir, '--out=/dev/null/x.png'], '--out=x.png'),
        ([workdir, '--out'], 'argument --out: expected one argument'),
        ([], 'the following arguments are required: RUN'),
    ):
        assert main(['reconstruct', *wrong]) == 2
        said = capsys.readouterr().err.strip()
        assert part in said
        assert '\n' not in said
