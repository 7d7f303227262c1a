"""Heads of image classifiers: one linear layer on pooled features, a class token, or each stage."""

from collections.abc import Sequence
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.checks import Checked, Count, DType, Natural, NonNegative, distinct
from jssl.errors import JsslError, show
from jssl.kinds import Loss
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.pooling import Features, adaptive_average_pool, pool_features
from jssl.losses.classification import CrossEntropyLoss
from jssl.reference import Reference

SIDES = (12, 6, 4, 3, 2)  # of the pooled map of each stage, the stem first
# Window, stride and padding that pool the maps of a ResNet at 224 px to those sides.
WINDOWS = ((10, 10, 4), (16, 8, 0), (13, 5, 0), (8, 3, 0), (6, 1, 0))


class LinearClsHead(Checked, nn.Module):
    """A linear layer from the last features to the logits of classes.

    Attributes:
      num_classes: how many logits there are; None takes as many as the data have classes.
      in_channels: width of the features, checked against what arrives; None takes any.
      init_std: of the initial weights, which are normal; biases start at 0.
      loss: what the classifier minimises, a function of logits and targets.
      dtype: of the computation; None follows the input.
    """

    num_classes: Count | None = None
    in_channels: Count | None = None
    init_std: NonNegative = 0.01
    loss: Loss = CrossEntropyLoss()
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(initial='init_std')

    @nn.compact
    def __call__(self, features: Features | jax.Array, train: bool = True) -> jax.Array:
        """Features of a backbone or neck, or vectors (B, C) -> logits (B, num_classes)."""
        del train
        x = _vectors(features, self.in_channels)
        init = nn.initializers.normal(self.init_std)
        return _dense(self, classes(self.num_classes), 'fc', init)(x)


class VisionTransformerClsHead(Checked, nn.Module):
    """A linear layer on the class token, after a hidden layer with tanh if there is one.

    Attributes:
      num_classes: how many logits there are; None takes as many as the data have classes.
      in_channels: width of the token, checked against what arrives; None takes any.
      hidden_dim: width of the hidden layer (Dosovitskiy et al. 2021, section 3.1); None for none.
      init_std: of the initial weights of the last layer, 0 unless told otherwise.
      loss: what the classifier minimises, a function of logits and targets.
      dtype: of the computation; None follows the input.
    """

    num_classes: Count | None = None
    in_channels: Count | None = None
    hidden_dim: Count | None = None
    init_std: NonNegative = 0.0
    loss: Loss = CrossEntropyLoss()
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(initial='init_std')

    @nn.compact
    def __call__(self, features: Features | jax.Array, train: bool = True) -> jax.Array:
        """Features of a backbone or neck, or vectors (B, C) -> logits (B, num_classes)."""
        del train
        x = _vectors(features, self.in_channels)
        if self.hidden_dim is not None:
            init = nn.initializers.normal(x.shape[-1] ** -0.5)
            x = nn.tanh(_dense(self, self.hidden_dim, 'layers.pre_logits', init)(x))
        init = nn.initializers.normal(self.init_std)
        return _dense(self, classes(self.num_classes), 'layers.head', init)(x)


class MultiClsHead(Checked, nn.Module):
    """A linear layer for every stage of a residual network, after pooling and batch norm.

    Zhang, Isola, Efros 2017 ("Split-Brain Autoencoders", section 4.1) and Goyal et al. 2019: each
    map is pooled to about 9,000 values and normalised without affine part.

    Attributes:
      in_indices: which stage each of the backbone's outputs is, 0 for the stem.
      num_classes: how many logits there are; None takes as many as the data have classes.
      pool_type: 'adaptive' for cells of any size, or 'specified' for the windows that fit a ResNet
        at 224 px.
      init_std: of the initial weights, which are normal; biases start at 0.
      loss: what the classifier minimises for each stage, a function of logits and targets.
      dtype: of the computation; None follows the input.

    Raises:
      JsslError: at construction for stages or a pooling that do not exist.
    """

    in_indices: Sequence[Natural] = (0, 1, 2, 3, 4)
    num_classes: Count | None = None
    pool_type: str = 'adaptive'
    init_std: NonNegative = 0.01
    loss: Loss = CrossEntropyLoss()
    dtype: DType | None = None

    reference: ClassVar[Reference] = Reference(initial='init_std')

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        if not distinct(self.in_indices, range(len(SIDES))):
            raise JsslError(
                f'config.model.head.in_indices={show(self.in_indices)} must be some of 0 (stem) to '
                '4 (last stage).'
            )
        if self.pool_type not in ('adaptive', 'specified'):
            raise JsslError(
                f"config.model.head.pool_type={self.pool_type!r} must be 'adaptive' or 'specified'."
            )

    @nn.compact
    def __call__(self, features: Sequence[jax.Array], train: bool = True) -> jax.Array:
        """Maps (B, h, w, c), one a stage -> logits (B, stages, num_classes)."""
        if len(features) != len(self.in_indices):
            raise JsslError(
                f'config.model.head.in_indices={self.in_indices!r} names {len(self.in_indices)} '
                f'stages, and {len(features)} arrive; set backbone.out_indices to the same stages, '
                'without a neck.'
            )
        stages = zip(features, self.in_indices, strict=True)
        logits = [self._logits(x, stage, place, train) for place, (x, stage) in enumerate(stages)]
        return jnp.stack(logits, axis=1)

    def _logits(self, x: jax.Array, stage: int, place: int, train: bool) -> jax.Array:
        x = self._pool(x, stage)
        x = BatchNorm(affine=False, dtype=self.dtype, name=f'norms.{place}')(x, train)
        # Channel by channel, as the reference flattens its maps, so that weights fit.
        x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        init = nn.initializers.normal(self.init_std)
        return _dense(self, classes(self.num_classes), f'fcs.{place}', init)(x)

    def _pool(self, x: jax.Array, stage: int) -> jax.Array:
        if self.pool_type == 'adaptive':
            return adaptive_average_pool(x, SIDES[stage])
        window, stride, padding = WINDOWS[stage]
        pad = ((padding, padding),) * 2
        return nn.avg_pool(x, (window,) * 2, (stride,) * 2, pad)


def classes(count: int | None) -> int:
    """The number of classes.

    Raises:
      JsslError: if nobody said it.
    """
    if count is None:
        raise JsslError(
            'head.num_classes is not set and the data do not say how many classes they have; set '
            'config.model.head.num_classes.'
        )
    return count


def _vectors(features: Features | jax.Array, channels: int | None) -> jax.Array:
    x = pool_features(features if isinstance(features, tuple | list) else (features,))
    if channels is not None and x.shape[-1] != channels:
        raise JsslError(
            f'config.model.head.in_channels={channels}, but {x.shape[-1]} channels arrive; set '
            f'config.model.head.in_channels={x.shape[-1]}.'
        )
    return x


def _dense(
    head: LinearClsHead | VisionTransformerClsHead | MultiClsHead,
    width: int,
    name: str,
    init: nn.initializers.Initializer,
) -> nn.Dense:
    return nn.Dense(width, kernel_init=init, dtype=head.dtype, name=name)
