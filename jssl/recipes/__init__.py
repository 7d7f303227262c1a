"""Parts that many configs share: the data sets with their evaluation, and networks of their size.

model=dict(type='SimCLR', backbone=recipes.small_resnet(), ...), **recipes.digits()
"""

from typing import Any

from ml_collections.config_dict import placeholder

from jssl.recipes import policies as policies
from jssl.recipes.networks import brightness_tokenizer as brightness_tokenizer
from jssl.recipes.networks import cifar_resnet18 as cifar_resnet18
from jssl.recipes.networks import edge_resnet as edge_resnet
from jssl.recipes.networks import mlp as mlp
from jssl.recipes.networks import moco_v2_neck as moco_v2_neck
from jssl.recipes.networks import predictor as predictor
from jssl.recipes.networks import resnet as resnet
from jssl.recipes.networks import resnet50 as resnet50
from jssl.recipes.networks import small_resnet as small_resnet
from jssl.recipes.networks import widths as widths
from jssl.recipes.own_images import OwnImages as OwnImages
from jssl.recipes.training import adamw as adamw
from jssl.recipes.training import adamw_of_dino as adamw_of_dino
from jssl.recipes.training import adamw_of_dinov2 as adamw_of_dinov2
from jssl.recipes.training import adamw_of_transformers as adamw_of_transformers
from jssl.recipes.training import cosine as cosine
from jssl.recipes.training import lars as lars
from jssl.recipes.training import sgd as sgd
from jssl.recipes.training import sgd_of_dino as sgd_of_dino
from jssl.recipes.training import steady_adamw as steady_adamw
from jssl.recipes.training import steps as steps
from jssl.recipes.training import trust_ratio_lars as trust_ratio_lars

Config = dict[str, Any]


def digits(**eval_view: Any) -> Config:
    """The embedded handwritten digits, 32 pixels: minutes on a laptop."""
    view = policies.evaluation(**(dict(size=32, resize=32) | eval_view))
    return _data('embedded_digits', test='test', canvas=32, eval_view=view)


def digit_views(**fields: Any) -> Config:
    """Fields of a policy's views for the digits, which are grey and of 14 to 24 pixels.

    Crops of half the image or more keep most of a digit; 24 pixels keep it about as large as the
    evaluation shows it, at half the cost.
    """
    grey = dict(flip=0.0, jitter=0.3, saturation=0.0, hue=0.0, gray=0.0, blur=0.1)
    return dict(size=24, scale=(0.5, 1.0)) | grey | fields


def no_light(**fields: Any) -> Config:
    """`digit_views` without mean and deviation of grey, which transformers would learn at once.

    A jitter strong enough to hide them makes a narrow one collapse.
    """
    return digit_views(jitter=0.0, standardize=True, **fields)


def harsh_light(**fields: Any) -> Config:
    """`digit_views` whose grey levels tell little: no negatives push what views share apart."""
    return digit_views(jitter=1.0, brightness=0.9, contrast=0.9, **fields)


def cifar10() -> Config:
    """CIFAR-10, 32 pixels."""
    return _data('cifar10', test='test', canvas=32, eval_view=policies.evaluation(32, 32))


def imagenet(**eval_view: Any) -> Config:
    """ImageNet, whose usual 500 x 375 pixels fit on the canvas; larger images are shrunk."""
    view = policies.evaluation(**eval_view)
    return _data('imagenet2012', test='validation', canvas=512, eval_view=view)


def imagenet_in_bfloat16(**eval_view: Any) -> Config:
    """ImageNet, for networks that compute in bfloat16; `--config.dtype=float32` is the way back."""
    return imagenet(**eval_view) | dict(dtype='bfloat16')


def _data(name: str, test: str, canvas: int, eval_view: Config) -> Config:
    """A TFDS data set and its held-out split."""
    source = dict(type='TFDS', name=name, data_dir=placeholder(str))
    return dict(
        data=source | dict(split='train'),
        test_data=source | dict(split=test),
        canvas=canvas,
        eval_view=eval_view,
    )
