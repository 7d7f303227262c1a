"""How far jssl is from one file of reference numbers: `python -m experiments.parity_measure FILE`.

Prints a line of JSON. Errors are those that the tests bound, found by the same functions: of a step
the loss, the gradients and the state after it; of a trajectory the losses and the state after the
last step; of a backbone its features, the gradients and its statistics; of a part the largest one
that its tests meet.
"""

import contextlib
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# As in the tests, but for the fake devices.
os.environ.setdefault('XLA_FLAGS', '--xla_backend_optimization_level=0')
os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax
import pytest

from tests import golden, parity, trajectories
from tests.backbones.reference import Backbone, mode_errors
from tests.noted import Notes

DTYPES = ('float64', 'float32')
# Below this share of the largest array, an array is measured against that share: rounding is as
# large as what is 0 in exact arithmetic.
SMALLEST = {'float64': 1e-6, 'float32': 1e-3}
Errors = dict[str, float]


def measured(path: Path) -> dict[str, Any]:
    """The kind of a file and its errors, `{'float64': {'loss': 1e-9, ...}, ...}`."""
    kind = golden.kind(path)
    measures = {'step': step, 'trajectory': trajectory, 'backbone': backbone}
    if kind not in measures:
        return {'kind': 'part'} | part(path)
    errors: dict[str, Errors] = {}
    for dtype in DTYPES:
        with jax.enable_x64(dtype == 'float64'):
            errors[dtype] = measures[kind](golden.File(path), dtype)
    return {'kind': kind, 'errors': errors}


def step(saved: golden.File, dtype: str) -> Errors:
    """Of one step: the loss, the gradients, the state after it."""
    found, rows, smallest = (
        parity.Stepper(saved, dtype)(),
        parity.state_rows(saved),
        SMALLEST[dtype],
    )
    total = saved.meta['total64']
    loss = {'total': abs(found.loss - total) / abs(total)}
    grads = parity.row_errors(saved, found.grads, saved.table('grad64'), smallest)
    state = parity.row_errors(saved, found.after, rows, smallest)
    return worst({'loss': loss, 'gradients': grads, 'state': state})


def trajectory(saved: golden.File, dtype: str) -> Errors:
    """Of several steps: the loss of each, the weights and the state after the last."""
    losses, _, after = trajectories.train(saved, dtype)
    expected = [losses['total'] for losses in saved.meta['losses64']]
    rows = parity.row_errors(saved, after, parity.state_rows(saved), SMALLEST[dtype])
    apart = {
        str(number): abs(ours - theirs) / abs(theirs)
        for number, (ours, theirs) in enumerate(zip(losses, expected, strict=True))
    }
    return worst({'trajectory': apart, 'state': rows})


def backbone(saved: golden.File, dtype: str) -> Errors:
    """Of a backbone in training and in evaluation: features, gradients, statistics."""
    network = Backbone(saved, dtype)
    errors: dict[str, Errors] = {}
    for mode in ('train', 'eval'):
        for name, found in mode_errors(saved, network, mode, SMALLEST[dtype]).items():
            errors[name] = errors.get(name, {}) | {f'{mode}/{key}': found[key] for key in found}
    return worst(errors)


def part(path: Path) -> dict[str, Any]:
    """Of a part: the largest error that its tests noted, and how they ended."""
    notes = Notes([path])
    modules = [str(file) for file in golden.modules_of(path) if file.name.startswith('test_')]
    options = ['-n', '0', '-q', '-p', 'no:cacheprovider', '-m', '']
    with contextlib.redirect_stdout(io.StringIO()) as said:
        status = pytest.main([*options, *modules], plugins=[notes])
    if status:
        raise RuntimeError(' '.join(said.getvalue().strip().splitlines()[-1:]))
    errors = {dtype: {'part': error} for dtype, error in notes.errors[path].items()}
    return {'errors': errors, 'tests': sum(notes.outcomes[path].values())}


def worst(errors: Mapping[str, Errors]) -> Errors:
    """The largest error of each quantity that a file has."""
    return {name: max(found.values()) for name, found in errors.items() if found}


if __name__ == '__main__':
    print(json.dumps(measured(Path(sys.argv[1]))))
