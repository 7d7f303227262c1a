"""Algorithms at the smallest size that shows what they do, and the parts they are made of."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithms import (
    BYOL,
    DCL,
    DINO,
    NNCLR,
    NPID,
    ODC,
    BarlowTwins,
    DeepCluster,
    DenseCL,
    LeJEPA,
    MoCo,
    MoCoV3,
    RelativeLoc,
    RotationPred,
    SimCLR,
    SimSiam,
    SwAV,
    SymmetricMoCo,
    TiCo,
    VICReg,
)
from jssl.heads import (
    ClsHead,
    ContrastiveHead,
    DINOHead,
    LatentCrossCorrelationHead,
    LatentPredictHead,
    MoCoV3Head,
    SwAVHead,
)
from jssl.layers.batch_norm import BatchNorm
from jssl.memories import ODCMemory, SimpleMemory
from jssl.necks import (
    AvgPool2dNeck,
    DenseCLNeck,
    LinearNeck,
    MoCoV2Neck,
    NonLinearNeck,
    ODCNeck,
    RelativeLocNeck,
    SwAVNeck,
)

IMAGES, BATCH, SIDE, WIDTH = 48, 16, 8, 8


class Stem(nn.Module):
    """Images -> a map of half the side; compiles in a fraction of the time of any ResNet."""

    bn_group_size: int | None = None
    dtype: jnp.dtype | None = None
    activation: Callable[[jax.Array], jax.Array] = nn.relu

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array]:
        x = nn.Conv(WIDTH, (3, 3), strides=2, padding=1, dtype=self.dtype, name='conv1')(images)
        x = BatchNorm(group_size=self.bn_group_size, name='bn1')(x, train)
        return (self.activation(x),)


STEM = Stem()


class Flatten(nn.Module):
    """A backbone without parameters, to see a loss bare."""

    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array]:
        return (images.reshape(len(images), -1),)


def linear(width: int, out: int, **fields: Any) -> NonLinearNeck:
    """A matrix."""
    return NonLinearNeck(width, out, out, num_layers=1, with_last_bn=False, **fields)


def neck(num_layers: int = 2, **fields: Any) -> NonLinearNeck:
    return NonLinearNeck(WIDTH, WIDTH, WIDTH, num_layers, **fields)


def predictor(**fields: Any) -> NonLinearNeck:
    return neck(with_avg_pool=False, with_last_bn=False, **fields)


def tiny_byol(backbone: nn.Module = STEM, **fields: Any) -> BYOL:
    head = LatentPredictHead(predictor(with_bias=True))
    return BYOL(backbone, neck(with_bias=True, with_last_bn=False), head, **fields)


def tiny_simsiam(backbone: nn.Module = STEM) -> SimSiam:
    head = LatentPredictHead(predictor(with_last_bias=True))
    return SimSiam(backbone, neck(3, with_last_bn_affine=False), head)


def tiny_mocov3(backbone: nn.Module = STEM, **fields: Any) -> MoCoV3:
    head = MoCoV3Head(predictor(), temperature=0.5)
    return MoCoV3(backbone, neck(with_last_bn_affine=False), head, **fields)


def tiny_moco(backbone: nn.Module = STEM, **fields: Any) -> MoCo:
    head = ContrastiveHead(temperature=0.5)
    sizes = {'queue_len': 2 * BATCH, 'feat_dim': WIDTH, 'momentum': 0.9}
    return MoCo(backbone, MoCoV2Neck(WIDTH, WIDTH, WIDTH), head, **(sizes | fields))


def tiny_symmetric_moco(backbone: nn.Module = STEM) -> SymmetricMoCo:
    projection = MoCoV2Neck(WIDTH, WIDTH, WIDTH)
    return SymmetricMoCo(
        backbone, projection, ContrastiveHead(0.5), queue_len=4 * BATCH, feat_dim=WIDTH
    )


def tiny_densecl(backbone: nn.Module = STEM, **fields: Any) -> DenseCL:
    head = ContrastiveHead(temperature=0.5)
    sizes = {'queue_len': 2 * BATCH, 'feat_dim': WIDTH, 'momentum': 0.9}
    return DenseCL(backbone, DenseCLNeck(WIDTH, WIDTH, WIDTH), head, **(sizes | fields))


def tiny_barlow_twins(backbone: nn.Module = STEM, **head: Any) -> BarlowTwins:
    projection = neck(3, with_last_bn=False)
    return BarlowTwins(backbone, projection, LatentCrossCorrelationHead(WIDTH, **head))


def tiny_lejepa(backbone: nn.Module = STEM, **fields: Any) -> LeJEPA:
    projection = neck(3, with_bias=True, with_last_bn=False)
    sizes: dict[str, Any] = {'neck': projection, 'feat_dim': WIDTH, 'slices': 16}
    return LeJEPA(backbone, **(sizes | fields))


def tiny_nnclr(
    backbone: nn.Module = STEM, head_of: Callable[[], nn.Module] = predictor, **fields: Any
) -> NNCLR:
    head = MoCoV3Head(head_of(), temperature=0.5)
    sizes: dict[str, Any] = {'neck': neck(3), 'queue_len': 2 * BATCH + 4, 'feat_dim': WIDTH}
    return NNCLR(backbone, head=head, **(sizes | fields))


def tiny_dcl(backbone: nn.Module = STEM, **fields: Any) -> DCL:
    return DCL(backbone, head=ContrastiveHead(temperature=0.5), **({'neck': neck()} | fields))


def tiny_tico(backbone: nn.Module = STEM, **fields: Any) -> TiCo:
    return TiCo(backbone, **({'neck': neck(with_last_bn=False)} | fields))


def tiny_vicreg(backbone: nn.Module = STEM, **fields: Any) -> VICReg:
    return VICReg(backbone, neck(3, with_bias=True, with_last_bn=False), **fields)


def tiny_swav(backbone: nn.Module = STEM, **fields: Any) -> SwAV:
    head = SwAVHead(WIDTH, num_prototypes=6, epsilon=0.5, temperature=0.5)
    return SwAV(backbone, SwAVNeck(WIDTH, WIDTH, WIDTH), **({'head': head} | fields))


def tiny_simclr() -> SimCLR:
    return SimCLR(Stem(), neck(), ContrastiveHead(temperature=0.5))


def tiny_dino(backbone: nn.Module = STEM, **fields: Any) -> DINO:
    head = DINOHead(WIDTH, 12, WIDTH, WIDTH, with_bn=True)
    settings = {'base_momentum': 0.9, 'teacher_temperature': 0.07, 'warmup_teacher_epochs': 2}
    return DINO(backbone, **({'head': head} | settings | fields))


def tiny_npid(backbone: nn.Module = STEM, **fields: Any) -> NPID:
    bank = SimpleMemory(feat_dim=WIDTH, **fields.pop('memory_bank', {}))
    head = ContrastiveHead(temperature=0.5)
    return NPID(backbone, LinearNeck(WIDTH, WIDTH), head, bank, **({'neg_num': 6} | fields))


def tiny_odc(backbone: nn.Module = STEM, **fields: Any) -> ODC:
    memory = ODCMemory(feat_dim=WIDTH, num_classes=6, min_cluster=4)
    head = ClsHead(WIDTH, 6, init_std=0.5)
    return ODC(backbone, ODCNeck(WIDTH, WIDTH, WIDTH), head, memory, 2, **fields)


def tiny_deepcluster(backbone: nn.Module = STEM, **fields: Any) -> DeepCluster:
    head = ClsHead(WIDTH, 6, init_std=0.5)
    return DeepCluster(backbone, AvgPool2dNeck(), head, **({'pca_dim': 4} | fields))


def tiny_relative_loc(backbone: nn.Module = STEM) -> RelativeLoc:
    return RelativeLoc(backbone, RelativeLocNeck(WIDTH, WIDTH), ClsHead(WIDTH, 8, init_std=0.5))


def tiny_rotation_pred(backbone: nn.Module = STEM) -> RotationPred:
    return RotationPred(backbone, ClsHead(WIDTH, 4, with_avg_pool=True, init_std=0.5))
