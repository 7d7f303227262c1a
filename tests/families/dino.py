"""DINO of its authors' repository."""

from jssl.algorithm import Run
from jssl.algorithms import DINO
from jssl.backbones import DINOViT, ResNet
from jssl.heads import DINOHead
from jssl.optim.optimizers import AdamW
from tests import golden
from tests.families.family import LONG, Family, vision_transformer


def dino(saved: golden.File) -> DINO:
    """DINO; a single step is that of an epoch of one step."""
    model, options = golden.plain(saved.meta['model']), golden.plain(saved.meta['options'])
    vit = model['arch'] == 'vit'
    depth = int(model['arch'].removeprefix('resnet')) if not vit else 0
    width = model['embed_dim'] if vit else (512 if depth < 50 else 2048)
    head = DINOHead(
        width,
        model['head_out'],
        model['head_hidden'],
        model['head_bottleneck'],
        model['head_layers'],
        model['use_bn_in_head'],
        model['norm_last_layer'],
    )
    momentum, run = options['ema_momentum'], Run(64, 1, LONG)
    if 'schedules' in saved.meta:
        momentum = golden.plain(saved.meta['schedules'])['momentum'][0]
        run = Run(64, saved.meta['optim']['iters_per_epoch'], options['epochs'])
    assert options['drop_path'] == 0
    return DINO(
        DINOViT(**vision_transformer(model)) if vit else ResNet(depth, norm_eval=False),
        head,
        options['student_temp'],
        options['teacher_temp'],
        options['warmup_teacher_temp'],
        options['warmup_teacher_temp_epochs'],
        options['center_momentum'],
        momentum,
        run=run,
    )


def adamw_of_dino(meta: golden.Meta) -> AdamW:
    """Clipped by the tensor; biases and norms do not decay, and the last layer waits."""
    settings = golden.plain(meta['optim'])
    waits = {'last_layer': {'frozen_epochs': settings['freeze_last_layer_epochs']}}
    return AdamW(
        lr=1.0,
        betas=tuple(settings['betas']),
        eps=settings['eps'],
        clip=settings['clip_per_parameter'],
        clip_by='tensor',
        custom_keys=waits,
        vectors={'decay_mult': 0.0},
    )


FAMILY = Family(
    dino,
    {
        'params': 'student',
        'state.batch_stats': 'student',
        'state.teacher.params': 'teacher',
        'state.teacher.batch_stats': 'teacher',
        'state.center': 'dino_loss.center',
    },
    step=lambda meta: meta['options']['epoch'],
    optimizer=adamw_of_dino,
    vectors=('dino_loss.center',),
)
