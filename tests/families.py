"""How steps of other repositories than MMSelfSup become ours: a family for each algorithm.

Their files hold one module: the student, the teacher and the losses with their centers, under the
names of the repository. A family says which algorithm of ours that is, and what each array is
called there. `golden.FAMILIES` names those that there are.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jssl.algorithm import Algorithm, Params, Run, State
from jssl.algorithms import DINO, IJEPA, DINOv2, VICReg
from jssl.backbones import DINOViT, IJEPAViT, ResNet
from jssl.heads import DINOHead
from jssl.layers.transformer import FeedForwardKind
from jssl.necks import IJEPAPredictor, NonLinearNeck
from jssl.optim.optimizers import AdamW, Optimizer, TrustRatioLARS, make_optimizer
from jssl.weights.names import key_of, load_tree, save_tree
from tests import golden

LONG = 10**9  # epochs of a run in which a schedule does not leave its first value
# How timm and the repositories after it call the parts of a vision transformer.
TIMM = {
    'patch_embed.projection': 'patch_embed.proj',
    'ffn.layers.0.0': 'mlp.fc1',
    'ffn.layers.1': 'mlp.fc2',
    'ffn': 'mlp',
    'gamma_1': 'ls1.gamma',
    'gamma_2': 'ls2.gamma',
    'layers': 'blocks',
    'ln1': 'norm1',
    'ln2': 'norm2',
}


@dataclasses.dataclass(frozen=True)
class Family:
    """An algorithm of another repository.

    Attributes:
      make: a file -> our algorithm, told its run.
      places: how the path of an array begins here -> there; of ``{'params': …, 'state': …}``.
      step: settings of a file -> the number of its single step.
      optimizer: settings of a trajectory -> its optimizer; the rate and the decay are the file's.
      metrics: what a term of the loss is called there -> our metric.
      unread: patterns of settings that say again what others do.
      more: a file and its inputs -> what else the batch has, made of recorded draws.
      unused: how keys begin that are there whether they are used or not.
      only_there: patterns of what was captured on the way and is not made here.
      vectors: keys that have a first axis of one entry there, and not here.
      stacked: how the names of recorded inputs begin, of which there are several -> the entry of
        the batch that has them all, along its second axis.
    """

    make: Callable[[golden.File], Algorithm]
    places: Mapping[str, str]
    step: Callable[[golden.Meta], int] = lambda meta: 0
    optimizer: Callable[[golden.Meta], Optimizer] | None = None
    metrics: Mapping[str, str] = dataclasses.field(default_factory=dict)
    more: Callable[[golden.File, dict[str, np.ndarray]], dict[str, Any]] = lambda saved, inputs: {}
    vectors: tuple[str, ...] = ()
    stacked: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unused: tuple[str, ...] = ()
    only_there: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def load(
    saved: golden.File, weights: Mapping[str, np.ndarray], params: Params, state: State
) -> tuple[Params, State]:
    """Parameters and state, given their shapes, with the arrays of a file in their places."""
    family = FAMILIES[saved.meta['algorithm']]
    flat = {key: x.reshape(-1) if key in family.vectors else x for key, x in weights.items()}
    flat = {key: x[None] if _is_row(key, x) else x for key, x in flat.items()}
    tree, key_of = {'params': params, 'state': state}, functools.partial(name, family)
    found = load_tree(flat, tree, key_of, family.unused)
    return found['params'], found['state']


def _is_row(key: str, x: np.ndarray) -> bool:
    """Whether this is a mask token without the axis of images, as DINOv2's and DINOv3's are."""
    return key.endswith('.mask_token') and x.ndim == 2


def export(saved: golden.File, params: Params, state: State | None) -> dict[str, np.ndarray]:
    """Parameters and state, or gradients alone, by their names there."""
    family = FAMILIES[saved.meta['algorithm']]
    tree = {'params': params, 'state': state or {}}
    found = save_tree(tree, functools.partial(name, family))
    spec = golden.plain(saved.meta['state_spec'])
    shapes = {key: spec[key]['shape'] for key in family.vectors}
    return {key: x.reshape(shapes.get(key, x.shape)) for key, x in found.items()}


def name(family: Family, names: Sequence[str]) -> str | None:
    """What an array is called there; None for one that is not saved."""
    key = key_of(names)
    for here, there in family.places.items():
        if key == here or key.startswith(f'{here}.'):
            return f'{there}{of_timm(key[len(here) :])}'
    return None


def entry(saved: golden.File, name: str) -> str:
    """The entry of the batch that a recorded input goes into."""
    family = FAMILIES.get(saved.meta.get('algorithm', ''))
    stacked = {} if family is None else family.stacked
    return stacked.get(name.rstrip('0123456789'), name)


def inputs(saved: golden.File, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded inputs under the names of the batch, those of several entries in one."""
    found: dict[str, list[Any]] = {}
    for name, value in recorded.items():
        found.setdefault(entry(saved, name), []).append(value)
    stacked = set(FAMILIES[saved.meta['algorithm']].stacked.values())
    return {
        name: jnp.stack(values, axis=1) if name in stacked else values[0]
        for name, values in found.items()
    }


