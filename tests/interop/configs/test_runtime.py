"""Hooks that train something else are found wherever they stand, and weights are told."""

from pathlib import Path
from typing import Any

from jssl.interop.configs import runtime
from jssl.interop.configs.notes import Fields, Notes, kind
from jssl.interop.configs.reading import read_config


def top(folder: Path, text: str) -> Fields:
    (folder / 'config.py').write_text(text)
    return Fields(read_config(folder / 'config.py'), Notes(), 'config')


def test_hooks_among_the_usual_ones_are_found(tmp_path: Path) -> None:
    text = """
default_hooks = dict(
    logger=dict(type='LoggerHook', interval=5),
    param_scheduler=None,
    visualization=dict(type='VisualizationHook'),
    ema=dict(type='mmengine.EMAHook'))
custom_hooks = [dict(type='BYOLHook'), dict(type='ProfilerHook')]
"""
    fields = top(tmp_path, text)
    assert [kind(hook) for hook in runtime.hooks(fields)] == ['BYOLHook', 'EMAHook']
    (missing,) = fields.notes.missing
    assert 'config.py:4: config.default_hooks.param_scheduler=None' in str(missing)
    assert [note.name for note in fields.notes.left] == ['ProfilerHook']


def test_weights_that_a_training_begins_with_are_told(tmp_path: Path) -> None:
    text = """
load_from = 'a.pth'
model = dict(
    pretrained=None,
    init_cfg=dict(type='Xavier', checkpoint='no'),
    backbone=dict(init_cfg=dict(type='Pretrained', checkpoint='b.pth')))
"""
    fields = top(tmp_path, text)
    runtime.note_weights(fields.section, fields.notes)
    found = [str(note).rpartition('/')[2] for note in fields.notes.differs]
    remedy = 'is not read; give --config.pretrained=FILE'
    assert found == [
        f"config.py:2: load_from='a.pth' {remedy}",
        f"config.py:6: checkpoint='b.pth' {remedy}",
    ]


def test_seeds_and_intervals_of_both_kinds_of_releases(tmp_path: Path) -> None:
    newer = """
randomness = dict(seed=0)
default_hooks = dict(logger=dict(interval=5), checkpoint=dict(max_keep_ckpts=2))
"""
    expected: dict[str, Any] = {'seed': 0, 'log_every': 5, 'checkpoint': {'keep': 2}}
    assert runtime.settings(top(tmp_path, newer).section) == expected
    older = "log_config = dict(interval=0)\ncheckpoint_config = dict(max_keep_ckpts='all')"
    assert runtime.settings(top(tmp_path, older).section) == {}
