"""The algorithms, one file each."""

from jssl.algorithms.barlow_twins import BarlowTwins as BarlowTwins
from jssl.algorithms.byol import BYOL as BYOL
from jssl.algorithms.cae import CAE as CAE
from jssl.algorithms.dcl import DCL as DCL
from jssl.algorithms.deepcluster import DeepCluster as DeepCluster
from jssl.algorithms.densecl import DenseCL as DenseCL
from jssl.algorithms.dino import DINO as DINO
from jssl.algorithms.ijepa import IJEPA as IJEPA
from jssl.algorithms.lejepa import LeJEPA as LeJEPA
from jssl.algorithms.mae import MAE as MAE
from jssl.algorithms.maskfeat import MaskFeat as MaskFeat
from jssl.algorithms.moco import MoCo as MoCo
from jssl.algorithms.moco_symmetric import SymmetricMoCo as SymmetricMoCo
from jssl.algorithms.mocov3 import MoCoV3 as MoCoV3
from jssl.algorithms.nnclr import NNCLR as NNCLR
from jssl.algorithms.npid import NPID as NPID
from jssl.algorithms.odc import ODC as ODC
from jssl.algorithms.relative_loc import RelativeLoc as RelativeLoc
from jssl.algorithms.rotation_pred import RotationPred as RotationPred
from jssl.algorithms.simclr import SimCLR as SimCLR
from jssl.algorithms.simmim import SimMIM as SimMIM
from jssl.algorithms.simsiam import SimSiam as SimSiam
from jssl.algorithms.supervised import ImageClassifier as ImageClassifier
from jssl.algorithms.swav import SwAV as SwAV
from jssl.algorithms.tico import TiCo as TiCo
from jssl.algorithms.vicreg import VICReg as VICReg
