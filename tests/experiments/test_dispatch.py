import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import dispatch
from jssl.algorithm import TrainState
from tests import tiny


def test_a_step_without_work_is_timed(digits_dir: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main([*tiny.arguments(digits_dir), '--steps=3', '--json']) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    leaves = found['leaves']
    assert leaves['params'] > 10
    assert leaves['together'] == sum(leaves[name] for name in dispatch.PARTS) + 2  # step and rng
    for name in ('in', 'out', 'in_and_out'):
        assert 0 < found[name]['lowest'] <= found[name]['median']


def test_every_leaf_changes() -> None:
    params = {'a': jnp.float32(1.0), 'b': jnp.bool_(True)}
    state = TrainState(jnp.int32(0), params, {}, (), jax.random.key(0))
    after = dispatch.advance(state)
    assert (int(after.step), float(after.params['a']), bool(after.params['b'])) == (1, 2.0, False)
    before, now = (np.asarray(jax.random.key_data(of.rng)) for of in (state, after))
    assert not np.array_equal(before, now)


def test_bad_input_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.main([tiny.CONFIG, '--config.batchsize=3']) == 2
    assert 'batch_size' in capsys.readouterr().err
