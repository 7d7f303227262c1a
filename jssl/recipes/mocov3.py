"""Parts of MoCo v3 (Chen, Xie, He 2021) that its recipes share."""

from typing import Any

from jssl.recipes.networks import mlp, predictor, resnet50

Config = dict[str, Any]
WIDTHS = dict(small=384, base=768, large=1024)
NORMALIZED: Config = dict(with_last_bn=True, with_last_bn_affine=False)


def parts(
    backbone: Config,
    widths: tuple[int, int, int],
    temperature: float,
    *,
    base_momentum: float = 0.99,
    neck: Config | None = None,
    predict: Config | None = None,
) -> Config:
    """All of the model beside its type.

    Args:
      backbone: the network.
      widths: of its features, of the hidden layers and of the projections.
      temperature: of the head, whose loss weighs twice as much.
      base_momentum: of the teacher.
      neck, predict: further fields of the neck and of the predictor.
    """
    head = dict(type='MoCoV3Head', temperature=temperature, loss_weight=2 * temperature)
    return dict(
        base_momentum=base_momentum,
        backbone=backbone,
        neck=mlp(*widths, with_last_bn_affine=False, **(neck or {})),
        head=head | dict(predictor=predictor(widths[2], widths[1], **(predict or {}))),
    )


def vit_parts(arch: str, **half: Any) -> Config:
    """`parts` with a Vision Transformer, whose patch projection stays as it was drawn.

    Args:
      arch: one of `WIDTHS`.
      half: fields of backbone, neck and predictor, such as their `dtype`.
    """
    return parts(
        dict(type='MoCoV3ViT', arch=arch, stop_grad_conv1=True, **half),
        (WIDTHS[arch], 4096, 256),
        0.2,
        neck=dict(num_layers=3, vit_backbone=True, with_avg_pool=False, **half),
        predict=NORMALIZED | half,
    )


def resnet50_parts(base_momentum: float, **half: Any) -> Config:
    """`parts` with ResNet-50.

    Args:
      base_momentum: of the teacher.
      half: fields of backbone, neck and predictor, such as their `dtype`.
    """
    settings: Config = dict(base_momentum=base_momentum, neck=half, predict=half)
    return parts(resnet50(**half), (2048, 4096, 256), 1.0, **settings)
