import os
import subprocess
import sys

import pytest

from jssl.training import huge_pages
from jssl.training.huge_pages import SETTING, TUNABLE, VARIABLE, wanted

OFFERED = 'always [madvise] never'


def test_huge_pages_are_wanted_on_a_cpu_that_offers_them() -> None:
    assert wanted({}, OFFERED, accelerated=False)
    assert not wanted({}, OFFERED, accelerated=True)


@pytest.mark.parametrize('setting', ['', '[always] madvise never', 'always madvise [never]'])
def test_where_asking_changes_nothing_they_are_not(setting: str) -> None:
    assert not wanted({}, setting, accelerated=False)


@pytest.mark.parametrize('value', ['', 'glibc.malloc.hugetlb=0'])
def test_a_variable_that_is_set_is_left_alone(value: str) -> None:
    assert not wanted({VARIABLE: value}, OFFERED, accelerated=False)


PROGRAM = """
import os, sys
from jssl.training.huge_pages import restart_with_huge_pages

restart_with_huge_pages()
print(os.environ.get('GLIBC_TUNABLES'), sys.argv[1:])
"""


def test_a_program_starts_once_more_with_its_arguments() -> None:
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    offered = SETTING.exists() and '[madvise]' in SETTING.read_text()
    helped = offered and not huge_pages.has_accelerator_support()
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM, 'a b', '--c=d'],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"{TUNABLE if helped else None} ['a b', '--c=d']\n"
