"""Parts of the reference numbers: a loss and its gradients, in both precisions."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import golden

both_precisions = pytest.mark.parametrize('dtype', ['float64', 'float32'])


@dataclasses.dataclass(frozen=True)
class Part:
    """A file in one precision."""

    saved: golden.File
    dtype: str

    @property
    def meta(self) -> golden.Entries:
        """The settings of the file."""
        return self.saved.meta

    def input(self, name: str) -> jax.Array:
        """The array ``in/name``."""
        return jnp.asarray(self.saved.arrays[f'in/{name}'], self.dtype)

    def check(self, name: str, found: Any, bound: float | None = None) -> None:
        """`found` is what the file says, relative to its largest number."""
        place = 'out64' if self.dtype == 'float64' else 'out'
        expected = self.saved.arrays[f'{place}/{name}']
        bound = bound or (1e-9 if self.dtype == 'float64' else 2e-5)
        atol = bound * np.abs(expected).max()
        assert np.asarray(found).dtype == self.dtype
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol, err_msg=name)


@contextlib.contextmanager
def part(path: Path, dtype: str, *unread: str) -> Iterator[Part]:
    """A file of which the block reads everything of this precision."""
    other = 'out/*' if dtype == 'float64' else 'out64/*'
    with jax.enable_x64(dtype == 'float64'), golden.whole(path, other, *unread) as saved:
        yield Part(saved, dtype)
