"""What is installed: every package of jssl, and the configs as one of them."""

import runpy
from typing import Any

import pytest
import setuptools

from tests.conftest import ROOT


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What setup.py hands to setuptools."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **fields: found.update(fields))
    monkeypatch.chdir(ROOT)
    runpy.run_path('setup.py')
    return found


def test_every_folder_with_modules_is_installed(given: dict[str, Any]) -> None:
    for top, package in (('jssl', 'jssl'), ('configs', 'jssl.configs')):
        for folder in {file.parent for file in (ROOT / top).rglob('*.py')}:
            name = '.'.join((package, *folder.relative_to(ROOT / top).parts))
            assert name in given['packages']
    assert given['package_dir'] == {'jssl.configs': 'configs'}
