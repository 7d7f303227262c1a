"""timm's vision transformers (DeiT, AugReg, DINOv2 with registers, ...) and ResNets."""

from jssl.interop.layouts.layout import Arrays, Layout
from jssl.interop.layouts.vit import (
    FIRST,
    FUSED,
    LAST,
    PATCH,
    SECOND,
    describe_vit,
    fused,
    incoming,
    no_rotary,
    whole_bias,
)

BLOCK = {
    'ln1': 'norm1',
    'attn.qkv': 'attn.qkv',
    'attn.proj': 'attn.proj',
    'gamma_1': 'ls1.gamma',
    'ln2': 'norm2',
    'ffn.layers.0.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.fc2',
    'gamma_2': 'ls2.gamma',
}
# The names that DINO, MAE and others took over from timm.
NAMES = {
    PATCH: 'patch_embed.proj',
    'cls_token': 'cls_token',
    'pos_embed': 'pos_embed',
    'ln1': 'norm',
} | {f'layers.{{}}.{ours}': f'blocks.{{}}.{theirs}' for ours, theirs in BLOCK.items()}
SIGNS = ('patch_embed.proj.weight', 'blocks.0.attn.qkv.weight', 'blocks.0.norm1.weight')


def _incoming(arrays: Arrays) -> Arrays:
    """Gated networks are called as others are there, and told by their widths."""
    first, second = (arrays.get(f'layers.0{name}.weight') for name in (FIRST, SECOND))
    if first is not None and second is not None and len(first) == 2 * second.shape[-1]:
        arrays = {key.replace(FIRST, FUSED).replace(SECOND, LAST): arrays[key] for key in arrays}
    return incoming(arrays)


def _outgoing(arrays: Arrays, network: object) -> Arrays:
    """With registers the class token has no row of its own, and its position is added to it."""
    no_rotary('timm', network)
    arrays = fused(whole_bias(arrays, network))
    arrays.pop('mask_token', None)  # which it does not have
    arrays = {key.replace(FUSED, FIRST).replace(LAST, SECOND): arrays[key] for key in arrays}
    if 'register_tokens' in arrays and 'cls_token' in arrays:
        table = arrays['pos_embed']
        arrays['cls_token'] = arrays['cls_token'] + table[:, :1]
        arrays['pos_embed'] = table[:, 1:]
    return arrays


VIT = Layout(
    'timm-vit',
    "timm's vision transformer",
    describe_vit,
    SIGNS,
    NAMES | {'register_tokens': 'reg_token', 'ln2': 'fc_norm'},
    wrappers=('', 'model.', 'module.'),
    apart=('head.',),
    incoming=_incoming,
    outgoing=_outgoing,
    fields={'interpolation': 'antialiased'},
)
