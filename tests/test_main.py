"""The command line: what it refuses, and in which words."""

from pathlib import Path

import pytest

from jssl.cli.train import parse
from jssl.main import main
from tests import tiny


def refusal(capsys: pytest.CaptureFixture[str], argv: list[str]) -> str:
    """What the command says when it refuses: one paragraph on standard error, status 2."""
    assert main(argv) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith('jssl: ')
    assert 'Traceback' not in said
    assert '\n' not in said
    return said


@pytest.mark.parametrize(
    ('override', 'words'),
    [
        ('--config.optimizer.lrr=0.1', ['optimizer.lrr', "Did you mean 'lr'"]),
        ('--config.modle.type=SimCLR', ['modle', 'model']),
        ('--config.batch_size=many', ['config.batch_size', 'many']),
        ('--config.epochs=0.5', ['config.epochs', '0.5']),
        ('--config.model.type=SimCRL', ['config.model.type', "'SimCRL'", "'SimCLR'"]),
        ('--config.model.backbone.type=ResNett', ['backbone.type', "'ResNett'", "'ResNet'"]),
        ('--config.model.backbone.type=no_module:Net', ['no_module', 'module:Class']),
        ('--config.model.backbone.depth=19', ['depth=19', '18']),
        ('--config.model.head.temperature=0', ['head.temperature', 'positive']),
        ('--config.optimizer.type=Adam', ['config.optimizer.type', "'AdamW'"]),
        ('--config.optimizer.lr=-1', ['optimizer.lr', '-1']),
        ('--config.schedule.warmup_epochs=99', ['warmup_epochs', '99']),
        ('--config.views.view.size=0', ['config.views.view.size=0', 'at least 1']),
        ('--config.views.view.hue=0.9', ['config.views.view.hue=0.9', '0.5']),
        ('--config.eval_view.resize=8', ['CenterView.size', '8']),
        ('--config.batch_size=12', ['config.batch_size=12', '8 devices', 'size=8 or', '=16']),
        ('--config.batch_size=0', ['config.batch_size=0', 'at least 1']),
        ('--config.batch_size=512', ['512', '256']),
        ('--config.mesh.devices=64', ['config.mesh.devices=64', '8']),
        ('--config.mesh.fsdp=3', ['config.mesh.fsdp=3', '8 devices']),
        ('--config.resident=maybe', ['config.resident', "'maybe'"]),
        ('--config.checkpoint.keep=0', ['config.checkpoint.keep=0', 'at least 1']),
        ('--config.data.split=trian', ["'trian'", 'train']),
        ('--config.data.name=embeded_digits', ['embeded_digits', 'embedded_digits']),
        ('--confg=x', ['confg', 'config']),
    ],
)
def test_bad_values_are_refused_by_name(
    capsys: pytest.CaptureFixture[str],
    digits_dir: str,
    tmp_path: Path,
    override: str,
    words: list[str],
) -> None:
    said = refusal(capsys, [*tiny.arguments(digits_dir, tmp_path / 'run'), override])
    for word in words:
        assert word in said
    assert not (tmp_path / 'run').exists()  # nothing is left behind


def test_neck_that_does_not_fit_the_backbone(
    capsys: pytest.CaptureFixture[str], digits_dir: str, tmp_path: Path
) -> None:
    said = refusal(
        capsys, tiny.arguments(digits_dir, tmp_path / 'run', model__neck__in_channels=99)
    )
    assert 'neck.in_channels=99' in said
    assert 'set config.model.neck.in_channels=16' in said


def test_missing_data_set_says_how_to_prepare_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = f'--config.data.data_dir={tmp_path}'
    said = refusal(capsys, [f'{tiny.CONFIG}:cifar10', folder])
    assert f'tfds build cifar10 --file_format=array_record --data_dir={tmp_path}' in said


def test_directory_that_is_a_file(
    capsys: pytest.CaptureFixture[str], digits_dir: str, tmp_path: Path
) -> None:
    (tmp_path / 'run').write_text('a file')
    said = refusal(capsys, tiny.arguments(digits_dir, tmp_path / 'run'))
    assert str(tmp_path / 'run') in said
    assert '--workdir' in said


