"""The public face: every name is there, completion shows it, and importing it is quick."""

import importlib.metadata
import subprocess
import sys

import pytest

import jssl
from tests.conftest import ROOT


@pytest.mark.parametrize('name', jssl.__all__)
def test_public_names_are_there_and_shown(name: str) -> None:
    assert getattr(jssl, name).__doc__
    assert name in dir(jssl)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fti'"):
        _ = jssl.fti


def test_importing_jssl_imports_neither_jax_nor_tfds() -> None:
    code = (
        'import sys, jssl; print({"jax", "tensorflow_datasets", "matplotlib"} & set(sys.modules))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == 'set()'


def test_the_version_stands_in_one_place() -> None:
    try:
        installed = importlib.metadata.version('jssl')
    except importlib.metadata.PackageNotFoundError:
        pytest.skip('jssl is imported from its folder and not installed')
    assert installed == jssl.__version__


def test_types_travel_with_the_package() -> None:
    assert (ROOT / 'jssl' / 'py.typed').is_file()
