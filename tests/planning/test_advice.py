"""What to change of a run."""

from typing import Any

from jssl.planning.advice import advise
from jssl.planning.machines import parse

CONFIG: dict[str, Any] = {'model': {'type': 'SimCLR', 'backbone': {'type': 'ResNet'}}}
FULL = {'total': None, 'limit': 80e9, 'fits': False}


def numbers(**changes: Any) -> dict[str, Any]:
    kinds = [{'dtype': 'bfloat16', 'precision': 'default', 'operations': 100}]
    state = [{'part': 'params', 'bytes': 1000, 'device_bytes': 1000}]
    found = {'operations': {'step': 100, 'kinds': kinds}, 'state': state}
    return found | {'memory': {'total': 10e9, 'limit': 80e9, 'fits': True}} | changes


def said(config: dict[str, Any] = CONFIG, on: str = '8xh100', **changes: Any) -> str:
    return ' '.join(advise(config, parse(on), numbers(**changes)))


def test_nothing_is_said_where_all_is_well() -> None:
    assert said() == ''
    assert said(memory={'total': 70e9, 'limit': 80e9, 'fits': True}, on='v5e-8') == ''


def test_jax_is_told_to_take_more_of_a_card() -> None:
    words = said(memory={'total': 70e9, 'limit': 80e9, 'fits': True})
    assert words.endswith('XLA_PYTHON_CLIENT_MEM_FRACTION=0.95.')


def test_what_does_not_fit_is_split_computed_again_or_made_smaller() -> None:
    large = [{'part': 'params', 'bytes': 20e9, 'device_bytes': 20e9}]
    words = said(memory=FULL, state=large, largest={'batch_size': 512, 'compiled': False})
    for part in ('--config.mesh.fsdp=8', '18.6 GiB', '2.3 stay', '--config.model.backbone.remat'):
        assert part in words
    assert '--config.accumulate=2.' in words
    assert '--config.batch_size=512' in words
    assert 'should fit' in words
    backbone = {'type': 'ResNet', 'remat': True}
    split = {
        'model': {'type': 'SimCLR', 'backbone': backbone},
        'mesh': {'fsdp': 8},
        'accumulate': 4,
    }
    words = said(split, memory=FULL, state=large, largest={'batch_size': 0, 'compiled': True})
    assert words == 'Or take more devices, each of which then has fewer images.'
    assert 'fits: --config.batch_size=8' in said(
        split, memory=FULL, largest={'batch_size': 8, 'compiled': True}
    )
    assert '--config.mesh.fsdp' not in said(memory=FULL)  # a state of no account


def test_what_makes_a_step_wait_is_named() -> None:
    kinds = [{'dtype': 'float32', 'precision': 'default', 'operations': 90}]
    wide = {'step': 100, 'kinds': kinds}
    assert '90% of the products are in float32: --config.dtype=bfloat16' in said(operations=wide)
    assert said({**CONFIG, 'dtype': 'float32'}, operations=wide) == ''
    assert '(cb.1)' in said(to_host=['cb.1'])
    assert '--config.batch_size' in said(roofline={'binds': 'messages'})
