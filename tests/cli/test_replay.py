"""`jssl replay`: what it writes and prints, and what is refused."""

import json
from pathlib import Path

import pytest
from PIL import Image

import jssl
from jssl.cli import main
from jssl.errors import JsslError
from tests.training import toy
from tests.training.test_finite import Breaks


@pytest.fixture(scope='module')
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp('replay')
    with pytest.raises(JsslError):
        jssl.fit(toy.experiment(Breaks(at=6)), workdir=directory)
    return directory


def test_a_step_is_written_and_told(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A run of a config is read back from its directory; this one was described in Python.
    subject = toy.experiment(Breaks(at=6))
    monkeypatch.setattr('jssl.cli.runs.experiment', lambda config: subject)
    automatic = (run / 'replay' / '6' / 'replay.json').read_bytes()
    assert main(['replay', str(run), '--step=6']) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1].startswith('step 6, repeated from step 4, as the metrics of the run have it')
    assert 'grad_norm nan' in told[2]
    assert told[3] == 'gradient norms: backbone nan  backbone.kernel nan'
    assert told[4].startswith("not finite: gradients['backbone']['kernel'] and 3 more after it")
    path = run / 'replay' / '6' / 'replay.json'
    assert told[5] == str(path)
    assert path.read_bytes() == automatic
    found = json.loads(path.read_text())
    assert found['epoch'] == 2
    assert found['metrics']['grad_norm'] == found['gradients'][''] == 'nan'
    assert found['index'] == subject.loader[5]['index'].tolist()
    assert found['samples'][0] == f'sample {found["index"][0]}'
    with Image.open(path.with_name('views.png')) as picture:
        assert picture.size == (2 * 98 - 2 + 4, 16 * 98 - 2)


@pytest.mark.parametrize(
    ('arguments', 'part'),
    [
        (['RUN'], '--step'),
        (['RUN', '--step=0'], '--step=0 must be a whole number of at least 1'),
        (['RUN', '--step=x'], "argument --step: invalid int value: 'x'"),
        (['RUN', '--step=2'], '--from_start'),
        (['RUN', '--step=13'], '--step=12 or less'),
        (['RUN/none', '--step=2'], 'config.json'),
    ],
)
def test_what_cannot_be_repeated_is_refused(
    arguments: list[str],
    part: str,
    run: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('jssl.cli.runs.experiment', lambda config: toy.experiment(Breaks(at=6)))
    assert main(['replay', *(text.replace('RUN', str(run)) for text in arguments)]) == 2
    said = capsys.readouterr().err.strip()
    assert part in said
    assert '\n' not in said


def test_a_config_that_was_changed_by_hand_is_named(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('jssl.cli.runs.experiment', lambda config: toy.experiment(Breaks(at=6)))
    path = run / 'config.json'
    record = json.loads(path.read_text())
    free = {'epochs': 99, 'threads': 3}  # a run may be lengthened, and no number goes by threads
    for changes, code in ((free, 0), ({**free, 'batch_size': 4}, 2)):
        path.write_text(json.dumps({**record, 'config': {**record['config'], **changes}}))
        assert main(['replay', str(run), '--step=5']) == code
    said = capsys.readouterr().err
    assert 'was changed since the run saved its checkpoints (then → now): batch_size: ' in said
    assert '→ 4. Its steps' in said
    path.write_text(json.dumps(record))
