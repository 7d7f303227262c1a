"""Parts of a model as one module, and the only three ways to run one.

`forward` is a pass in training mode, `each` is one such pass after the other, and `evaluate` uses
the running statistics and changes nothing. All are pure: batch statistics go in and come out.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.accumulation import backbones_in_parts
from jssl.layers.gather import take_tokens
from jssl.layers.pooling import pool_features
from jssl.layers.rows import split_rows

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
    """A backbone, and a neck, a head or both, on crops of several sizes.

    The backbone has one pass for each size, what follows one for all.
    """

    backbone: nn.Module
    neck: nn.Module | None = None
    head: nn.Module | None = None

    def __call__(self, crops: Sequence[jax.Array], train: bool = True) -> jax.Array:
        """Outputs (V, n, K) of the last part for V crops of n images.

        Args:
          crops: for each size (n, copies, H, W, C), see `by_size`.
          train: chooses the batch norm's statistics.
        """
        return jnp.moveaxis(self.predict(self.encode(crops, train), train), 1, 0)

    def encode(self, crops: Sequence[jax.Array], train: bool = True) -> jax.Array:
        """Projections (n, V, D); the features themselves without a neck."""
        pooled = []
        for images in crops:
            features = pool_features(self.backbone(_rows(images), train=train))
            pooled.append(features.reshape(*images.shape[:2], -1))
        x = jnp.concatenate(pooled, axis=1)
        if self.neck is None:
            return x
        return self.neck((_rows(x),), train=train).reshape(*x.shape[:2], -1)

    def predict(self, projections: jax.Array, train: bool = True) -> jax.Array:
        """Projections (n, V, D) -> what the head makes of them, (n, V, K); themselves without."""
        if self.head is None:
            return projections
        outputs = self.head(_rows(projections), train=train)
        return outputs.reshape(*projections.shape[:2], -1)


Patches = tuple[jax.Array, jax.Array]  # numbers (groups, m) and weights (groups m,)


class Seen(NamedTuple):
    """What `TwoHeads` makes of crops.

    Attributes:
      logits: of V crops (V, n, K).
      patch_logits: of patches (M, K').
      cls_tokens: of the first size of crops (copies, n, C).
      patches: of these (n copies, h, w, C), an image's crops beside each other.
    """

    logits: jax.Array
    patch_logits: jax.Array
    cls_tokens: jax.Array
    patches: jax.Array


class TwoHeads(nn.Module):
    """A vision transformer, a head of its class token and one of its patches.

    Without `patch_head` the head is that of both, and says itself what its logits `of_patches` are.
    """

    backbone: nn.Module
    head: nn.Module
    patch_head: nn.Module | None = None

    def __call__(
        self,
        crops: tuple[jax.Array, ...],
        patches: Patches | None = None,
        masks: jax.Array | None = None,
        options: Sequence[Mapping[str, Any]] | None = None,
        train: bool = True,
    ) -> Seen:
        """Logits of crops and of patches, and what the backbone says of the first size.

        Args:
          crops: for each size (n, copies, H, W, C); the patches are those of the first.
          patches: numbers (groups, m), each among the patches of as many of these crops, neighbours
            of a batch, and weights (M,) of all M = groups m, 0 for places without a patch; None for
            all M = n copies h w of them.
          masks: bool (n copies, h, w), patches that the backbone does not see; None for none.
          options: for each size what else the backbone is told, such as `subsets`.
          train: whether branches may be left out.
        """
        first, *others = options or [{}] * len(crops)
        # Parameters are made in a masked pass, so that the token is among them.
        cls_tokens, maps = self._tokens(crops[0], mask=masks, train=train, **first)
        more = [
            self._tokens(images, train=train, **option)[0]
            for images, option in zip(crops[1:], others, strict=True)
        ]
        features = jnp.concatenate([cls_tokens, *more], axis=1)
        logits = self.head(_rows(features), train=train)
        rows = _rows_of(maps) if patches is None else _picked(maps, patches)
        of_patches = self.patch_head or self.head.of_patches
        patch_logits = of_patches(rows, train=train)
        logits = jnp.moveaxis(logits.reshape(*features.shape[:2], -1), 1, 0)
        return Seen(logits, patch_logits, jnp.moveaxis(cls_tokens, 1, 0), maps)

    def _tokens(self, images: jax.Array, **options: Any) -> tuple[jax.Array, jax.Array]:
        """(n, copies, H, W, C) -> class tokens (n, copies, C), patches (n copies, h, w, C)."""
        patches, cls_token = self.backbone(_rows(images), **options)[-1]
        return cls_token.reshape(*images.shape[:2], -1), patches


def _picked(maps: jax.Array, patches: Patches) -> jax.Array:
    """(M, C) of maps (B, h, w, C), 0 in places without a patch; all such have one number."""
    index, weights = patches
    rows = _rows_of(take_tokens(maps.reshape(len(index), -1, maps.shape[-1]), index))
    return split_rows(jnp.where(weights[:, None] > 0, rows, 0))


def _rows_of(x: jax.Array) -> jax.Array:
    """(..., C) -> (N, C)."""
    return x.reshape(-1, x.shape[-1])


def _rows(x: jax.Array) -> jax.Array:
    """(n, copies, ...) -> (n copies, ...): an image's crops stay where the image is."""
    return x.reshape(-1, *x.shape[2:])


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

    Examples:
      >>> import jax, jax.numpy as jnp
      >>> from jssl.layers.batch_norm import BatchNorm
      >>> variables = BatchNorm().init(jax.random.key(0), jnp.zeros((2, 3)))
      >>> y, stats = forward(BatchNorm(), variables['params'], variables['batch_stats'],
      ...                    jnp.arange(6.0).reshape(2, 3))
      >>> print(stats['mean'])  # a tenth of the way to 1.5, 2.5, 3.5
      [0.15 0.25 0.35]
    """
    with backbones_in_parts():
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
    with backbones_in_parts():
        return module.apply(variables, *inputs, method=method, train=False, **options)
