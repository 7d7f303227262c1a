"""Heads: projections -> logits or predictions, the inputs of a loss."""

from jssl.heads.cae import CAEHead as CAEHead
from jssl.heads.cls import ClsHead as ClsHead
from jssl.heads.contrastive import ContrastiveHead as ContrastiveHead
from jssl.heads.cross_correlation import LatentCrossCorrelationHead as LatentCrossCorrelationHead
from jssl.heads.dino import DINOHead as DINOHead
from jssl.heads.dino import IBOTHead as IBOTHead
from jssl.heads.gram import GramAnchoring as GramAnchoring
from jssl.heads.latent_predict import LatentPredictHead as LatentPredictHead
from jssl.heads.linear_cls import LinearClsHead as LinearClsHead
from jssl.heads.linear_cls import MultiClsHead as MultiClsHead
from jssl.heads.linear_cls import VisionTransformerClsHead as VisionTransformerClsHead
from jssl.heads.masked import MAEPretrainHead as MAEPretrainHead
from jssl.heads.masked import MaskFeatPretrainHead as MaskFeatPretrainHead
from jssl.heads.masked import SimMIMHead as SimMIMHead
from jssl.heads.mocov3 import MoCoV3Head as MoCoV3Head
from jssl.heads.swav import SwAVHead as SwAVHead
