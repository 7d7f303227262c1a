"""Code that a file names: none of it is run or imported unless the user names it too."""

import copy
import io
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jssl.cli.reconstruct import reconstruct_run
from jssl.cli.train import parse
from jssl.components import build
from jssl.fitting.inheritance import inherited
from jssl.foreign import refuse_foreign
from jssl.main import main
from tests.checks import refused
from tests.conftest import ROOT

LINEAR = f'--config={ROOT / "configs" / "eval" / "linear.py"}'
STORED: dict[str, Any] = {
    'model': {'type': 'SimCLR', 'backbone': {'type': 'ResNet', 'depth': 10, 'base_channels': 4}},
    'data': {'type': 'TFDS', 'name': 'embedded_digits', 'split': 'train[:256]'},
    'test_data': {'type': 'TFDS', 'name': 'embedded_digits', 'split': 'test[:64]'},
    'canvas': 32,
    'channels': 3,
    'eval_view': {'type': 'CenterView', 'size': 32, 'resize': 32},
}
PARTS = ('model.backbone', 'data', 'test_data', 'eval_view')


class Trap:
    """A folder with a module, and commands, that leave a mark when they are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = folder / 'mark'
        touch = f'open({str(self.mark)!r}, "w").close()\n'
        net = 'import flax.linen as nn\nclass Net(nn.Module):\n    width: int = 3\n'
        (folder / 'trap_module.py').write_text(touch + net)

    def descriptions(self) -> Iterator[dict[str, Any]]:
        """Parts of a config that do something where they are believed."""
        touch = ['touch', str(self.mark)]
        yield {'type': 'subprocess:Popen', 'args': touch}
        yield {'type': 'logging:FileHandler', 'filename': str(self.mark)}
        yield {'type': 'trap_module:Net'}
        yield {'type': 'trap_module:nothing'}
        yield {'type': 'os:system', 'command': ' '.join(touch)}
        yield {'type': 'pickle:Unpickler', 'file': 'x'}
        yield {'type': 'jssl.interrupts:run_command'}  # jssl is more than its parts
        yield {'type': 'optax:adamw', 'learning_rate': {'type': 'trap_module:Net'}}
        yield {'type': 'MultiView', 'view': {'type': 'subprocess:Popen', 'args': touch}}
        yield {'type': 'ResNet', 'plugins': [{'type': 'trap_module:Net'}]}
        yield {'type': 'ResNet', 'plugins': {'a': [[{'b': {'type': 'trap_module:Net'}}]]}}

    def check(self) -> None:
        """Fails if anything was run."""
        assert not self.mark.exists()
        assert 'trap_module' not in sys.modules


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trap]:
    monkeypatch.chdir(tmp_path)  # a user who starts in the run's folder
    yield Trap(tmp_path)
    sys.modules.pop('trap_module', None)


def write(folder: Path, part: str, value: Any) -> str:
    """The directory of a run whose config.json says `value` for `part`."""
    config = json.loads(json.dumps(STORED))
    *path, key = part.split('.')
    inner = config
    for name in path:
        inner = inner[name]
    inner[key] = value
    (folder / 'config.json').write_text(json.dumps({'config': config}))
    return str(folder)


def takes_over(pretrained: str, **model: Any) -> dict[str, Any]:
    own = {'frozen_backbone': True, 'backbone': {'type': 'ResNet'}}
    return {'pretrained': pretrained, 'inherit': PARTS, 'model': own | model}


@pytest.mark.parametrize('part', PARTS)
def test_classes_of_others_are_refused_and_not_imported(trap: Trap, part: str) -> None:
    for value in trap.descriptions():
        with refused('its config.json names', 'no class of jssl', f'--config.{part}.'):
            inherited(takes_over(write(trap.folder, part, value)))
        trap.check()


@pytest.mark.parametrize('part', PARTS)
@pytest.mark.parametrize('value', [5, 'ResNet', ['a'], {'depth': 1}, {'type': ['os:x']}, True])
def test_what_is_no_part_of_a_config_is_refused(tmp_path: Path, part: str, value: Any) -> None:
    with refused(f'says {part}={value!r}', 'backbone.safetensors'):
        inherited(takes_over(write(tmp_path, part, value)))


@pytest.mark.parametrize('name', ['Popen', 'nn', 'Encoder', 'build_block', 'importlib', '__name__'])
def test_names_without_a_module_are_those_of_the_package_alone(name: str) -> None:
    with refused(f'config.backbone.type={name!r} is not known'):
        build('backbone', {'type': name})


@pytest.mark.parametrize('name', [3, None, ['os:system'], {'a': 1}])
def test_a_type_is_a_name(name: Any) -> None:
    with refused(f'config.backbone.type={name!r} is not known'):
        build('backbone', {'type': name})


def test_the_command_ends_in_a_paragraph(trap: Trap, capsys: pytest.CaptureFixture[str]) -> None:
    run = write(trap.folder, 'data', {'type': 'subprocess:Popen', 'args': ['touch', 'mark']})
    assert main([LINEAR, f'--config.pretrained={run}']) == 2
    said = capsys.readouterr().err
    assert "names 'subprocess:Popen' as data.type" in said
    assert 'add --config.data.type=subprocess:Popen.' in said
    trap.check()


def test_a_class_that_the_user_names_too_is_taken(trap: Trap) -> None:
    run = write(trap.folder, 'model.backbone', {'type': 'trap_module:Net', 'width': 5})
    for known in (takes_over(run, backbone={'type': 'trap_module:Net'}), takes_over(run)):
        trusted = [] if 'trap_module' in str(known) else ['trap_module:Net']
        found = inherited(known, trusted)['model.backbone']
        assert found == {'type': 'trap_module:Net', 'width': 5}
    name = '--config.model.backbone.type=trap_module:Net'
    backbone = parse([LINEAR, f'--config.pretrained={run}', name]).config['model']['backbone']
    assert backbone == {'type': 'trap_module:Net', 'width': 5}
    assert build('backbone', backbone).width == 5
    assert trap.mark.exists()


@pytest.mark.parametrize('key', ['__class__', 'get', 'a.b', '', 'lock'])
def test_keys_that_are_no_fields_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    run = write(tmp_path, 'data', STORED['data'] | {key: 1})
    assert main([LINEAR, f'--config.pretrained={run}']) == 2
    assert key in capsys.readouterr().err


def test_what_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    nested: Any = {'type': 'os:system'}
    for _ in range(40):
        nested = {'inner': [nested]}
    with refused('nested more than 32 levels deep'):
        refuse_foreign(nested, 'model', 'a file', (), lambda path, name: name)
    (tmp_path / 'config.json').write_text('{"config": {"data": ' + '[' * 100_000)
    with refused('is not the directory of a run'):
        inherited(takes_over(str(tmp_path)))


def test_pictures_of_a_run_need_its_classes_named(trap: Trap) -> None:
    write(trap.folder, 'data', {'type': 'trap_module:Net'})
    with refused("names 'trap_module:Net' as data.type", 'add --trust=trap_module:Net.'):
        reconstruct_run(trap.folder)
    trap.check()
    with refused('The config lacks'):  # the next thing that is wrong with that file
        reconstruct_run(trap.folder, ['trap_module:Net'])


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(600))
def test_hostile_configs_run_nothing(
    trap: Trap, monkeypatch: pytest.MonkeyPatch, digits_dir: str, seed: int
) -> None:
    draw = random.Random(seed)
    config = copy.deepcopy(STORED)
    config['data']['data_dir'] = config['test_data']['data_dir'] = digits_dir
    config = mutated(config, list(trap.descriptions()), draw)
    text = json.dumps({'config': config})
    if draw.random() < 0.1:
        text = text[: draw.randrange(len(text))]
    (trap.folder / 'config.json').write_text(text)
    file = ROOT / 'configs' / 'eval' / draw.choice(['linear.py', 'finetune.py'])
    written = io.BytesIO()
    monkeypatch.setattr('sys.stderr', io.TextIOWrapper(written, errors='backslashreplace'))
    (trap.folder / 'taken').touch()  # what is right so far ends there
    assert main([f'--config={file}', '--config.pretrained=.', '--workdir=taken']) == 2
    sys.stderr.flush()
    said = written.getvalue().decode()
    assert said.startswith('jssl: ')
    assert said.count('\n') == 1, said
    trap.check()


def mutated(config: dict[str, Any], hostile: list[Any], draw: random.Random) -> Any:
    """`config` with one to four values replaced, removed, nested or renamed."""
    odd: list[Any] = [
        None,
        True,
        0,
        -1,
        1e999,
        10**40,
        '',
        'x:y',
        ':',
        'a:b:c',
        '\ud800',
        [],
        {},
        [[]],
        0.5,
    ]
    for _ in range(draw.randint(1, 4)):
        places = list(_places(config))
        if not places:
            return draw.choice(odd)
        holder, key = draw.choice(places)
        value = copy.deepcopy(holder[key])
        kind = draw.randrange(5)
        if kind == 0:
            del holder[key]
        elif kind == 1:
            holder[key] = copy.deepcopy(draw.choice(odd))
        elif kind == 2:
            holder[key] = copy.deepcopy(draw.choice(hostile))
        elif kind == 3:
            holder[key] = draw.choice(
                [[value], {'type': value}, {'inner': value}, [[value], value]]
            )
        elif isinstance(holder, dict):
            holder[draw.choice(['type', 'name', 'parent', '__class__', 'get', 'a.b', ''])] = value
    return config


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
