"""torchvision's vision transformers; its ResNets have the names that jssl has."""

from typing import Any

from jssl.errors import JsslError
from jssl.interop.layouts.layout import IMAGENET, Arrays, Layout
from jssl.interop.layouts.vit import PATCH, describe_vit, incoming, no_rotary, whole_bias

LAYER = 'encoder.layers.encoder_layer_{}'
BLOCK = {
    'ln1': 'ln_1',
    'attn.qkv.weight': 'self_attention.in_proj_weight',
    'attn.qkv.bias': 'self_attention.in_proj_bias',
    'attn.proj': 'self_attention.out_proj',
    'ln2': 'ln_2',
    'ffn.layers.0.0': 'mlp.0',
    'ffn.layers.1': 'mlp.3',
}
# Released in its first version.
BEFORE = {'ffn.layers.0.0': 'mlp.linear_1', 'ffn.layers.1': 'mlp.linear_2'}


def _outgoing(arrays: Arrays, network: Any) -> Arrays:
    no_rotary('torchvision', network)
    if not network.with_cls_token:
        raise JsslError(
            "torchvision's vision transformer has a class token, and this one has none; export it "
            'as timm or huggingface.'
        )
    arrays = whole_bias(arrays, network)
    arrays.pop('mask_token', None)  # which it does not have
    return arrays


VIT = Layout(
    'torchvision-vit',
    "torchvision's vision transformer",
    describe_vit,
    ('conv_proj.weight', 'class_token', 'encoder.pos_embedding'),
    {
        PATCH: 'conv_proj',
        'cls_token': 'class_token',
        'pos_embed': 'encoder.pos_embedding',
        'ln1': 'encoder.ln',
    }
    | {f'layers.{{}}.{ours}': f'{LAYER}.{theirs}' for ours, theirs in BLOCK.items()},
    also=({f'layers.{{}}.{ours}': f'{LAYER}.{theirs}' for ours, theirs in BEFORE.items()},),
    apart=('heads.',),
    incoming=incoming,
    outgoing=_outgoing,
    images=IMAGENET,
)
LAYOUTS = (VIT,)
