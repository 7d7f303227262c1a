"""Parts of a model as one module, and the only three ways to run one.

`forward` is a pass in training mode, `each` is one such pass after the other, and `evaluate` uses
the running statistics and changes nothing. All are pure: batch statistics go in and come out.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.layers.pooling import pool_features

Tree = Mapping[str, Any]


class Encoder(nn.Module):
    """A backbone and its neck as one module: images (B, H, W, C) -> projections (B, D)."""

    backbone: nn.Module
    neck: nn.Module

    def __call__(self, images: jax.Array, train: bool = True, **options: Any) -> Any:
        """Projections of images.

        Args:
          images: (B, H, W, C).
          train: chooses the batch norm's statistics.
          options: further arguments of the backbone, such as the `mask` of a masked image model.
        """
        return self.neck(self.backbone(images, train=train, **options), train=train)


class Network(Encoder):
    """An encoder and a head with parameters of its own, such as a predictor, as one module."""

    head: nn.Module

    def __call__(self, images: jax.Array, train: bool = True, **options: Any) -> Any:
        """What the head makes of the projections; initialises all three parts."""
        return self.predict(self.encode(images, train, **options), train)

    def encode(self, images: jax.Array, train: bool = True, **options: Any) -> Any:
        """Images (B, H, W, C) -> projections (B, D)."""
        return super().__call__(images, train, **options)

    def predict(self, projections: jax.Array, train: bool = True) -> Any:
        """Projections (B, D) -> what the head makes of them."""
        return self.head(projections, train=train)


class CropNetwork(nn.Module):
    """A backbone and a head on crops of several sizes: one pass of the backbone for each size."""

    backbone: nn.Module
    head: nn.Module

    def __call__(self, crops: Sequence[jax.Array], train: bool = True) -> jax.Array:
        """Logits (V, n, K) of V crops of n images.

        Args:
          crops: for each size (n, copies, H, W, C), see `by_size`.
          train: chooses the batch norm's statistics.
        """
        features = jnp.concatenate([self._pooled(images, train) for images in crops], axis=1)
        logits = self.head(features.reshape(-1, features.shape[-1]), train=train)
        return jnp.moveaxis(logits.reshape(*features.shape[:2], -1), 1, 0)

    def _pooled(self, images: jax.Array, train: bool) -> jax.Array:
        """(n, copies, H, W, C) -> (n, copies, C); an image's crops stay where the image is."""
        rows = images.reshape(-1, *images.shape[2:])
        features = pool_features(self.backbone(rows, train=train))
        return features.reshape(*images.shape[:2], -1)


def by_size(views: Sequence[jax.Array]) -> tuple[jax.Array, ...]:
    """Views (B, H, W, C) -> for each run of equal shapes (B, copies, H, W, C)."""
    runs = itertools.groupby(views, key=lambda view: view.shape)
    return tuple(jnp.stack(list(run), axis=1) for _, run in runs)


def forward(
    module: nn.Module,
    params: Tree,
    stats: Tree,
    *inputs: Any,
    method: str = '__call__',
    drop_path: jax.Array | None = None,
    **options: Any,
) -> tuple[Any, Tree]:
    """A pass in training mode: the outputs, and the batch statistics after it.

    Args:
      module: to be applied.
      params: its parameters; further entries are ignored.
      stats: its batch statistics; those of parts that do not run come back unchanged.
      inputs: of the method.
      method: which of the module's methods runs.
      drop_path: the key of drop path, for a module that has it on.
      options: further arguments of the method, such as the `mask` of a masked image model.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.layers.batch_norm import BatchNorm
      >>> variables = BatchNorm().init(jax.random.key(0), jnp.zeros((2, 3)))
      >>> y, stats = forward(BatchNorm(), variables['params'], variables['batch_stats'],
      ...                    jnp.arange(6.0).reshape(2, 3))
      >>> print(stats['mean'])  # a tenth of the way to 1.5, 2.5, 3.5
      [0.15 0.25 0.35]
    """
    outputs, updates = module.apply(
        {'params': params, 'batch_stats': stats},
        *inputs,
        method=method,
        mutable=['batch_stats'],
        rngs={} if drop_path is None else {'drop_path': drop_path},
        **options,
    )
    return outputs, updates.get('batch_stats', stats)


def each(
    module: nn.Module, params: Tree, stats: Tree, inputs: Sequence[Any], *, method: str = '__call__'
) -> tuple[list[Any], Tree]:
    """A pass in training mode for each of `inputs`, in that order: outputs, batch statistics.

    Batch norm sees every input with statistics of its own.
    """
    outputs = []
    for one in inputs:
        output, stats = forward(module, params, stats, one, method=method)
        outputs.append(output)
    return outputs, stats


def evaluate(
    module: nn.Module,
    params: Tree,
    stats: Tree,
    *inputs: Any,
    method: str = '__call__',
    **options: Any,
) -> Any:
    """The outputs of a pass with the running statistics, which changes nothing.

    Args:
      module, params, stats, inputs, method: as in `forward`.
      options: further arguments of the method.
    """
    variables = {'params': params, 'batch_stats': stats}
    return module.apply(variables, *inputs, method=method, train=False, **options)
