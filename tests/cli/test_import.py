"""`jssl import` of a config: what it writes, what it says, and that the result trains."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jssl import cli
from jssl.cli.configs import load
from tests.interop.configs import examples


def run(*argv: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = cli.main(['import', *map(str, argv)])
    said = capsys.readouterr()
    return status, said.out + said.err


@pytest.mark.slow  # pytest -n 0 -m slow tests/cli/test_import.py: 17 s of a CPU core
def test_a_config_comes_over_and_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    examples.write(tmp_path, 'moco_2xb4.py')
    status, said = run('moco_2xb4.py', 'here/mine.py', capsys=capsys)
    assert status == 0
    assert said == ('MoCo, from moco_2xb4.py of MMSelfSup 1.x.\njssl train --config=here/mine.py\n')
    assert load('here/mine.py')['batch_size'] == 8
    folder = tmp_path / 'pictures/train'
    folder.mkdir(parents=True)
    for number in range(8):
        noise = np.random.default_rng(number).integers(0, 255, (24, 24, 3), np.uint8)
        Image.fromarray(noise).save(folder / f'{number}.png')
    (tmp_path / 'pictures/meta').mkdir()
    (tmp_path / 'pictures/meta/train.txt').write_text(''.join(f'{n}.png\n' for n in range(8)))
    options = ('canvas=32', 'epochs=1', 'schedule.warmup_epochs=0', 'threads=0')
    argv = [f'--config.{option}' for option in options]
    assert cli.main(['train', '--config=here/mine.py', '--workdir=run', *argv]) == 0
    assert (tmp_path / 'run/backbone.safetensors').is_file()


def test_what_is_different_is_said_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = examples.write(tmp_path, 'byol_8xb4.py', examples.OLDER)
    _, said = run(source, tmp_path / 'mine.py', capsys=capsys)
    assert 'Different here: byol_8xb4.py:15: half precision' in said
    assert '# Different here: byol_8xb4.py:15: half' in (tmp_path / 'mine.py').read_text()


def test_odd_arguments_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = examples.write(tmp_path)
    there = tmp_path / 'there.py'
    there.write_text('mine')
    for argv, words in (
        ((source, there), 'is there already'),
        ((source, tmp_path / 'mine.json'), 'must end in .py'),
        ((source, there / 'mine.py'), 'mine.py cannot be written: '),
        ((tmp_path / 'it.yaml', tmp_path / 'mine.py'), 'it.yaml does not end in .py'),
        ((source, tmp_path / 'mine.py', '--to=timm'), '--to is for weights'),
        ((source, tmp_path / 'mine.py', '--processes=0'), '--processes=0 must be'),
        ((tmp_path / 'none.py', tmp_path / 'mine.py'), 'cannot be read'),
        (('x.pth', tmp_path / 'x.safetensors', '--images=3'), '--images is for configs'),
    ):
        status, said = run(*argv, capsys=capsys)
        assert (status, said.count('\n')) == (2, 1)
        assert words in said
    assert there.read_text() == 'mine'
    assert not (tmp_path / 'mine.py').exists()
