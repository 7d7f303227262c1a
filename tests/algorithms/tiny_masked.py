"""Algorithms of masked patches at the smallest size that shows what they do."""

from typing import Any

from jssl.algorithms import (
    CAE,
    IBOT,
    IJEPA,
    MAE,
    MSN,
    DINOv2,
    DINOv3,
    MaskFeat,
    SimMIM,
)
from jssl.augment.masks import MultiBlock
from jssl.backbones import (
    CAEViT,
    DINOv3ViT,
    DINOViT,
    IJEPAViT,
    MAEViT,
    MaskFeatViT,
    SimMIMSwinTransformer,
)
from jssl.heads import (
    CAEHead,
    DINOHead,
    GramAnchoring,
    IBOTHead,
    MAEPretrainHead,
    MaskFeatPretrainHead,
    SimMIMHead,
)
from jssl.necks import (
    CAENeck,
    IJEPAPredictor,
    LinearNeck,
    MAEPretrainDecoder,
    SimMIMNeck,
)
from jssl.target_generators import BrightnessTokenizer, HOGGenerator
from tests.algorithms.tiny_models import SIDE, WIDTH


def tiny_dinov2(**fields: Any) -> DINOv2:
    backbone = DINOViT(VIT, img_size=SIDE, patch_size=PATCH, num_registers=1, drop_path_rate=0.3)
    backbone = backbone.clone(drop_subsets=True, layer_scale=0.5)
    head, patch_head = (DINOHead(WIDTH, k, WIDTH, WIDTH, norm_last_layer=False) for k in (12, 10))
    return DINOv2(backbone, head, patch_head, warmup_teacher_epochs=1, base_momentum=0.9, **fields)


def tiny_ibot(**fields: Any) -> IBOT:
    backbone = DINOViT({**VIT, 'num_layers': 2}, img_size=SIDE, patch_size=PATCH)
    head = IBOTHead(WIDTH, 12, WIDTH, WIDTH, patch_channels=10)
    settings: dict[str, Any] = {'warmup_teacher_epochs': 2, 'base_momentum': 0.9}
    return IBOT(backbone.clone(drop_path_rate=0.3), **({'head': head} | settings | fields))


def tiny_dinov3(gram: GramAnchoring | None = None, **fields: Any) -> DINOv3:
    sizes: dict[str, Any] = {'img_size': SIDE, 'patch_size': PATCH, 'num_registers': 1}
    # Without drop path: what passes this one block untouched is the mask token, which is 0 at
    # first, and the head divides by its length.
    backbone = DINOv3ViT(VIT, rotary={'rescale': 2.0}, layer_scale=0.5, **sizes)
    head, patch_head = (DINOHead(WIDTH, k, WIDTH, WIDTH, weight_norm=False) for k in (12, 10))
    settings: dict[str, Any] = {'warmup_teacher_epochs': 1, 'base_momentum': 0.9}
    return DINOv3(backbone, head, patch_head, gram, **(settings | fields))


VIT = {'embed_dims': WIDTH, 'num_layers': 1, 'num_heads': 2, 'feedforward_channels': 2 * WIDTH}


SWIN = {'embed_dims': WIDTH, 'depths': (2,), 'num_heads': (2,)}


PATCH = 2  # pixels


def tiny_cae() -> CAE:
    sizes: dict[str, Any] = {
        'embed_dims': WIDTH,
        'num_heads': 2,
        'mlp_ratio': 2,
        'mask_tokens_num': 6,
    }
    neck = CAENeck(num_classes=16, regressor_depth=1, decoder_depth=1, **sizes)
    tokenizer = BrightnessTokenizer(PATCH, cells=2, levels=2)
    backbone = CAEViT(VIT, img_size=SIDE, patch_size=PATCH)
    return CAE(backbone, neck, CAEHead(), tokenizer, smallest_block=3)


def tiny_ijepa(**fields: Any) -> IJEPA:
    backbone = IJEPAViT(VIT, img_size=SIDE, patch_size=PATCH)
    sizes: dict[str, Any] = {'num_patches': (SIDE // PATCH) ** 2, 'embed_dims': WIDTH}
    neck = IJEPAPredictor(**sizes, predictor_embed_dims=WIDTH, depth=1, num_heads=2, mlp_ratio=2)
    masks = MultiBlock(targets=2, context_patches=4)
    return IJEPA(backbone, neck, **({'masks': masks} | fields))


def tiny_mae(norm_pix: bool = False, dtype: Any = None, **fields: Any) -> MAE:
    backbone = MAEViT(VIT, img_size=SIDE, patch_size=PATCH, dtype=dtype)
    sizes: dict[str, Any] = {
        'num_patches': (SIDE // PATCH) ** 2,
        'patch_size': PATCH,
        'embed_dim': WIDTH,
    }
    small: dict[str, Any] = {'decoder_embed_dim': WIDTH, 'decoder_depth': 1, 'decoder_num_heads': 2}
    decoder = MAEPretrainDecoder(**sizes, **small, dtype=dtype)
    return MAE(backbone, decoder, MAEPretrainHead(norm_pix, PATCH), **fields)


def tiny_msn(**fields: Any) -> MSN:
    backbone = DINOViT(VIT, img_size=SIDE, patch_size=PATCH, interpolation='plain')
    head = DINOHead(WIDTH, 12, WIDTH, WIDTH, with_bn=True)
    return MSN(backbone, head, **({'mask_ratio': 0.5, 'base_momentum': 0.9} | fields))


def tiny_simmim(drop_path_rate: float = 0.5, dtype: Any = None, **fields: Any) -> SimMIM:
    sizes: dict[str, Any] = {
        'img_size': SIDE,
        'patch_size': PATCH,
        'window_size': 2,
        'out_indices': (0,),
    }
    backbone = SimMIMSwinTransformer(SWIN, drop_path_rate=drop_path_rate, dtype=dtype, **sizes)
    neck = SimMIMNeck(WIDTH, encoder_stride=PATCH, dtype=dtype)
    return SimMIM(backbone, neck, SimMIMHead(PATCH), **({'mask_patch_size': 4} | fields))


def tiny_maskfeat(dtype: Any = None, **fields: Any) -> MaskFeat:
    backbone = MaskFeatViT(VIT, img_size=SIDE, patch_size=PATCH, dtype=dtype)
    hog = HOGGenerator(nbins=3, pool=PATCH, gaussian_window=4, patch_size=PATCH)
    neck = LinearNeck(WIDTH, 9, with_avg_pool=False, dtype=dtype)
    sizes = {'masked_patches': 6, 'smallest_block': 2}
    return MaskFeat(
        backbone, neck, MaskFeatPretrainHead(), **{'target_generator': hog, **sizes, **fields}
    )
