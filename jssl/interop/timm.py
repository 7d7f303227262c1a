"""What timm's `config.json` says of networks: an architecture, and the arguments that make it.

Where timm has an architecture of the network's size that is the one; else it is another of the
family, which the arguments make as large as the network is.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from jssl.errors import JsslError
from jssl.interop.layouts.convnext import NARROW
from jssl.interop.layouts.layout import Arrays
from jssl.interop.timm_names import (
    BEITS,
    CLIPS,
    CONVNEXTS,
    DINOV3S,
    EVA02S,
    EVAS,
    GATED,
    RESNEXTS,
    ROTATED,
    SIGLIPS,
    SWINS,
    VITS,
)
from jssl.layers.rotary import make_rotary

STEM = 64  # channels of the plain stem of residual networks, in all of them
USUAL, LARGER = 1e-6, 1e-5  # epsilons of norms


class Model(NamedTuple):
    """A network of timm.

    Attributes:
      architecture: its name.
      features: how many it gives.
      args: of the constructor.
      first_conv, classifier: what it calls its first convolution, and what classifies.
      side: in pixels of the images that it takes; None for any.
      stride: pixels to a side of a token of its last map; None for a vision transformer.
    """

    architecture: str
    features: int
    args: dict[str, Any]
    first_conv: str = 'patch_embed.proj'
    classifier: str = 'head'
    side: int | None = None
    stride: int | None = None

    def config(self, arrays: Arrays, view: Mapping[str, Any]) -> dict[str, Any]:
        """What `config.json` says.

        Args:
          arrays: by timm's names.
          view: of `jssl.interop.outgoing.evaluated`.
        """
        channels = arrays[f'{self.first_conv}.weight'].shape[1]
        side = self.side or view.get('size') or self.args.get('img_size', 224)
        prepared = {key: view[key] for key in ('mean', 'std', 'interpolation') if key in view}
        pool = {} if self.stride is None else {'pool_size': [-(-side // self.stride)] * 2}
        return {
            'architecture': self.architecture,
            'num_classes': 0,
            'num_features': self.features,
            'global_pool': self.args['global_pool'],
            'model_args': self.args,
            'pretrained_cfg': {
                'input_size': [channels, side, side],
                'fixed_input_size': self.side is not None,
                **prepared,
                **_crop(view),
                **pool,
                'num_classes': 0,
                'first_conv': self.first_conv,
                'classifier': self.classifier,
            },
        }


def _crop(view: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the short side that is evaluated; timm divides by it and rounds down."""
    if not {'size', 'resize'} <= view.keys():
        return {}
    part = view['size'] / view['resize']
    while math.floor(view['size'] / part) < view['resize']:
        part = math.nextafter(part, 0)
    return {'crop_pct': part, 'crop_mode': 'center'}


def vit_model(backbone: Any, arrays: Arrays) -> Model:
    """That of a `VisionTransformer` by timm's plain names, given its arrays under them.

    Raises:
      JsslError: timm cannot make it.
    """
    _check_norms(backbone, "timm's vision transformer")
    gated, more = backbone.ffn != 'mlp', backbone.num_registers
    name = GATED if gated else VITS.get(_shape(backbone), 'vit_base_patch16_224')
    named = name.replace('_dinov2', '_reg4_dinov2') if more else name
    args = _plain_args(backbone, arrays) | {
        'class_token': backbone.with_cls_token,
        'reg_tokens': more,
        'no_embed_class': bool(more),
        'pos_embed': 'learn' if 'pos_embed' in arrays else 'none',
        'final_norm': backbone.final_norm or backbone.avg_token,
        'fc_norm': backbone.avg_token,
        'global_pool': _pool(backbone),
    }
    return Model(named, backbone.size.embed_dims, args | ({} if gated else _activation(backbone)))


