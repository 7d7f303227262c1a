"""DINOv3 of its authors' repository."""

from typing import Any

from jssl.algorithm import Run
from jssl.algorithms import DINOv3
from jssl.backbones import DINOv3ViT
from jssl.heads import DINOHead, GramAnchoring
from jssl.layers.transformer import FeedForwardKind
from tests import golden
from tests.families.dinov2 import PARTS_OF_DINOV2
from tests.families.family import LONG, Family, vision_transformer

KINDS: dict[str, FeedForwardKind] = {'mlp': 'mlp', 'swiglu64': 'swiglu'}


def dinov3(saved: golden.File) -> DINOv3:
    """DINOv3 at a constant momentum and temperature."""
    model, options = golden.plain(saved.meta['model']), golden.plain(saved.meta['options'])
    sizes = (model['head_hidden'], model['head_bottleneck'])
    head, patch_head = (
        DINOHead(model['embed_dim'], model[out], *sizes, weight_norm=False)
        for out in ('head_out', 'ibot_head_out')
    )
    momentum = options['ema_momentum']
    return DINOv3(
        backbone(model),
        head,
        patch_head,
        gram(options),
        options['student_temp'],
        options['teacher_temp'],
        warmup_teacher_epochs=0,
        base_momentum=momentum,
        last_momentum=momentum,
        koleo_weight=options['koleo_loss_weight'],
        run=Run(64, 1, LONG),
    )


def backbone(model: dict[str, Any]) -> DINOv3ViT:
    """The vision transformer, positions unmoved."""
    fields = vision_transformer(model)
    fields['arch']['feedforward_channels'] = int(model['ffn_ratio'] * model['embed_dim'])
    assert model['qkv_bias']
    assert not model['untie_cls_and_patch_norms']
    return DINOv3ViT(
        **fields,
        rotary={'base': model['rope_base'], 'coordinates': model['rope_normalize_coords']},
        num_registers=model['n_storage_tokens'],
        layer_scale=model['layerscale'],
        mask_k_bias=model['mask_k_bias'],
        ffn=KINDS[model['ffn_layer']],
        norm_epsilon={'layernorm': 1e-6, 'layernormbf16': 1e-5}[model['norm_layer']],
        local_cls_norm=model['untie_global_and_local_cls_norm'],
    )


def gram(options: dict[str, Any]) -> GramAnchoring | None:
    """Which patches are anchored, and by which teacher."""
    if options['gram'] is None:
        return None
    return GramAnchoring(
        options['gram_loss_weight'],
        own_teacher=options['gram'] == 'teacher',
        patches=options['gram_tokens_used'],
        per_image=options['gram_img_level'],
    )


def more(saved: golden.File, inputs: dict[str, Any]) -> dict[str, Any]:
    """The Gram teacher's crops of its own."""
    names = [name for name in ('gram1', 'gram2') if name in inputs]
    return {'plain_views': tuple(inputs[name].transpose(0, 2, 3, 1) for name in names)}


PLACES = {
    **{
        f'{place}.{here}': f'{who}.{there}'
        for place, who in (('params', 'student'), ('state.teacher.params', 'teacher'))
        for here, there in PARTS_OF_DINOV2.items()
    },
    'state.gram_teacher.params.backbone': 'gram_teacher.backbone',
}

FAMILY = Family(
    dinov3,
    PLACES,
    metrics={
        **{f'dino_{kind}_crops_loss': kind for kind in ('local', 'global')},
        **{f'{name}_loss': name for name in ('koleo', 'ibot', 'gram')},
    },
    more=more,
    unused=('dino_loss.', 'ibot_patch_loss.'),  # centers, which no Sinkhorn reads
    fixed=('.periods', '.bias_mask'),
    only_there=('*_tokens0.1', '*_tokens0.6'),  # storage tokens alone
    renamed={'register_tokens': 'storage_tokens'},
    twice={'teacher.': 'model_ema.'},  # the module of the teacher, under a second name
)
