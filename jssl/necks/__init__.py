"""Necks: a backbone's features -> projections."""

from jssl.necks.cae import CAENeck as CAENeck
from jssl.necks.densecl import DenseCLNeck as DenseCLNeck
from jssl.necks.ijepa import IJEPAPredictor as IJEPAPredictor
from jssl.necks.linear import LinearNeck as LinearNeck
from jssl.necks.mae import MAEPretrainDecoder as MAEPretrainDecoder
from jssl.necks.moco_v2 import MoCoV2Neck as MoCoV2Neck
from jssl.necks.nonlinear import NonLinearNeck as NonLinearNeck
from jssl.necks.pooling import ClsBatchNormNeck as ClsBatchNormNeck
from jssl.necks.pooling import ConcatNeck as ConcatNeck
from jssl.necks.pooling import GlobalAveragePooling as GlobalAveragePooling
from jssl.necks.pretext import AvgPool2dNeck as AvgPool2dNeck
from jssl.necks.pretext import ODCNeck as ODCNeck
from jssl.necks.pretext import RelativeLocNeck as RelativeLocNeck
from jssl.necks.simmim import SimMIMNeck as SimMIMNeck
from jssl.necks.swav import SwAVNeck as SwAVNeck
