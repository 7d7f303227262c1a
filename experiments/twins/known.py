"""Which fields of our models the twins follow; what has another value than the default is refused.

`zero_init_residual` is in the weights, which are copied.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jssl import algorithms, backbones, heads, necks
from jssl.errors import JsslError

WIDTHS = ('in_channels', 'hid_channels', 'out_channels')
LINEAR = ('num_layers', 'with_bias', 'with_last_bn', 'with_last_bias', 'with_avg_pool')
GEOMETRY = ('depth', 'base_channels', 'strides', 'cifar_stem', 'cifar_stem_stride')
VIT = ('arch', 'img_size', 'patch_size')
DECODER = ('embed_dim', 'decoder_embed_dim', 'decoder_depth', 'decoder_num_heads', 'mlp_ratio')
TEACHER = ('temperature', 'teacher_temperature', 'center_momentum', 'base_momentum')
KNOWN: dict[type, tuple[str, ...]] = {
    algorithms.SimCLR: ('backbone', 'neck', 'head'),
    algorithms.BYOL: ('backbone', 'neck', 'head', 'base_momentum'),
    algorithms.SwAV: ('backbone', 'neck', 'head'),
    algorithms.MAE: ('backbone', 'neck', 'head'),
    algorithms.DINO: ('backbone', 'head', *TEACHER),
    backbones.ResNet: (*GEOMETRY, 'zero_init_residual', 'out_indices'),
    backbones.MAEViT: (*VIT, 'mask_ratio'),
    backbones.DINOViT: VIT,
    necks.NonLinearNeck: (*WIDTHS, *LINEAR),
    necks.SwAVNeck: WIDTHS,
    necks.MAEPretrainDecoder: ('num_patches', 'patch_size', 'in_chans', *DECODER),
    heads.ContrastiveHead: ('temperature', 'loss_weight'),
    heads.LatentPredictHead: ('predictor',),
    heads.SwAVHead: (
        *('feat_dim', 'num_prototypes', 'epsilon', 'sinkhorn_iterations'),
        *('temperature', 'crops_for_assign', 'num_crops'),
    ),
    heads.MAEPretrainHead: ('norm_pix', 'patch_size'),
    heads.DINOHead: (*WIDTHS, 'bottleneck', 'norm_last_layer'),
}
ALWAYS = ('parent', 'name', 'run', 'dtype')  # of modules, of algorithms, and the precision of both


def check(model: Any) -> None:
    """Refuses a model that its twin does not compute alike.

    Raises:
      JsslError: names the parts or fields that the twin lacks.
    """
    wrong = list(unknown(model, 'model'))
    backbone = model.backbone
    if isinstance(backbone, backbones.ResNet) and not gives_last(backbone):
        wrong.append(f'model.backbone.out_indices={backbone.out_indices!r}')
    if wrong:
        raise JsslError(
            f'The comparison with PyTorch cannot have {", ".join(wrong)}: it follows the usual '
            'ResNets up to their last stage, ViTs and their heads; see experiments/twins/known.py.'
        )


def gives_last(backbone: backbones.ResNet) -> bool:
    """Whether a ResNet gives the map of its last stage alone."""
    return tuple(backbone.out_indices) == (len(backbone.strides),)


def unknown(part: Any, place: str) -> Iterator[str]:
    """The fields of a part, and of the parts in it, that are not understood."""
    if type(part) not in KNOWN:
        yield f'{place}={type(part).__name__}'
        return
    for field in dataclasses.fields(part):
        if not field.init or field.name in ALWAYS:
            continue
        value, own = getattr(part, field.name), f'{place}.{field.name}'
        if field.name not in KNOWN[type(part)]:
            if value != field.default:
                yield f'{own}={value!r}'
        elif dataclasses.is_dataclass(value):
            yield from unknown(value, own)
