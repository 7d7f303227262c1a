"""Vision transformers whose names are those of jssl: MMSelfSup's and MMPretrain's."""

from jssl.interop.layouts.layout import Layout
from jssl.interop.layouts.vit import PATCH, describe_vit

VIT = Layout(
    'mmpretrain-vit',
    'a vision transformer of MMSelfSup or MMPretrain',
    describe_vit,
    (f'{PATCH}.weight', 'layers.0.attn.qkv.weight', 'layers.0.ffn.layers.0.0.weight'),
    wrappers=('', 'backbone.'),
)
LAYOUTS = (VIT,)
