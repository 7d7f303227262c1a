"""MMPretrain's vision transformers whose blocks are scaled, as its DINOv2 are; others have ours."""

from typing import Any

from jssl.interop.layouts.layout import Arrays, Layout
from jssl.interop.layouts.vit import (
    FIRST,
    FUSED,
    LAST,
    PATCH,
    SECOND,
    describe_vit,
    no_rotary,
    whole_bias,
)

SAME = ('ln1', 'attn.qkv', 'attn.proj', 'ln2', *(name[1:] for name in (FIRST, SECOND, FUSED, LAST)))
BLOCK = {name: name for name in SAME} | {
    'gamma_1': 'attn.gamma1.weight',
    'gamma_2': 'ffn.gamma2.weight',
}


def _outgoing(arrays: Arrays, network: Any) -> Arrays:
    no_rotary('MMPretrain', network)
    arrays = whole_bias(arrays, network)
    arrays.pop('mask_token', None)  # which its classifiers do not have
    return arrays


VIT = Layout(
    'mmpretrain-vit-scaled',
    "MMPretrain's vision transformer with scaled blocks",
    describe_vit,
    (f'{PATCH}.weight', 'layers.0.attn.gamma1.weight'),
    {name: name for name in (PATCH, 'cls_token', 'pos_embed', 'ln1', 'ln2')}
    | {f'layers.{{}}.{ours}': f'layers.{{}}.{theirs}' for ours, theirs in BLOCK.items()},
    wrappers=('', 'backbone.'),
    apart=('head.',),
    outgoing=_outgoing,
)
LAYOUTS = (VIT,)
