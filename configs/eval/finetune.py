"""Fine-tuning: a classifier whose backbone begins with the weights of a run and is trained too.

    jssl train eval/finetune --config.pretrained=RUN
    jssl train eval/finetune --config.pretrained=RUN \
        --config.data.split='train[:100]' --config.batch_size=50 --config.epochs=100
    jssl train eval/finetune:imagenet-mae-base \
        --config.pretrained=WEIGHTS

RUN is the --workdir of any run; without a variant its backbone, its data (labels are needed) and
its evaluation view are taken over, and --config.… sets fields on top. Without --config.pretrained
a small ResNet is trained from scratch on the embedded digits. WEIGHTS may be a RUN, a
backbone.safetensors or the reference's weights; the `imagenet-…` variants are the reference's
recipes, whose results docs/guides/evaluation.md lists.
"""

import functools

from jssl import recipes
from jssl.config import ConfigDict, choose
from jssl.recipes import Config, policies
from jssl.recipes.fine_tuning import RECIPES, recipe

FROM_RUN = ('model.backbone', 'data', 'test_data', 'canvas', 'channels', 'eval_view')


def get_config(variant: str = '') -> ConfigDict:
    """The experiment called `variant`."""
    real = {f'imagenet-{name}': functools.partial(imagenet, name) for name in RECIPES}
    return choose(variant, any_run=any_run, **real)


def any_run() -> Config:
    """Whatever the run was; crops alone, so that it fits many kinds of images."""
    optimizer = recipes.adamw(3e-3, weight_decay=0.05)
    return dict(
        pretrained='',
        inherit=FROM_RUN,
        model=dict(
            type='ImageClassifier', backbone=recipes.small_resnet(), head=dict(type='LinearClsHead')
        ),
        **recipes.digits(),
        views=policies.linear_probe(size=32, scale=(0.5, 1.0), flip=0.0),
        **recipes.cosine(optimizer, batch_size=64, epochs=10, warmup_epochs=1.0),
    )


def imagenet(name: str) -> Config:
    """RandAugment, erasing, Mixup or CutMix, label smoothing 0.1 and AdamW."""
    backbone, head, run = recipe(name)
    model = dict(type='ImageClassifier', backbone=backbone, head=head, mixup=0.8, cutmix=1.0)
    return dict(pretrained='', model=model, **run)