def metric(saved: golden.File, name: str) -> str:
    """What a term of the loss is called among our metrics."""
    family = FAMILIES.get(saved.meta.get('algorithm', ''))
    return name if family is None else family.metrics.get(name, name)


def only_there(saved: golden.File) -> tuple[str, ...]:
    """Patterns of what the reference captured and we do not make."""
    family = FAMILIES.get(saved.meta.get('algorithm', ''))
    return () if family is None else family.only_there


def unread(path: Path) -> tuple[str, ...]:
    """The settings of a file that need no reading."""
    family = FAMILIES.get(golden.settings(path).get('algorithm', ''))
    return () if family is None else family.unread


def of_timm(key: str) -> str:
    """The key of an array in a part, in timm's words if that is of a vision transformer."""
    head = '.backbone' if key.startswith('.backbone.') else ''
    rest = key.removeprefix(head)
    if not rest.startswith(('.layers.', '.patch_embed.', '.ln1.', '.predictor_blocks.')):
        return key
    if rest.startswith('.ln1.'):  # the one after the last block
        return f'{head}.norm.{rest.removeprefix(".ln1.")}'
    for ours, theirs in TIMM.items():
        rest = f'{rest}.'.replace(f'.{ours}.', f'.{theirs}.')[:-1]
    return f'{head}{rest}'


def transformation(saved: golden.File, algorithm: Algorithm) -> optax.GradientTransformation:
    """The optimizer of a trajectory, whose rate and decay are those of the file at each step."""
    meta = saved.meta
    make = FAMILIES[meta['algorithm']].optimizer
    assert make is not None
    schedules = golden.plain(meta['schedules'])
    made = make(meta)
    if 'wd' in schedules:
        rate: Any = by_step(schedules['wd'])
        made = dataclasses.replace(made, weight_decay=1.0, decay_schedule=rate)
    length: dict[str, Any] = {
        'steps_per_epoch': meta['optim'].get('iters_per_epoch', 1),
        'epochs': LONG,
    }
    rates = by_step(schedules['lr'])
    if made.layer_decay_rate is not None:
        length['get_layer_depth'] = algorithm.get_layer_depth
    return make_optimizer(made, rates, **length, is_frozen=algorithm.is_frozen)


def by_step(values: Sequence[float]) -> Callable[[Any], jax.Array]:
    """A schedule of recorded values."""
    return lambda step: jnp.asarray(values)[step]


