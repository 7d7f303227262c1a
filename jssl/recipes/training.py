"""Optimizers and schedules that many configs share, with the size and the length of a run."""

from typing import Any

from jssl.optim.optimizers import NO_DECAY_NO_ADAPT

Config = dict[str, Any]
# Of DINO and iBOT: each tensor is clipped by itself, biases and norms do not decay, and the last
# layer of the head is left out of the first epoch.
OF_DINO: Config = dict(
    clip=3.0,
    clip_by='tensor',
    vectors=dict(decay_mult=0.0),
    custom_keys=dict(last_layer=dict(frozen_epochs=1.0)),
)


def adamw(lr: float, **fields: Any) -> Config:
    """AdamW, with a weight decay of 1e-4."""
    return dict(type='AdamW', lr=lr, **(dict(weight_decay=1e-4) | fields))


def adamw_of_transformers(lr: float, no_decay: tuple[str, ...], **fields: Any) -> Config:
    """AdamW with a weight decay of 0.05, but none of the parameters whose names hold `no_decay`."""
    keys = {key: dict(decay_mult=0.0) for key in no_decay}
    return adamw(lr, **(dict(weight_decay=0.05, custom_keys=keys) | fields))


def adamw_of_dino(lr: float, **fields: Any) -> Config:
    """AdamW of DINO and iBOT: as `OF_DINO` says, with a decay from 0.04 to 0.4."""
    growing = dict(type='WarmupCosine', min_lr=0.4)
    return adamw(lr, **(OF_DINO | dict(weight_decay=0.04, decay_schedule=growing) | fields))


def adamw_of_dinov2(lr: float, **fields: Any) -> Config:
    """AdamW of DINOv2: DINO's decay, backbone and heads clipped each by its own norm.

    The last layers have a rate of 0 in the first epoch, and the patch projection a fifth of it.
    """
    keys = dict(last_layer=dict(zero_lr_epochs=1.0), patch_embed=dict(lr_mult=0.2))
    return adamw_of_dino(lr, **(dict(clip_by='part', custom_keys=keys) | fields))


def steady_adamw(lr: float) -> Config:
    """`adamw_of_dinov2` for short runs: constant decay, and the whole rate for patches."""
    keys = dict(last_layer=dict(zero_lr_epochs=1.0))
    return adamw_of_dinov2(lr, decay_schedule=dict(type='Constant'), custom_keys=keys)


def sgd(lr: float, **fields: Any) -> Config:
    """SGD with a momentum of 0.9 and a weight decay of 1e-4."""
    return dict(type='SGD', lr=lr, **(dict(momentum=0.9, weight_decay=1e-4) | fields))


def sgd_of_dino(lr: float, **fields: Any) -> Config:
    """SGD of DINO's residual networks: as `OF_DINO` says, with a constant decay of 1e-4."""
    return sgd(lr, **(OF_DINO | fields))


def lars(lr: float, **fields: Any) -> Config:
    """LARS with a momentum of 0.9; norms and biases neither decay nor adapt."""
    return dict(type='LARS', lr=lr, **(dict(momentum=0.9, custom_keys=NO_DECAY_NO_ADAPT) | fields))


def trust_ratio_lars(lr: float, **fields: Any) -> Config:
    """LARS as VICReg's authors have it, with a momentum of 0.9; vectors neither decay nor adapt."""
    vectors = dict(decay_mult=0.0, lars_exclude=True)
    return dict(type='TrustRatioLARS', lr=lr, **(dict(momentum=0.9, vectors=vectors) | fields))


def cosine(optimizer: Config, *, batch_size: int, epochs: int, **fields: Any) -> Config:
    """A run whose rate falls along half a cosine, after a warm-up where `fields` have one."""
    return _run(optimizer, batch_size, epochs, 'WarmupCosine', fields)


def steps(optimizer: Config, *, batch_size: int, epochs: int, **fields: Any) -> Config:
    """A run whose rate falls at the epochs `milestones`."""
    return _run(optimizer, batch_size, epochs, 'MultiStep', fields)


def _run(optimizer: Config, batch_size: int, epochs: int, name: str, fields: Config) -> Config:
    schedule = dict(type=name, **fields)
    return dict(batch_size=batch_size, epochs=epochs, optimizer=optimizer, schedule=schedule)
