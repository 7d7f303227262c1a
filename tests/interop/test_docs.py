"""The page about MMSelfSup: its code runs as it stands."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jssl.interop.mmselfsup import export_state
from jssl.weights.files import read_weights, write_weights

PAGE = Path(__file__).parents[2] / 'docs/tutorials/mmselfsup.md'
BUILD, MOVE, _ = re.findall(r'```python\n(.*?)```', PAGE.read_text(), re.DOTALL)


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the first block defines, of a smaller network, in a folder with its weights."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    smaller = BUILD.replace('depth=50', 'depth=10').replace('=2048', '=512')
    exec(smaller.replace('65536', '64'), names)
    draw = np.random.default_rng(0)
    drawn = lambda x: draw.normal(0, 9, x.shape).astype(x.dtype)  # noqa: E731
    params, state = jax.tree.map(drawn, names['shapes'])
    weights = export_state(params, state, algorithm=names['algorithm'])
    write_weights(tmp_path / 'moco.safetensors', weights)
    return names


def test_a_checkpoint_comes_in_and_goes_out_again(built: dict[str, Any], tmp_path: Path) -> None:
    exec(MOVE, built)
    before, after = (read_weights(tmp_path / f'{name}.safetensors') for name in ('moco', 'again'))
    assert before.keys() == after.keys()
    assert {'encoder_k.module.1.mlp.0.weight', 'queue_ptr'} <= after.keys()
    for key in before:
        np.testing.assert_array_equal(after[key], before[key], err_msg=key)
