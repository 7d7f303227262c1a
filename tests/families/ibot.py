"""iBOT of its authors' repository."""

from jssl.algorithm import Run
from jssl.algorithms import IBOT
from jssl.backbones import DINOViT
from jssl.heads import IBOTHead
from tests import golden
from tests.families.dino import adamw_of_dino
from tests.families.family import LONG, Family, vision_transformer


def ibot(saved: golden.File) -> IBOT:
    """iBOT; a single step is that of an epoch of one step."""
    model, options = golden.plain(saved.meta['model']), golden.plain(saved.meta['options'])
    head = IBOTHead(
        model['embed_dim'],
        model['head_out'],
        model['head_hidden'],
        model['head_bottleneck'],
        norm_last_layer=model['norm_last_layer'],
        patch_channels=None if model['shared_head'] else model['patch_out'],
    )
    momentum, run = options['ema_momentum'], Run(64, 1, LONG)
    if 'schedules' in saved.meta:
        momentum = golden.plain(saved.meta['schedules'])['momentum'][0]
        run = Run(64, saved.meta['optim']['iters_per_epoch'], options['epochs'])
    return IBOT(
        DINOViT(**vision_transformer(model), layer_scale=model['init_values'] or None),
        head,
        model['shared_head_teacher'],
        options['lambda1'],
        options['lambda2'],
        options['student_temp'],
        options['teacher_temp'],
        options['warmup_teacher_temp'],
        options['teacher_patch_temp'],
        options['warmup_teacher_patch_temp'],
        options['warmup_teacher_temp_epochs'],
        options['center_momentum'],
        momentum,
        mask_start_epoch=options['mim_start_epoch'],
        run=run,
    )


FAMILY = Family(
    ibot,
    {
        'params': 'student',
        'state.teacher.params': 'teacher',
        'state.center': 'ibot_loss.center',
        'state.patch_center': 'ibot_loss.center2',
    },
    renamed={'mask_token': 'masked_embed', 'ls1.gamma': 'gamma_1', 'ls2.gamma': 'gamma_2'},
    step=lambda meta: meta['options']['epoch'],
    optimizer=adamw_of_dino,
    metrics={'cls': 'class_loss', 'patch': 'patch_loss'},
    vectors=('ibot_loss.center', 'ibot_loss.center2'),
    twice={f'{who}.head.last_layer.': f'{who}.head.last_layer2.' for who in ('student', 'teacher')},
    stacked={'mask': 'masks'},
    # The reference's heads see crops of one size at a time.
    only_there=('student_cls_logits', 'student_local_logits'),
)