def siglip_model(backbone: Any, arrays: Arrays) -> Model:
    """That of a `SigLIPViT`; as `vit_model`."""
    _check_norms(backbone, "timm's tower of SigLIP")
    args = _plain_args(backbone, arrays) | _activation(backbone)
    args |= {'class_token': False, 'final_norm': backbone.final_norm, 'global_pool': 'map'}
    name = SIGLIPS.get(_shape(backbone), 'vit_base_patch16_siglip_224')
    return Model(name, backbone.size.embed_dims, args)


def beit_model(backbone: Any, arrays: Arrays) -> Model:
    """That of a BEiT; as `vit_model`."""
    _check_norms(backbone, "timm's BEiT")
    _check_fields(backbone, "timm's BEiT", activation='gelu', with_cls_token=True)
    if not (backbone.final_norm or backbone.avg_token):
        raise _other("timm's BEiT", 'final_norm', False)
    args = _sizes(backbone, arrays) | {
        'init_values': _scale(backbone, arrays, 'blocks.0.gamma_1'),
        'use_abs_pos_emb': 'pos_embed' in arrays,
        'use_rel_pos_bias': backbone.use_rel_pos_bias,
        'use_shared_rel_pos_bias': backbone.use_shared_rel_pos_bias,
        'use_fc_norm': backbone.avg_token,
        'global_pool': _pool(backbone),
    }
    name = BEITS.get(_shape(backbone)[:2], 'beit_base_patch16_224')
    return Model(name, backbone.size.embed_dims, args, side=backbone.img_size)


def eva_model(backbone: Any, arrays: Arrays) -> Model:
    """That of an EVA, EVA-02 or DINOv3; as `vit_model`."""
    name = "timm's EVA"
    _check_epsilon(backbone, name, USUAL, LARGER)
    apart = 'blocks.0.mlp.fc1_g.weight' in arrays
    gated, table = backbone.ffn != 'mlp', 'pos_embed' in arrays
    if not gated:
        _check_fields(backbone, name, activation='gelu')
    elif not apart:
        _check_fields(backbone, name, ffn_sub_norm=False)
    if table:
        _check_fields(backbone, name, num_registers=0)
    args = _sizes(backbone, arrays) | {
        'dynamic_img_size': True,
        'qkv_bias': bool({'blocks.0.attn.q_bias', 'blocks.0.attn.q_proj.bias'} & arrays.keys()),
        'qkv_fused': 'blocks.0.attn.qkv.weight' in arrays,
        'attn_type': 'eva',
        'swiglu_mlp': gated,
        'swiglu_align_to': int(apart),
        'scale_mlp': backbone.ffn_sub_norm,
        'scale_attn_inner': backbone.attn_sub_norm,
        'init_values': _scale(backbone, arrays, 'blocks.0.gamma_1'),
        'class_token': backbone.with_cls_token,
        'num_reg_tokens': backbone.num_registers,
        'no_embed_class': False,
        'use_abs_pos_emb': table,
        'use_post_transformer_norm': backbone.final_norm,
        'use_fc_norm': backbone.avg_token,
        'global_pool': _pool(backbone),
    }
    args |= _rotary_args(backbone)
    return Model(_eva_name(backbone, args), backbone.size.embed_dims, args)


def _eva_name(backbone: Any, args: Mapping[str, Any]) -> str:
    """That of DINOv3 has the larger epsilon, which no argument says."""
    size = _shape(backbone)[:2]
    if backbone.norm_epsilon == LARGER:
        kind = DINOV3S.get(size, 'small_plus' if args['swiglu_mlp'] else 'small')
        biased = kind == 'tiny' or (args['qkv_bias'] and kind != '7b')
        return f'vit_{kind}_patch16_dinov3{"_qkvb" if biased else ""}'
    if args.get('rope_type') == 'dinov3':
        return ROTATED
    if args['scale_attn_inner']:
        return CLIPS.get(size, 'eva02_base_patch16_clip_224')
    if args['swiglu_mlp']:
        return EVA02S.get(size, 'eva02_base_patch14_224')
    return EVAS.get(size, 'eva_giant_patch14_224')


