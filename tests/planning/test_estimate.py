"""All that is known of a run, as numbers."""

import dataclasses
import json
from typing import Any

import jax
import pytest

from jssl.data.canvas import Canvas
from jssl.planning import estimate as module
from jssl.planning import machines
from jssl.planning.estimate import estimate, largest, on_a_line
from tests.checks import refused

FLEET = machines.parse('8xh200')


@pytest.mark.parametrize('limit', [0, 63, 64, 500, 512, 700, 5000])
def test_the_largest_that_fits_is_found_in_few_steps(limit: int) -> None:
    asked: list[int] = []

    def fits(batch: int) -> bool:
        asked.append(batch)
        return batch <= limit

    assert largest(fits, first=512, unit=64) == limit // 64 * 64
    assert len(asked) == len(set(asked)) <= 11


def test_the_largest_is_estimated_along_a_line() -> None:
    assert on_a_line([(64, 300), (32, 200)], limit=1000, unit=8) == 288
    assert on_a_line([(64, 300), (32, 300)], limit=1000, unit=8) == 64
    assert on_a_line([(64, 3000), (32, 2500)], limit=1000, unit=8) == 0


@dataclasses.dataclass(frozen=True)
class Plain:
    """The canvas as it is, between -1 and 1."""

    def __call__(self, key: jax.Array, canvas: Canvas) -> dict[str, Any]:
        return {'views': (canvas.pixels / 128 - 1,)}


def small(**changes: Any) -> dict[str, Any]:
    """A config whose step compiles in a moment."""
    return dict(
        model=dict(type='tests.training.toy:Toy', width=64),
        data=dict(type='jssl.planning.program:Blank', number=320),
        views=dict(type='tests.planning.test_estimate:Plain'),
        eval_view=dict(type='CenterView', size=16, resize=16),
        optimizer=dict(type='AdamW', lr=1e-3),
        **dict(batch_size=32, epochs=1, canvas=16) | changes,
    )


def test_shapes_alone_tell_parameters_and_arithmetic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, 'lacks', lambda machine: 'pip install it')
    found = estimate(small(), FLEET)
    assert (found['images'], found['steps'], found['devices']) == (320, 10, 8)
    assert found['missing'] == 'pip install it'
    assert found['parameters'] == 16 * 16 * 3 * 64
    product = 2 * 16 * 16 * 3 * 64  # of an image; the pixels need no gradient
    assert found['operations']['image'] * 32 == found['operations']['step'] == 32 * 2 * product
    params, optimizer = (part['bytes'] for part in found['state'][:2])
    assert params == 4 * found['parameters']
    assert optimizer == pytest.approx(2 * params, abs=16)  # two moments, and the steps taken
    assert not {'memory', 'roofline', 'moved'} & found.keys()
    with refused('config.batch_size=32', 'over 24 devices', '=24 or', '--on=2x8xh100.'):
        estimate(small(), machines.parse('3x8xh100'))
    with refused('config.mesh.fsdp=3', '--on=8xh200', 'choose a divisor'):
        estimate(small(mesh=dict(fsdp=3)), FLEET)
    with refused('config.mesh.devices=4 is not the 8 devices of --on=8xh200', 'leave it out'):
        estimate(small(mesh=dict(devices=4)), FLEET)


def test_a_compiled_step_tells_memory_messages_and_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, 'lacks', lambda machine: '')
    monkeypatch.setattr(module, 'topology', lambda fleet: tuple(jax.devices()[:8]))
    found = json.loads(json.dumps(estimate(small(), FLEET, second=False)))
    memory, bound = found['memory'], found['roofline']
    assert memory['fits']
    assert 0 < memory['aliased'] <= memory['outputs']
    assert memory['total'] > memory['temporaries'] > found['batch_device_bytes']
    assert found['moved'] > memory['arguments']
    assert found['to_host'] == found['copied'] == []
    assert {message['devices'] for message in found['collectives']} == {8}
    assert bound['seconds'] == max(bound[name] for name in ('arithmetic', 'memory', 'messages'))
    assert bound['images_per_second'] * bound['seconds'] == pytest.approx(32)
    assert bound['hours'] * 3600 == pytest.approx(10 * bound['seconds'])


def test_a_batch_that_does_not_fit_is_answered_with_one_that_should(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The compiler's part is played: half a GiB, and 10 GiB an image, of 80 GB."""
    devices, batches = tuple(jax.devices()[:8]), []

    def compiled(batch_size: int) -> int | None:
        batches.append(batch_size)
        return batch_size if batch_size < 64 else None

    def memory(batch_size: int) -> Any:
        total = 2**29 + 10 * 2**30 * batch_size // 8
        return module.Memory(total, 0, 0, 0)

    monkeypatch.setattr(module, 'lacks', lambda machine: '')
    monkeypatch.setattr(module, 'topology', lambda fleet: devices)
    monkeypatch.setattr(module, 'trace', lambda subject: Batch(subject.batch_size))
    monkeypatch.setattr(module, 'compiled', lambda traced: compiled(traced.batch_size))
    monkeypatch.setattr(module, 'memory', memory)
    monkeypatch.setattr(module, '_of_program', lambda *_: {})
    config = small(batch_size=128)
    fleet = machines.parse('8xh100')
    found = estimate(config, fleet)
    assert batches == [128, 64, 32, 16]
    assert found['memory'] == {'total': None, 'limit': 80e9, 'fits': False}
    assert found['largest'] == {'batch_size': 56, 'compiled': False}
    assert '--config.batch_size=56' in ' '.join(found['advice'])
    assert estimate(config, fleet, unit=8)['largest'] == {'batch_size': 56, 'compiled': True}
    with refused('--largest=12 must be a multiple of the 8 devices'):
        estimate(config, fleet, unit=12)


class Batch:
    """A traced step of which the batch is known and that has no operations."""

    jaxpr = jax.make_jaxpr(lambda x: x @ x)(jax.ShapeDtypeStruct((2, 2), 'float32'))

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
