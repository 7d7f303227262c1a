"""DINOv2 of its authors' repository."""

import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Run
from jssl.algorithms import DINOv2
from jssl.backbones import DINOViT
from jssl.heads import DINOHead
from jssl.layers.transformer import FeedForwardKind
from jssl.optim.optimizers import AdamW
from tests import golden
from tests.families.family import LONG, Family, vision_transformer


def dinov2(saved: golden.File) -> DINOv2:
    """DINOv2; the rows of patches are as many as the masks' rule says."""
    model, options = golden.plain(saved.meta['model']), golden.plain(saved.meta['options'])
    kinds: dict[str, FeedForwardKind] = {'mlp': 'mlp', 'swiglufused': 'swiglu_fused'}
    backbone = DINOViT(
        **vision_transformer(model),
        layer_scale=model['layerscale'],
        num_registers=model['num_register_tokens'],
        ffn=kinds[model['ffn_layer']],
        drop_path_rate=options['drop_path_rate'],
        drop_subsets=True,
    )
    sizes = (model['head_hidden'], model['head_bottleneck'])
    make = functools.partial(DINOHead, model['embed_dim'], norm_last_layer=False)
    patch_head = make(model['ibot_head_out'], *sizes) if model['separate_head'] else None
    momentum, run, warmup = options['ema_momentum'], Run(64, 1, LONG), 0
    first = last = options['teacher_temp']
    if 'schedules' in saved.meta:
        schedules = golden.plain(saved.meta['schedules'])
        momentum, run, warmup = schedules['momentum'][0], Run(64, 2, 2), 1
        first, last = schedules['teacher_temp'][:2]
    assert options['dino_loss_weight'] == options['ibot_loss_weight'] == 1
    return DINOv2(
        backbone,
        make(model['head_out'], *sizes),
        patch_head,
        'sinkhorn' if options['centering'] == 'sinkhorn_knopp' else 'mean',
        options['student_temp'],
        last,
        first,
        warmup,
        options['center_momentum'],
        momentum,
        options['mask_sample_probability'],
        tuple(options['mask_ratio']),
        options['koleo_loss_weight'],
        run=run,
    )


def adamw_of_dinov2(meta: golden.Meta) -> AdamW:
    """Clipped by the part; deeper layers learn faster, and last layers wait at a rate of 0."""
    settings = golden.plain(meta['optim'])
    return AdamW(
        lr=1.0,
        betas=tuple(settings['betas']),
        eps=settings['eps'],
        clip=settings['clip_norm_per_submodule'],
        clip_by='part',
        custom_keys={
            'last_layer': {'zero_lr_epochs': settings['freeze_last_layer_steps']},
            'patch_embed': {'lr_mult': settings['patch_embed_lr_mult']},
        },
        vectors={'decay_mult': 0.0},
        layer_decay_rate=settings['layerwise_decay'],
    )


def subsets_of_dinov2(saved: golden.File, inputs: dict[str, np.ndarray]) -> dict[str, Any]:
    """The recorded permutations, by size of crop, with an image's crops beside each other."""
    rate = golden.plain(saved.meta['options'])['drop_path_rate']
    if not rate:
        return {}
    depth = saved.meta['model']['depth']
    subsets = []
    for group in ('global', 'local'):
        orders = np.array(
            [
                [inputs[f'drop/{block}/{branch}/{group}'] for branch in ('attn', 'ffn')]
                for block in range(depth)
            ]
        )
        rows = orders.shape[-1]
        kept = max(int(rows * (1 - rate)), 1)
        images = rows // 2
        moved = orders % images * 2 + orders // images
        subsets.append(jnp.asarray(moved[..., :kept]))
    return {'subsets': tuple(subsets)}


PARTS_OF_DINOV2 = {'backbone': 'backbone', 'head': 'dino_head', 'patch_head': 'ibot_head'}


FAMILY = Family(
    dinov2,
    {
        **{
            f'{place}.{here}': f'{who}.{there}'
            for place, who in (('params', 'student'), ('state.teacher.params', 'teacher'))
            for here, there in PARTS_OF_DINOV2.items()
        },
        'state.center': 'dino_loss.center',
        'state.patch_center': 'ibot_patch_loss.center',
    },
    metrics={
        **{f'dino_{kind}_crops_loss': kind for kind in ('local', 'global')},
        **{f'{name}_loss': name for name in ('koleo', 'ibot')},
    },
    optimizer=adamw_of_dinov2,
    more=subsets_of_dinov2,
    vectors=('dino_loss.center', 'ibot_patch_loss.center'),
    unused=('dino_loss.', 'ibot_patch_loss.'),
    # with the places that are left over, and both kinds of logits in one
    only_there=('ibot_teacher_probs', '*_dino_logits0'),
    unread=('options.upperbound', 'options.n_local'),
)
