"""Tiny runs of any algorithm: images of coarse patches and a backbone of one convolution."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from jssl.algorithm import Algorithm, Batch, Run, TrainState
from jssl.algorithms import (
    BYOL,
    CAE,
    DCL,
    DINO,
    IJEPA,
    MAE,
    NNCLR,
    NPID,
    ODC,
    BarlowTwins,
    DeepCluster,
    DenseCL,
    DINOv2,
    LeJEPA,
    MaskFeat,
    MoCo,
    MoCoV3,
    RelativeLoc,
    RotationPred,
    SimCLR,
    SimMIM,
    SimSiam,
    SwAV,
    SymmetricMoCo,
    TiCo,
    VICReg,
)
from jssl.augment.masks import MultiBlock
from jssl.backbones import (
    CAEViT,
    DINOViT,
    IJEPAViT,
    MAEViT,
    MaskFeatViT,
    SimMIMSwinTransformer,
)
from jssl.data import Canvas
from jssl.heads import (
    CAEHead,
    ClsHead,
    ContrastiveHead,
    DINOHead,
    LatentCrossCorrelationHead,
    LatentPredictHead,
    MAEPretrainHead,
    MaskFeatPretrainHead,
    MoCoV3Head,
    SimMIMHead,
    SwAVHead,
)
from jssl.layers.batch_norm import BatchNorm
from jssl.memories import ODCMemory, SimpleMemory
from jssl.necks import (
    AvgPool2dNeck,
    CAENeck,
    DenseCLNeck,
    IJEPAPredictor,
    LinearNeck,
    MAEPretrainDecoder,
    MoCoV2Neck,
    NonLinearNeck,
    ODCNeck,
    RelativeLocNeck,
    SimMIMNeck,
    SwAVNeck,
)
from jssl.target_generators import BrightnessTokenizer, HOGGenerator
from jssl.training import sharding
from jssl.training.step import Step, init_train_state, make_train_step, make_views
from tests.checks import widened

IMAGES, BATCH, SIDE, WIDTH = 48, 16, 8, 8
OPTIMIZER = optax.sgd(0.003)
RUN = Run(samples=IMAGES, steps_per_epoch=IMAGES // BATCH, epochs=4)


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


def tiny_dinov2(**fields: Any) -> DINOv2:
    backbone = DINOViT(VIT, img_size=SIDE, patch_size=PATCH, num_registers=1, drop_path_rate=0.3)
    backbone = backbone.clone(drop_subsets=True, layer_scale=0.5)
    head, patch_head = (DINOHead(WIDTH, k, WIDTH, WIDTH, norm_last_layer=False) for k in (12, 10))
    return DINOv2(backbone, head, patch_head, warmup_teacher_epochs=1, base_momentum=0.9, **fields)


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


# What the tests of devices and of resuming run through.
ALGORITHMS: dict[str, Callable[[], Algorithm]] = {
    'BYOL': tiny_byol,
    'BarlowTwins': functools.partial(
        tiny_barlow_twins, bn_group_size=8, off_diagonal_weight=1.0, loss_weight=0.1
    ),
    'CAE': tiny_cae,
    'DCL': functools.partial(tiny_dcl, sigma=0.5),
    'DINO': tiny_dino,
    'DINOv2': tiny_dinov2,
    'DeepCluster': functools.partial(tiny_deepcluster, reweight=True),
    # A ReLU leaves cells with one channel; as unit vectors they are equal, and rounding decides
    # which of them is the most similar.
    'DenseCL': functools.partial(tiny_densecl, Stem(activation=nn.softplus), start_iters=2),
    'LeJEPA': functools.partial(tiny_lejepa, weight=0.5),
    'IJEPA': tiny_ijepa,
    'MAE': tiny_mae,
    'MaskFeat': tiny_maskfeat,
    'MoCo': functools.partial(tiny_moco, Stem(bn_group_size=4)),
    'MoCoV3': tiny_mocov3,
    'NNCLR': tiny_nnclr,
    'NPID': functools.partial(tiny_npid, ensure_neg=True),
    'ODC': tiny_odc,
    'RelativeLoc': functools.partial(tiny_relative_loc, Stem(bn_group_size=16)),
    'RotationPred': tiny_rotation_pred,
    'SimCLR': tiny_simclr,
    'SimMIM': tiny_simmim,
    'SimSiam': tiny_simsiam,
    'SwAV': functools.partial(tiny_swav, queue_length=2 * BATCH, queue_start_epoch=0),
    'SymmetricMoCo': functools.partial(tiny_symmetric_moco, Stem(bn_group_size=4)),
    'TiCo': tiny_tico,
    'VICReg': tiny_vicreg,
}


# How many views of an image they take, where these are not two.
VIEWS = {
    'DINO': 3,
    'DINOv2': 3,
    'DeepCluster': 1,
    'LeJEPA': 3,
    'IJEPA': 1,
    'MAE': 1,
    'MaskFeat': 1,
    'NPID': 1,
    'ODC': 1,
    'RelativeLoc': 9,
    'RotationPred': 4,
    'SimMIM': 1,
}


def tinted(key: jax.Array, canvas: Canvas, copies: int = 2) -> dict[str, Any]:
    """Views that compile in no time: the image with its colours made fainter at random."""
    tints = jax.random.uniform(key, (copies, 1, 1, 3), minval=0.5)
    pixels = canvas.pixels / 128 - 1
    return {'views': tuple(pixels * tint for tint in tints)}


def views_for(algorithm: Algorithm) -> Callable[[jax.Array, Canvas], dict[str, Any]]:
    return functools.partial(tinted, copies=VIEWS.get(type(algorithm).__name__, 2))


@functools.cache
def images() -> np.ndarray:
    """Images of sixteen patches."""
    patches = np.random.default_rng(0).integers(0, 256, (IMAGES, 4, 4, 3), 'uint8')
    return patches.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)


def batch(step: int) -> dict[str, Any]:
    """What a loader gives for a step."""
    index = (np.arange(BATCH, dtype='int32') + step * BATCH) % IMAGES
    size = np.full((BATCH, 2), SIDE, 'int32')
    return {'index': index, 'canvas': Canvas(images()[index], size)}


def seen(step: int = 0, copies: int = 2) -> Batch:
    """A batch as `loss` takes it, before `draw`."""
    views = functools.partial(tinted, copies=copies)
    return {**make_views(views, jax.random.key(step), batch(step)), 'step': jnp.array(step)}


@functools.cache
def tiny(name: str) -> Algorithm:
    """The algorithm in a run of 12 steps."""
    return dataclasses.replace(ALGORITHMS[name](), run=RUN)


def begin(algorithm: Algorithm, seed: int = 0) -> TrainState:
    """The state before the first step."""
    views = views_for(algorithm)
    start = functools.partial(init_train_state, algorithm, views, OPTIMIZER, seed=seed)
    state = jax.jit(start)(batch(0))
    if not algorithm.refreshes(0):
        return state
    features = jax.random.normal(jax.random.key(1), (IMAGES, WIDTH))
    params, memory = jax.jit(algorithm.refresh)(state.params, state.state, features, state.rng)
    return state.replace(params=params, state=memory)


def check_predictions(
    algorithm: Algorithm, state: TrainState, views: tuple[jax.Array, ...], classes: int
) -> None:
    """Logits of that many classes, in eval mode: of an image whatever the others of the batch."""
    assert algorithm.predicts == 'targets'
    predict = jax.jit(algorithm.predict)
    logits = predict(state.params, state.state, {'views': views})
    assert logits.shape == (len(views[0]), classes)
    others = {'views': tuple(view.at[1:].set(0) for view in views)}
    again = predict(state.params, state.state, others)
    np.testing.assert_allclose(again[0], logits[0], atol=1e-6)


@functools.cache
def first_state(name: str) -> TrainState:
    """The state before the first step, on the host; `placed` gives what may be donated."""
    none: Any = None
    return widened(jax.device_get(dataclasses.replace(begin(tiny(name)), rng=none)))


def placed(name: str, devices: int) -> TrainState:
    """The state before the first step on so many devices, in float64."""
    state = jax.tree.map(np.copy, first_state(name)).replace(rng=jax.random.key(5))
    mesh = sharding.make_mesh(devices=devices)
    return jax.device_put(state, sharding.state_shardings(state, mesh))


@functools.cache
def step(name: str, devices: int) -> Step:
    """The step on so many devices, compiled once for all tests."""
    mesh = sharding.make_mesh(devices=devices)
    shardings = sharding.state_shardings(placed(name, 1), mesh)
    views = views_for(tiny(name))
    return make_train_step(tiny(name), views, OPTIMIZER, shardings=shardings)


def advance(
    name: str, devices: int, state: TrainState, steps: range
) -> tuple[TrainState, list[float]]:
    """The state after those steps, and their losses."""
    mesh, losses = sharding.make_mesh(devices=devices), []
    for number in steps:
        state, metrics = step(name, devices)(state, sharding.put_batch(batch(number), mesh))
        losses.append(float(metrics['loss']))
    return state, losses
