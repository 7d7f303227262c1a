"""The README tells the truth: its code runs as it stands, only shorter."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from jssl.cli import VERBS
from jssl.cli.configs import shipped
from jssl.interop.safetensors import load_backbone
from jssl.main import main
from jssl.runs.metrics import read_metrics
from tests import tiny
from tests.conftest import ROOT

README = (ROOT / 'README.md').read_text()


@pytest.fixture
def code(digits_dir: str) -> str:
    """All Python blocks of the README in one, on 256 images and for one epoch."""
    joined = '\n'.join(re.findall(r'```python\n(.*?)```', README, flags=re.DOTALL))
    folder = f", data_dir='{digits_dir}')"
    shorter = {
        "'train')": f"'train[:256]'{folder}",
        "'test')": f"'test[:64]'{folder}",
        'epochs=8': 'epochs=1',
    }
    for long, short in shorter.items():
        assert long in joined
        joined = joined.replace(long, short)
    return joined


def test_library_examples_run(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {'__name__': 'readme'}
    exec(compile(code, 'README.md', 'exec'), names)
    said = capsys.readouterr().out
    assert 'report.html' in said
    assert "'align'" in said  # the metrics of the loop of one's own
    assert list((tmp_path / 'runs').glob('run-*/report.html'))


def test_backbone_of_ones_own_is_named_in_a_config(
    digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = re.findall(r'```python\n(class MyBackbone.*?)```', README, flags=re.DOTALL)
    (tmp_path / 'my_module.py').write_text(f'import flax.linen as nn\n\n\n{block}')
    (tmp_path / 'config.py').write_text(
        'from configs import simclr\n\n\n'
        'def get_config():\n'
        '    config = simclr.get_config()\n'
        "    config.model.backbone = {'type': 'my_module:MyBackbone', 'width': 32}\n"
        '    return config\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, 'my_module', raising=False)
    drop = ('--config.model.backbone', '--config=')
    given = tiny.arguments(digits_dir, tmp_path / 'run')
    argv = [argument for argument in given if not argument.startswith(drop)]
    argv += ['--config=config.py', '--config.model.backbone.width=16']
    assert main(argv) == 0
    weights = load_backbone(tmp_path / 'run' / 'backbone.safetensors')
    assert weights['backbone.Conv_1.weight'].shape == (16, 8, 2, 2)


def test_parts_in_fields_of_any_name_and_an_optimizer_of_optax_are_named_in_a_config(
    digits_dir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r'```python\n(.*?)```', README, flags=re.DOTALL)
    imports = next(block for block in blocks if 'import jssl\n' in block).partition('\n\n\n')[0]
    algorithm = next(block for block in blocks if 'class Spaces' in block)
    (tmp_path / 'my_module.py').write_text(f'{imports}\n{algorithm}')
    described: dict[str, Any] = {}
    exec(next(block for block in blocks if 'my_module:Spaces' in block), described)
    small = {'depth': 10, 'base_channels': 4, 'strides': (1, 2), 'out_indices': (2,)}
    described['model']['backbone'] |= small
    for projector in described['model']['projectors']:
        projector['in_channels'] = 8
    (tmp_path / 'config.py').write_text(
        'from configs import simclr\n\n\n'
        'def get_config():\n'
        '    config = simclr.get_config()\n'
        f'    config.model = {described["model"]!r}\n'
        f'    config.optimizer = {described["optimizer"]!r}\n'
        '    return config\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, 'my_module', raising=False)
    drop = ('--config.model', '--config=', '--config.optimizer')
    given = tiny.arguments(digits_dir, tmp_path / 'run')
    argv = [argument for argument in given if not argument.startswith(drop)]
    assert main([*argv, '--config=config.py']) == 0
    rows = [row for row in read_metrics(tmp_path / 'run' / 'metrics.jsonl') if 'sharp' in row]
    assert rows[-1]['loss'] > rows[-1]['sharp'] > 0
    assert max(row['lr'] for row in rows) == pytest.approx(1e-4)


def test_custom_loss_is_as_short_as_promised() -> None:
    block = re.search(r'@dataclasses.dataclass.*?\n\nsmall', README, flags=re.DOTALL)
    assert block
    assert len(block[0].splitlines()) < 30


def test_links_lead_somewhere() -> None:
    for target in re.findall(r'\]\(([^)#:]+)\)', README):
        assert (ROOT / target).exists(), target


def test_commands_are_those_of_the_ci() -> None:
    script = (ROOT / '.ci' / 'run').read_text()
    assert re.findall('.*&& pytest$', README, flags=re.MULTILINE) == [
        "pip install -e '.[test]' && pytest"
    ]
    # Read from the README; before it, all is collected where PyTorch is not installed.
    assert "grep --max-count=1 '&& pytest$' README.md" in script
    assert script.index('--collect-only') < script.index('torch==') < script.index('"$command"')
    for config in re.findall(r'--config=(configs/\w+\.py)', README):
        assert (ROOT / config).is_file()


def test_the_table_of_commands_is_that_of_the_program() -> None:
    rows = re.findall(r'^\| `jssl (\w+)[^|]*` \| (.*) \|$', README, flags=re.MULTILINE)
    assert [verb for verb, _ in rows] == list(VERBS)
    for config in re.findall(r'jssl train ([a-z]\w+)', README):
        assert config in shipped()
