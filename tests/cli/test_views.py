"""`jssl views`: the picture of a config, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jssl.cli import main
from tests import tiny


def test_the_command_writes_a_picture_and_prints_its_path(
    digits_dir: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'new' / 'views.png'
    jitter: dict[str, Any] = {'views__view__jitter': 0.0, 'views__view__blur': 0.0}
    command = [*tiny.arguments(digits_dir, **jitter), '--images=3', f'--out={path}']
    assert main(['views', *command]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    with Image.open(path) as picture:
        assert picture.size == (3 * 98 - 2 + 4, 3 * 98 - 2)


@pytest.mark.parametrize(
    ('arguments', 'parts'),
    [
        (['--out=views.jpg'], ["--out='views.jpg'", '.png or .webp']),
        (['--out=/dev/null/x.png'], ["--out='/dev/null/x.png' cannot", '--out=x.png']),
        ([f'--out={"x" * 252}.png'], ['is longer than 255 bytes', '--out=views.png']),
        (['--out'], ['argument --out: expected one argument']),
        (['--images'], ['argument --images: expected one argument']),
        (['--images=x'], ["argument --images: invalid int value: 'x'"]),
        (['--images=0'], ['--images=0 must be a whole number of at least 1']),
        (['--config.views.view.size=0'], ['config.views.view.size=0', 'at least 1']),
        (['--imagse=3'], ['--imagse=3 is no argument', 'Did you mean --images=3?']),
    ],
)
def test_the_command_refuses_in_one_paragraph(
    arguments: list[str],
    parts: list[str],
    digits_dir: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(['views', *tiny.arguments(digits_dir), *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith('jssl: ')
    assert '\n' not in said
    for part in parts:
        assert part in said
