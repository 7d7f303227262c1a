"""I-JEPA of its authors' repository."""

from jssl.algorithm import Run
from jssl.algorithms import IJEPA
from jssl.backbones import IJEPAViT
from jssl.necks import IJEPAPredictor
from jssl.optim.optimizers import AdamW
from tests import golden
from tests.families.family import LONG, Family, vision_transformer


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


FAMILY = Family(
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
)