@pytest.mark.parametrize(
    ('argv', 'words'),
    [
        ([], ['jssl train simclr']),
        ([tiny.CONFIG, '--config.workdir=a b'], ["write '--workdir=a b'."]),
        ([tiny.CONFIG, '--config.work_dir=runs/x'], ['write --workdir=runs/x.']),
        ([tiny.CONFIG, '--config.seeds=3'], ["Did you mean 'seed'?"]),
        ([tiny.CONFIG, '--config.same_data=True'], ['write --same_data.']),
        (['--config=configs/no_such.py'], ['no_such.py']),
        ([f'{tiny.CONFIG}:cifra10'], ["'cifra10'", "'cifar10'"]),
        ([tiny.CONFIG, 'epochs=3'], ['epochs=3', '--']),
        ([tiny.CONFIG, '--coordinator=nowhere'], ['host and port', '--coordinator=nowhere:1234']),
        ([tiny.CONFIG, '--coordinator=nowhere:1'], ['processes', '--coordinator']),
    ],
)
def test_command_lines_that_name_no_experiment(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: list[str]
) -> None:
    said = refusal(capsys, argv)
    for word in words:
        assert word in said


def test_broken_config_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    broken = tmp_path / 'broken.py'
    broken.write_text('def get_config(: pass')
    assert 'broken.py' in refusal(capsys, [f'--config={broken}'])
    broken.write_text('import no_such_module')
    assert 'no_such_module' in refusal(capsys, [f'--config={broken}'])


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        (
            'def get_config(): raise RuntimeError("a\\nb")',
            ['RuntimeError: a b', 'broken.py, line 1'],
        ),
        ('x = 1 / 0', ['ZeroDivisionError', 'broken.py, line 1']),
        ('def get_config(): return {"a": 1}', ['broken.py gives', 'ml_collections.ConfigDict']),
        ('def get_config(): pass', ['broken.py gives None', 'ml_collections.ConfigDict']),
        ('\0', ['SyntaxError']),
    ],
)
def test_a_config_s_own_errors_are_told_with_their_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: list[str]
) -> None:
    (tmp_path / 'broken.py').write_text(text)
    said = refusal(capsys, [f'--config={tmp_path / "broken.py"}'])
    for word in words:
        assert word in said


def test_a_missing_config_is_told_with_those_beside_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / 'mine.py').touch()
    said = refusal(capsys, [f'--config={tmp_path / "mien.py"}:variant'])
    assert 'there is no file' in said
    assert f'Did you mean {str(tmp_path / "mine.py")!r}?' in said
    assert 'ml_collections' not in said


def test_fields_left_at_their_default_can_be_set(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = {
        'config.views.view.hue': '0.125',
        'config.optimizer.clip': '3.0',
        'config.model.backbone.dtype': 'bfloat16',
        'config.views.view.sigma': '(0.5, 1.0)',
    }
    argv = [tiny.CONFIG, *(f'--{key}={value}' for key, value in overrides.items())]
    monkeypatch.setattr('sys.argv', ['jssl', *argv])  # as on a real command line
    values = parse(argv)
    given = values.config
    assert given['views']['view']['hue'] == 0.125
    assert given['views']['view']['sigma'] == (0.5, 1.0)
    assert given['optimizer']['clip'] == 3.0
    assert given['model']['backbone']['dtype'] == 'bfloat16'
    said = refusal(capsys, [tiny.CONFIG, '--config.views.view.hue=red'])
    assert "config.views.view.hue='red' has type str, but View expects float" in said
    said = refusal(capsys, [tiny.CONFIG, '--config.optimizer.batch_rule=cubic'])
    assert "config.optimizer.batch_rule='cubic' must be one of 'linear', 'sqrt'" in said


def test_help_lists_the_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(['--help']) == 0
    said = capsys.readouterr().out
    for argument in ('--config', '--workdir', '--distributed', '--coordinator'):
        assert argument in said
