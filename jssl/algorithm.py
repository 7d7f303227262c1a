"""The contract every algorithm fulfils, and the state a training run carries from step to step.

An algorithm is a frozen dataclass that holds modules and gives pure functions over
`(params, state, batch)`. To write one, subclass `Algorithm`, write `init` and `loss`, and hand it
to `jssl.fit` or name it in a config as ``'my_module:MyAlgorithm'``. `jssl/algorithms/simclr.py` is
the shortest complete example.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import flax.struct
import jax

from jssl.layers.pooling import pool_features

Params = Mapping[str, Any]  # what the optimizer trains
State = Mapping[str, Any]  # everything else the algorithm carries, under names a reader knows
Batch = Mapping[str, Any]  # `views`: tuple of float (B, h, w, C); `index` (B,); `label` if any
Metrics = Mapping[str, jax.Array]  # a flat dict of scalars


@flax.struct.dataclass
class TrainState:
    """The whole world of a run: what is not in here cannot influence the next step.

    Attributes:
      step: int32 scalar, the number of optimizer steps taken.
      params: what the optimizer trains.
      state: what the algorithm carries besides (`batch_stats`, `target`, `queue`, ...).
      opt_state: what the optimizer carries.
      rng: the run's typed PRNG key; it never changes, every step folds its number in.
    """

    step: jax.Array
    params: Any
    state: Any
    opt_state: Any
    rng: jax.Array


class Encoder(nn.Module):
    """A backbone and its neck as one module: images (B, H, W, C) -> projections (B, D)."""

    backbone: nn.Module
    neck: nn.Module

    def __call__(self, images: jax.Array, train: bool = True) -> jax.Array:
        """Projections of `images`; `train` chooses the batch norm's statistics."""
        return self.neck(self.backbone(images, train=train), train=train)


@dataclasses.dataclass(frozen=True)
class Algorithm:
    """A self-supervised method as pure functions; `init` and `loss` are what a subclass must write.

    `loss` is deterministic: everything random enters through `batch`, put there by the views and
    by `draw`. That is what makes replay, parity tests and a user's own loop simple.
    """

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Fresh parameters and state for batches shaped like `batch`."""
        raise NotImplementedError(f'{type(self).__name__} must define init(rng, batch)')

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds to `batch` what is random and not augmentation: masks, negatives, permutations."""
        del rng, state
        return batch

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The scalar to minimise, the state after this batch, and scalars worth watching."""
        raise NotImplementedError(f'{type(self).__name__} must define loss(params, state, batch)')

    def after_step(self, params: Params, state: State) -> tuple[Params, State]:
        """What follows the optimizer's update inside the same step."""
        return params, state

    def refresh(self, state: State, features: jax.Array, rng: jax.Array) -> State:
        """What happens between epochs, given features (N, D) of the whole set; nothing here."""
        del features, rng
        return state

    def extract_feat(self, params: Params, state: State, images: jax.Array) -> jax.Array:
        """Backbone features (B, D) of normalised `images` (B, H, W, C), pooled, in eval mode."""
        backbone = getattr(self, 'backbone', None)
        if backbone is None:
            raise NotImplementedError(
                f'{type(self).__name__} has no field `backbone`; it must define extract_feat'
            )
        stats = state.get('batch_stats', {}).get('backbone', {})
        variables = {'params': params['backbone'], 'batch_stats': stats}
        return pool_features(backbone.apply(variables, images, train=False))

    @property
    def with_neck(self) -> bool:
        """Whether the algorithm has a neck (MMSelfSup's property of the same name)."""
        return getattr(self, 'neck', None) is not None

    @property
    def with_head(self) -> bool:
        """Whether the algorithm has a head."""
        return getattr(self, 'head', None) is not None

    @property
    def with_target_generator(self) -> bool:
        """Whether the algorithm has a target generator."""
        return getattr(self, 'target_generator', None) is not None
