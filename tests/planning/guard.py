"""What the compiled step of a small run is like, and what it was like when it was last looked at.

    python -m tests.planning.guard            # writes tests/planning/guard.json

Run it when a change of the programs is meant; the test beside it says which one changed. What
compiles for cards or TPUs need not be installed: what the file says of them is kept then.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

from tests.conftest import ROOT  # first: it sets the devices and the compiler's flags

import jax  # isort: skip

from jssl.planning import flops, hlo, machines, traffic
from jssl.planning.program import environment, lacks, memory
from jssl.training import sharding
from tests.algorithms import runs

# On eight CPU devices, in float64: in other tests these programs are run.
STEPS = ('SimCLR', 'MoCo', 'MAE')
DEVICES = 8
MACHINES = ('8xh200', 'v5e-8')  # for which a small run is compiled, where that can be done
SMALL = {'simclr': (), 'moco': ('--config.model.queue_len=4096',)}
BRIEF = ('--config.batch_size=256', '--quick', '--json')
FILE = ROOT / 'tests' / 'planning' / 'guard.json'
Found = dict[str, Any]


def measure(name: str) -> Found:
    """What the step of an algorithm of `tests.algorithms.runs` is like."""
    mesh = sharding.make_mesh(devices=DEVICES)
    step: Any = runs.step(name, DEVICES)
    traced = step.trace(runs.placed(name, DEVICES), sharding.put_batch(runs.batch(0), mesh))
    program = traced.lower().compile()
    read = hlo.read(program.as_text())
    sent: dict[str, list[int]] = {}
    for message, times in traffic.collectives(read, DEVICES).items():
        count, size = sent.get(message.kind, [0, 0])
        sent[message.kind] = [count + times, size + times * message.bytes]
    found = memory(program)
    return {
        'operations': sum(flops.count(traced.jaxpr, 'cpu').values()),
        'moved': traffic.moved(read),
        'kernels': traffic.kernels(read),
        'temporaries': found.temporaries,
        'not_aliased': found.outputs - found.aliased,
        'messages': dict(sorted(sent.items())),
        'to_host': traffic.to_host(read),
    }


def plan(name: str, on: str) -> Found:
    """The same of a small run on a machine that is not there, by a process of its own."""
    told = {**os.environ, **environment(machines.parse(on).machine)}
    done = subprocess.run(
        [sys.executable, '-m', 'jssl', 'plan', name, *BRIEF, *SMALL[name], f'--on={on}'],
        cwd=ROOT,
        env=told,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    sent: dict[str, list[int]] = {}
    for message in found['collectives']:
        count, size = sent.get(message['kind'], [0, 0])
        times = message['times']
        sent[message['kind']] = [count + times, size + times * message['bytes']]
    return {
        'operations': found['operations']['step'],
        **{name: found[name] for name in ('moved', 'kernels', 'to_host', 'copied')},
        'temporaries': found['memory']['temporaries'],
        'not_aliased': found['memory']['outputs'] - found['memory']['aliased'],
        'messages': dict(sorted(sent.items())),
    }


def differences(found: Found, expected: Found, within: float) -> list[str]:
    """In which numbers what was found differs from what was expected by more than a share.

    Messages differ where their kinds do, or how many there are of each.
    """
    result = []
    for name in ('operations', 'moved', 'kernels', 'temporaries'):
        if abs(found[name] - expected[name]) > within * expected[name]:
            result.append(f'{name}: {expected[name]:,} and now {found[name]:,}')
    counts = [
        {kind: count for kind, (count, _) in numbers['messages'].items()}
        for numbers in (expected, found)
    ]
    return [*result, *([] if counts[0] == counts[1] else [f'messages: {counts[0]}, {counts[1]}'])]


def committed() -> Found:
    """What was found when the file was written, and by which releases of JAX and libtpu."""
    return json.loads(FILE.read_text(encoding='utf-8'))


def releases(on: str = '') -> dict[str, str]:
    """What compiles for a machine, this one by default: a program's numbers are a matter of it."""
    tpu = on and machines.parse(on).machine.platform == 'tpu'
    names = ('jax', 'libtpu') if tpu else ('jax',)
    return {name: version(name) for name in names}


def main() -> int:
    """Writes what is found now."""
    kept = committed() if FILE.exists() else {'machines': {}}
    with jax.enable_x64(True):
        steps = {name: measure(name) for name in STEPS}
    there = [on for on in MACHINES if not lacks(machines.parse(on).machine)]
    compiled = kept['machines']
    compiled |= {on: {name: plan(name, on) for name in SMALL} for on in there}
    by = {name: kept.get(name, '') for name in ('jax', 'libtpu')} | releases()
    for on in there:
        by |= releases(on)
    text = json.dumps({**by, 'steps': steps, 'machines': compiled}, indent=1)
    FILE.write_text(f'{text}\n', encoding='utf-8')
    return 0


if __name__ == '__main__':
    sys.exit(main())