def _rotary_args(backbone: Any) -> dict[str, Any]:
    rotary = make_rotary(backbone.rotary)
    if rotary is None:
        return {'use_rot_pos_emb': False}
    plain = rotary.periods is None and rotary.coordinates == 'separate'
    if not plain or rotary.adjacent != (rotary.reference is not None):
        raise _other("timm's EVA", 'rotary', dict(backbone.rotary))
    return {
        'use_rot_pos_emb': True,
        'rope_type': 'cat' if rotary.adjacent else 'dinov3',
        'rope_temperature': rotary.base,
        'rope_rotate_half': not rotary.adjacent,
        'rope_grid_offset': 0.0,
        'rope_grid_indexing': 'ij',
        'ref_feat_shape': None if rotary.reference is None else [rotary.reference] * 2,
    }


def swin_model(backbone: Any, side: int) -> Model:
    """That of a `SwinTransformer` for images of `side` pixels.

    Raises:
      JsslError: its last map is smaller than a window, which timm makes smaller then.
    """
    size = backbone.size
    last = 2 ** (len(size.depths) - 1)
    stride = backbone.patch_size * last
    if -(-side // stride) < backbone.window_size:
        raise JsslError(
            f'Images of {side} pixels make a last map of {-(-side // stride)} tokens a side, which '
            f'is smaller than window_size={backbone.window_size}: timm makes the window smaller '
            'there. Export it as safetensors.'
        )
    args = {
        'img_size': side,
        'patch_size': backbone.patch_size,
        'window_size': backbone.window_size,
        'embed_dim': size.embed_dims,
        'depths': list(size.depths),
        'num_heads': list(size.num_heads),
        'global_pool': 'avg',
    }
    key = (size.embed_dims, tuple(size.depths))
    name = SWINS.get(key, 'swin_tiny_patch4_window7_224')
    model = Model(name, size.embed_dims * last, args, classifier='head.fc')
    return model._replace(side=side, stride=stride)


def convnext_model(backbone: Any, arrays: Arrays) -> Model:
    """That of a `ConvNeXt`.

    Raises:
      JsslError: it has not four stages, or an epsilon that the others of its norms do not have.
    """
    size, name = backbone.size, "timm's ConvNeXt"
    _check_epsilon(backbone, name, USUAL)
    if len(size.depths) != 4:
        raise _other(name, 'arch.depths', list(size.depths))
    args = {
        'depths': list(size.depths),
        'dims': list(size.channels),
        'patch_size': backbone.stem_patch_size,
        'ls_init_value': _scale(backbone, arrays, 'stages.0.blocks.0.gamma'),
        'use_grn': backbone.use_grn,
        'conv_mlp': size.channels[0] < NARROW,
        'global_pool': 'avg',
    }
    kind = 'convnextv2' if backbone.use_grn else 'convnext'
    suffix = CONVNEXTS.get((size.channels[0], tuple(size.depths)), 'tiny')
    model = Model(f'{kind}_{suffix}', size.channels[-1], args, 'stem.0', 'head.fc')
    return model._replace(stride=8 * backbone.stem_patch_size)


def resnet_model(backbone: Any, arrays: Arrays) -> Model:
    """That of a `ResNet`, `ResNetV1d` or `ResNeXt`.

    Raises:
      JsslError: timm has none with such a stem, or such strides.
    """
    name, deep = "timm's residual network", 'conv1.6.weight' in arrays
    bottleneck = 'layer1.0.conv3.weight' in arrays
    width = arrays['bn1.weight'].shape[0]
    _check_fields(backbone, name, cifar_stem=False, **({'style': 'pytorch'} if bottleneck else {}))
    if any(key.startswith('sobel_layer.') for key in arrays):
        raise _other(name, 'type', type(backbone).__name__)
    if tuple(backbone.strides) != (1, 2, 2, 2):
        raise _other(name, 'strides', tuple(backbone.strides))
    if not deep and width != STEM:
        raise _other(name, 'base_channels', width)
    blocks = {tuple(key.split('.')[:2]) for key in arrays if key.startswith('layer')}
    depths = [sum(stage == f'layer{n}' for stage, _ in blocks) for n in range(1, 5)]
    groups, per_group = getattr(backbone, 'groups', 1), getattr(backbone, 'width_per_group', STEM)
    channels = [width * 2**stage for stage in range(4)]
    args = {
        'layers': depths,
        'channels': channels,
        'cardinality': groups,
        'base_width': per_group,
        'stem_type': 'deep' if deep else '',
        'stem_width': width // 2 if deep else STEM,
        'avg_down': deep,
        'global_pool': 'avg',
    }
    plain = f'resnet{max(backbone.depth, 18)}{"d" if deep else ""}'
    features = channels[-1] * (4 if bottleneck else 1)
    architecture = RESNEXTS.get((backbone.depth, groups, per_group), plain)
    model = Model(architecture, features, args, 'conv1.0' if deep else 'conv1', 'fc')
    return model._replace(stride=32)


def _shape(backbone: Any) -> tuple[int, int, int]:
    """Width, depth and patches of a vision transformer."""
    return backbone.size.embed_dims, backbone.size.num_layers, backbone.patch_size


def _sizes(backbone: Any, arrays: Arrays) -> dict[str, Any]:
    """Arguments of all vision transformers."""
    size = backbone.size
    return {
        'img_size': backbone.img_size,
        'patch_size': backbone.patch_size,
        'embed_dim': size.embed_dims,
        'depth': size.num_layers,
        'num_heads': size.num_heads,
        'mlp_ratio': _ratio(arrays['blocks.0.mlp.fc2.weight'].shape[1], size.embed_dims),
    }


def _plain_args(backbone: Any, arrays: Arrays) -> dict[str, Any]:
    """Those of timm's `VisionTransformer`, in which a gate counts to the hidden width."""
    hidden = arrays['blocks.0.mlp.fc1.weight'].shape[0]
    return _sizes(backbone, arrays) | {
        'mlp_ratio': _ratio(hidden, backbone.size.embed_dims),
        'init_values': _scale(backbone, arrays, 'blocks.0.ls1.gamma'),
        'dynamic_img_size': True,
    }


def _ratio(hidden: int, width: int) -> float:
    """By which timm multiplies the width, to round down."""
    ratio = hidden / width
    while int(width * ratio) < hidden:
        ratio = math.nextafter(ratio, math.inf)
    return ratio


def _scale(backbone: Any, arrays: Arrays, key: str) -> float | None:
    """The initial value of scales; None without them."""
    return (backbone.layer_scale or USUAL) if key in arrays else None


def _pool(backbone: Any) -> str:
    return 'token' if backbone.with_cls_token and not backbone.avg_token else 'avg'


def _activation(backbone: Any) -> dict[str, str]:
    return {'act_layer': backbone.activation}


def _check_norms(backbone: Any, name: str) -> None:
    """Refuses norms that timm's networks with one norm at the end do not have."""
    _check_epsilon(backbone, name, USUAL)
    if backbone.avg_token:
        _check_fields(backbone, name, final_norm=False)


def _check_epsilon(backbone: Any, name: str, *known: float) -> None:
    """Refuses an epsilon of which no argument tells; a smaller one than all is taken for none."""
    if backbone.norm_epsilon not in known and backbone.norm_epsilon > USUAL:
        raise _other(name, 'norm_epsilon', backbone.norm_epsilon)


def _check_fields(backbone: Any, name: str, **wanted: Any) -> None:
    for field, value in wanted.items():
        if getattr(backbone, field) != value:
            raise _other(name, field, getattr(backbone, field))


def _other(name: str, field: str, value: Any) -> JsslError:
    return JsslError(
        f'{name} cannot be made with config.model.backbone.{field}={value!r}; export it as '
        'safetensors, which jssl.load reads.'
    )
