"""What to change of a run that does not fit, or that waits for what it need not wait for."""

from collections.abc import Mapping
from typing import Any

from jssl.config import fields_at
from jssl.planning.machines import FLOAT32, GIBI, Fleet
from jssl.planning.program import split

PREALLOCATED = 0.75  # of a card's memory, by JAX
FRACTION = 'XLA_PYTHON_CLIENT_MEM_FRACTION=0.95'
MUCH = 0.1  # a share that is worth a sentence


def advise(config: Mapping[str, Any], fleet: Fleet, numbers: Mapping[str, Any]) -> list[str]:
    """Sentences with what can be typed, the most important first; none where all is well.

    Args:
      config: of the run.
      fleet: the devices.
      numbers: what `jssl.planning.estimate` found.
    """
    memory = numbers.get('memory')
    found = [] if memory is None or memory['fits'] else _smaller(config, fleet, numbers)
    if memory is not None and memory['fits']:
        found += _fraction(fleet, memory)
    return [*found, *_faster(config, numbers)]


def _smaller(config: Mapping[str, Any], fleet: Fleet, numbers: Mapping[str, Any]) -> list[str]:
    """What makes a run fit."""
    kept, found = sum(part['device_bytes'] for part in numbers['state']), []
    if split(config) == 1 and fleet.size > 1 and kept > MUCH * fleet.machine.memory:
        found.append(
            f'Split the state over the devices: --config.mesh.fsdp={fleet.size}; of its '
            f'{kept / GIBI:,.1f} GiB about {kept / fleet.size / GIBI:,.1f} stay on each.'
        )
    place = ('model', 'backbone')
    backbone = config['model'].get('backbone')
    fields = fields_at(config, place) if isinstance(backbone, Mapping) else None
    if fields and 'remat' in fields and not backbone.get('remat'):
        found.append(
            'Compute activations again in the backward pass, for about a third more time: '
            '--config.model.backbone.remat=True.'
        )
    if config.get('accumulate', 1) == 1:
        found.append(
            'Compute the backbone in parts of the batch, with the loss of all: '
            '--config.accumulate=2.'
        )
    largest = numbers.get('largest')
    if largest and largest['batch_size']:
        how = 'fits' if largest['compiled'] else 'should fit, by two smaller ones'
        found.append(
            f'A batch of {largest["batch_size"]} {how}: '
            f'--config.batch_size={largest["batch_size"]}, with the learning rate that '
            'belongs to it.'
        )
    return [*found, 'Or take more devices, each of which then has fewer images.']


def _fraction(fleet: Fleet, memory: Mapping[str, Any]) -> list[str]:
    """JAX gives programs a share of a card's memory alone."""
    if fleet.machine.platform != 'cuda' or memory['total'] <= PREALLOCATED * memory['limit']:
        return []
    return [f'JAX takes {PREALLOCATED:.0%} of a card unless told: start the run with {FRACTION}.']


def _faster(config: Mapping[str, Any], numbers: Mapping[str, Any]) -> list[str]:
    """What makes a step wait less."""
    found, operations = [], numbers['operations']
    wide = sum(
        kind['operations']
        for kind in operations['kinds']
        if kind['dtype'] == FLOAT32 and kind['precision'] == 'default'
    )
    if wide > MUCH * operations['step'] and not config.get('dtype'):
        found.append(
            f'{wide / operations["step"]:.0%} of the products are in float32: '
            '--config.dtype=bfloat16 halves what they move and doubles their rate.'
        )
    if numbers.get('to_host'):
        found.append(
            f'The step waits for the host ({", ".join(numbers["to_host"][:3])}): a callback in an '
            'algorithm or a view of your own.'
        )
    bound = numbers.get('roofline')
    if bound and bound['binds'] == 'messages':
        found.append(
            'The step waits for messages between devices: more images a device '
            '(--config.batch_size), or fewer hosts.'
        )
    return found
