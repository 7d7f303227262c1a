"""What processes computed of their own is computed in groups of the batch."""

from typing import Any

import pytest

from jssl.interop.configs.notes import Notes
from jssl.interop.configs.sizes import Size, spread
from jssl.interop.configs.values import Place
from jssl.interop.model_dicts import model_config
from tests.interop.shipped import SHIPPED

PLACE = Place('config.py', 1)


def carried(name: str, size: Size) -> tuple[Any, Notes]:
    given, notes = SHIPPED[name], Notes()
    return spread(model_config(given), given, size, notes, PLACE), notes


@pytest.mark.parametrize(
    ('name', 'size', 'groups'),
    [
        ('MoCo, v2', Size(32, 8), {'backbone': 32}),  # BN
        ('BYOL', Size(32, 8), {}),  # SyncBN
        ('BYOL', Size(32, 8, 16), {'backbone': 256, 'neck': 256}),
        ('DeepCluster', Size(64, 1), {}),
        ('RelativeLoc', Size(64, 8), {'backbone': 512, 'neck': 512}),  # of 8 pairs each
        ('BarlowTwins', Size(256, 8), {'head': 256}),
        ('ODC', Size(64, 8), {}),
        ('MAE, base', Size(512, 8), {}),
    ],
)
def test_batch_norms_are_grouped_as_processes_were(
    name: str, size: Size, groups: dict[str, int]
) -> None:
    model, notes = carried(name, size)
    parts = {key: part for key, part in model.items() if isinstance(part, dict)}
    found = {key: part['bn_group_size'] for key, part in parts.items() if 'bn_group_size' in part}
    assert found == groups
    assert not notes.differs
    assert size.batch % max([1, *groups.values()]) == 0 or name == 'RelativeLoc'


def test_losses_over_all_processes_weigh_one_over_their_number() -> None:
    assert carried('SimCLR', Size(256, 16))[0]['head']['loss_weight'] == 1 / 16
    assert carried('BarlowTwins', Size(256, 8, 2))[0]['head']['loss_weight'] == 1 / 8
    assert 'loss_weight' not in carried('SimCLR', Size(256, 1))[0]['head']
    assert 'loss_weight' not in carried('MoCo, v2', Size(32, 8))[0]['head']


def test_codes_are_balanced_by_process() -> None:
    assert carried('SwAV', Size(32, 8))[0]['head']['sinkhorn_group_size'] == 32
    assert 'sinkhorn_group_size' not in carried('SwAV', Size(32, 1))[0]['head']
    _, notes = carried('SwAV', Size(32, 8, 2))
    assert 'statistics of a process' in str(notes.differs[0])
