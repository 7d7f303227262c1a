"""Huge pages for the memory of steps on a Linux CPU.

XLA gives the memory of a step back to the system when it ends, so that every step touches it anew,
page by page: up to a third of the time of an embedded config. The C library asks for pages of 2 MB
instead of 4 kB if an environment variable says so when a program starts.
"""

import importlib.metadata
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

SETTING = Path('/sys/kernel/mm/transparent_hugepage/enabled')
ON_REQUEST = '[madvise]'  # what it says where programs get huge pages if they ask for them
VARIABLE = 'GLIBC_TUNABLES'
TUNABLE = 'glibc.malloc.hugetlb=1'


def restart_with_huge_pages() -> None:
    """Starts this program again with the variable set, in the same process, where that helps.

    That is on Linux with JAX for the CPU alone. A variable that is set already, to nothing as well,
    is left as it is. Call it before JAX has begun to compute.
    """
    setting = SETTING.read_text() if SETTING.exists() else ''
    if wanted(os.environ, setting, accelerated=has_accelerator_support()):
        os.execve(sys.executable, sys.orig_argv, {**os.environ, VARIABLE: TUNABLE})


def wanted(environment: Mapping[str, str], setting: str, *, accelerated: bool) -> bool:
    """Whether the variable should be set.

    Args:
      environment: of the program.
      setting: what the system says about huge pages; empty where there are none.
      accelerated: whether JAX may compute elsewhere.
    """
    return VARIABLE not in environment and ON_REQUEST in setting and not accelerated


def has_accelerator_support() -> bool:
    """Whether JAX is installed with support for a GPU or TPU."""
    plugins = importlib.metadata.entry_points(group='jax_plugins')
    return bool(plugins) or importlib.util.find_spec('libtpu') is not None