def vision_transformer(model: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a vision transformer of that size."""
    arch = {
        'embed_dims': model['embed_dim'],
        'num_layers': model['depth'],
        'num_heads': model['num_heads'],
        'feedforward_channels': 4 * model['embed_dim'],
    }
    return {'arch': arch, 'img_size': model['img_size'], 'patch_size': model['patch_size']}


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


def vicreg(saved: golden.File) -> VICReg:
    """VICReg; the hidden layers of its projection are as wide as each other."""
    model, options = golden.plain(saved.meta['model']), golden.plain(saved.meta['options'])
    depth = int(model['arch'].removeprefix('resnet'))
    hidden, *more = (int(width) for width in model['mlp'].split('-'))
    assert set(more[:-1]) <= {hidden}
    widths = (2048 if depth >= 50 else 512, hidden, more[-1])
    return VICReg(
        ResNet(depth, out_indices=(4,), zero_init_residual=model['zero_init_residual']),
        NonLinearNeck(*widths, len(more) + 1, with_bias=True, with_last_bn=False),
        invariance_weight=options['sim_coeff'],
        variance_weight=options['std_coeff'],
        covariance_weight=options['cov_coeff'],
    )


def lars_of_vicreg(meta: golden.Meta) -> TrustRatioLARS:
    """Vectors neither decay nor adapt."""
    settings = golden.plain(meta['optim'])
    return TrustRatioLARS(
        lr=1.0,
        momentum=settings['momentum'],
        eta=settings['eta'],
        weight_decay=settings['weight_decay'],
        vectors={'decay_mult': 0.0, 'lars_exclude': True},
    )


# Its projection is a list of layers there: linear, batch norm and ReLU, over and over.
PROJECTOR = {
    f'neck.{kind}{index}': f'projector.{3 * index + place}'
    for index in range(8)
    for place, kind in enumerate(('fc', 'bn'))
}


def ijepa(saved: golden.File) -> IJEPA:
    """I-JEPA; the masks are recorded, whatever settings they were drawn with."""
    model, momentum, run = (
        saved.meta['model'],
        saved.meta['options']['ema_momentum'],
        Run(64, 1, LONG),
    )
    if 'schedules' in saved.meta:
        assert saved.meta['schedules']['momentum'][0] == momentum
        settings = saved.meta['optim']
        epochs = round(settings['epochs'] * settings['ipe_scale'])
        run = Run(64, settings['iters_per_epoch'], epochs)
    vit = vision_transformer(model)
    patches = (vit['img_size'] // vit['patch_size']) ** 2
    width, depth = model['pred_emb_dim'], model['pred_depth']
    neck = IJEPAPredictor(patches, model['embed_dim'], width, depth, model['num_heads'])
    return IJEPA(IJEPAViT(**vit), neck, base_momentum=momentum, run=run)


def adamw_of_ijepa(meta: golden.Meta) -> AdamW:
    """Vectors do not decay."""
    settings = meta['optim']
    betas = tuple(settings['betas'])
    return AdamW(lr=1.0, betas=betas, eps=settings['eps'], vectors={'decay_mult': 0.0})


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

FAMILIES: dict[str, Family] = {
    'dinov2': Family(
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
    ),
    'dino': Family(
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
    ),
    'ijepa': Family(
        ijepa,
        {
            'params.backbone': 'encoder',
            'params.neck': 'predictor',
            'state.teacher.params.backbone': 'target_encoder',
        },
        optimizer=adamw_of_ijepa,
        stacked={'mask_enc': 'context', 'mask_pred': 'blocks'},
        # of the masks, and of what the file has schedules of
        unread=(
            *('options.[!e]*', 'options.enc_mask_scale'),
            *('optim.type', 'optim.*wd', 'optim.*lr', 'optim.warmup'),
        ),
    ),
    'vicreg': Family(
        vicreg,
        {
            **{
                f'{place}.{here}': there
                for place in ('params', 'state.batch_stats')
                for here, there in {**PROJECTOR, 'backbone': 'backbone'}.items()
            },
        },
        metrics={'repr': 'invariance', 'std': 'variance', 'cov': 'covariance'},
        optimizer=lars_of_vicreg,
        # the sizes of which the rates were made
        unread=('options.batch_size', 'optim.type', 'optim.[!mwei]*', 'optim.epochs'),
    ),
}
