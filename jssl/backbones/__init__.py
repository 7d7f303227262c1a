"""Backbones: images (B, H, W, C) -> a tuple of features."""

from jssl.backbones.cae_vit import CAEViT as CAEViT
from jssl.backbones.convnext import ConvNeXt as ConvNeXt
from jssl.backbones.convnextv2 import ConvNeXtV2 as ConvNeXtV2
from jssl.backbones.dino_vit import DINOViT as DINOViT
from jssl.backbones.dinov3_vit import DINOv3ViT as DINOv3ViT
from jssl.backbones.ijepa_vit import IJEPAViT as IJEPAViT
from jssl.backbones.last_blocks_vit import LastBlocksViT as LastBlocksViT
from jssl.backbones.mae_vit import MAEViT as MAEViT
from jssl.backbones.maskfeat_vit import MaskFeatViT as MaskFeatViT
from jssl.backbones.mocov3_vit import MoCoV3ViT as MoCoV3ViT
from jssl.backbones.resnet import ResNet as ResNet
from jssl.backbones.resnet_sobel import ResNetSobel as ResNetSobel
from jssl.backbones.resnetv1d import ResNetV1d as ResNetV1d
from jssl.backbones.resnext import ResNeXt as ResNeXt
from jssl.backbones.siglip_vit import SigLIPViT as SigLIPViT
from jssl.backbones.simmim_swin import SimMIMSwinTransformer as SimMIMSwinTransformer
from jssl.backbones.swin import SwinTransformer as SwinTransformer
from jssl.backbones.vit import VisionTransformer as VisionTransformer
