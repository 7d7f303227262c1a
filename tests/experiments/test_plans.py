"""The page of plans: which recipes, which rows, what is printed."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from experiments import plans

ROW: dict[str, Any] = {
    **{'recipe': 'mae:imagenet', 'on': '8xh200', 'arguments': [], 'commit': 'abc'},
    'batch_size': 4096,
    **{'parameters': 111_900_000, 'operations': {'image': 60.5e9}},
    **{'moved': 25e9, 'kernels': 900},
    'memory': {'total': 20 * 2**30, 'limit': 131 * 2**30, 'fits': True},
    'roofline': {
        **{'seconds': 0.05, 'arithmetic': 0.03, 'memory': 0.05, 'messages': 0.001},
        **{'binds': 'memory', 'device_images_per_second': 10240.0, 'utilisation': 0.6},
        'hours': 7.0,
    },
}


def test_every_recipe_for_imagenet_is_planned_and_those_with_an_aim_first() -> None:
    found = plans.recipes()
    assert found[: len(plans.FIRST)] == list(plans.FIRST)
    assert {'byol:imagenet', 'swav:imagenet', 'dinov3:imagenet'} <= set(found)
    assert len(found) == len(set(found)) > 27
    assert all(set(names) <= set(found) for names in plans.LOOPED.values())


def test_rows_that_there_are_are_not_made_again_and_a_failure_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        wrong = 'byol:imagenet' in command
        numbers = {
            name: value
            for name, value in ROW.items()
            if name not in ('recipe', 'arguments', 'commit')
        }
        out = json.dumps({**numbers, 'on': command[5].partition('=')[2]})
        return subprocess.CompletedProcess(command, 2 * wrong, out, 'jssl: no' * wrong)

    monkeypatch.setattr(plans, 'commit', lambda: 'abc')
    monkeypatch.setattr('subprocess.run', run)
    files = [f'--rows={tmp_path / "rows.jsonl"}', f'--write={tmp_path / "page.md"}']
    only = ['--only', 'mae:imagenet', 'ijepa:imagenet', '--on', '8xh200']
    assert plans.main([*files, *only]) == 0
    assert plans.main([*files, *only]) == 0
    assert [command[4] for command in asked] == ['mae:imagenet', 'ijepa:imagenet']
    assert asked[1][-2:] == list(plans.LOOP)
    assert plans.main([*files, '--only', 'byol:imagenet', '--on', 'v5e-64']) == 1
    assert 'byol:imagenet on v5e-64: jssl: no' in capsys.readouterr().out
    page = (tmp_path / 'page.md').read_text()
    assert '| `ijepa:imagenet`* |' in page
    assert 'byol' not in page
    row = next(line for line in page.splitlines() if line.startswith('| `mae:imagenet`'))
    for part in (
        '4,096',
        '111.9 M',
        '60.5',
        '20.0 of 131',
        '25.0',
        'memory',
        '10,240',
        '60%',
        'abc',
    ):
        assert f'| {part} |' in row


def test_what_does_not_fit_has_no_bounds() -> None:
    full = {**ROW, 'memory': {'total': None, 'limit': 2**34, 'fits': False}}
    del full['roofline']
    found = plans.cells(full)
    assert found['GiB'] == '? of 16, too much'
    assert {found[name] for name in plans.BOUNDS} == {'?'}


def test_the_page_is_that_of_the_rows() -> None:
    rows = plans.read_rows(plans.ROOT / 'experiments' / 'plans.jsonl')
    page = plans.ROOT / 'docs' / 'reference' / 'plans.md'
    assert page.read_text(encoding='utf-8') == plans.page(rows)
