"""What arrays tell of networks that are no vision transformers, and what is refused."""

from typing import Any

import numpy as np
import pytest

from jssl.interop.bring import place
from jssl.interop.companions import Companions
from tests.checks import refused
from tests.interop.layouts.test_layouts import arrays_of_other, file_of
from tests.interop.layouts.tiny import Arrays

SWIN = 'SwinTransformer'
TABLE = 'stages.1.blocks.0.attn.w_msa.relative_position_bias_table'


def test_names_of_mmpretrain_are_ours_and_its_wholes_are_recognised() -> None:
    arrays = {f'backbone.{key}': value for key, value in arrays_of_other(SWIN).items()}
    brought = place(arrays, 'it')
    assert brought.layout is not None
    assert brought.layout.name == 'mmpretrain-swin'
    assert brought.network is not None
    assert brought.network['window_size'] == 2
    assert not brought.is_foreign


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        ({TABLE: np.ones((25, 2), 'float32')}, 'windows of 2, 3 tokens'),
        ({TABLE: np.ones((16, 2), 'float32')}, '16 entries'),
        ({'stages.0.blocks.0.ffn.layers.0.0.weight': np.ones((8, 4), 'float32')}, '8 wide'),
    ],
)
def test_swins_that_jssl_does_not_have_are_refused(change: Arrays, words: str) -> None:
    with refused('taken for', words):
        place(arrays_of_other(SWIN) | change, 'it', 'mmpretrain-swin')


def test_what_a_config_beside_says_of_a_swin() -> None:
    told: dict[str, Any] = {'hidden_size': 8, 'layer_norm_eps': 1e-5, 'hidden_act': 'gelu'}
    images = {'image_mean': [0.5] * 3, 'image_std': [0.25] * 3}
    brought = place(file_of('hf-swin'), 'it', companions=Companions(told, images))
    assert brought.view['mean'] == (127.5,) * 3
    for odd, words in (({'layer_norm_eps': 1e-3}, '0.001'), ({'hidden_act': 'relu'}, 'relu')):
        with refused(words):
            place(file_of('hf-swin'), 'it', companions=Companions(told | odd))
