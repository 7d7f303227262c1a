"""Relative location: where does this patch lie, seen from that one?

Doersch, Gupta, Efros, "Unsupervised Visual Representation Learning by Context Prediction", ICCV
2015, arXiv 1505.05192.
"""

import dataclasses
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, interleaved
from jssl.errors import JsslError
from jssl.heads import ClsHead
from jssl.kinds import Backbone
from jssl.losses import cross_entropy
from jssl.necks import RelativeLocNeck
from jssl.necks.pretext import draw_keep
from jssl.networks import evaluate, forward
from jssl.reference import Reference

NEIGHBOURS = 8


@dataclasses.dataclass(frozen=True)
class RelativeLoc(Algorithm):
    """Relative location; `batch['views']` holds nine patches of each image, the centre first.

    Attributes:
      backbone: images -> features; both patches pass through the same.
      neck: features of two patches, side by side -> vectors, with a dropout mask.
      head: vectors -> logits of the eight places; the reference starts it with `init_std` 0.005.
    """

    predicts = 'targets'

    backbone: Backbone
    neck: RelativeLocNeck
    head: ClsHead

    reference: ClassVar[Reference] = Reference(rows=8)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of all three parts; the state is their batch statistics."""
        parts = ('backbone', 'neck', 'head')
        keys = dict(zip(parts, jax.random.split(rng, 3), strict=True))
        features, backbone = self.backbone.init_with_output(
            keys['backbone'], batch['views'][0], train=False
        )
        pair = (jnp.concatenate([features[-1]] * 2, axis=-1),)
        vectors, neck = self.neck.init_with_output(keys['neck'], pair, train=False)
        variables = backbone, neck, self.head.init(keys['head'], vectors)
        found = dict(zip(parts, variables, strict=True))
        stats = {part: found[part]['batch_stats'] for part in parts if 'batch_stats' in found[part]}
        return {part: found[part]['params'] for part in parts}, {'batch_stats': stats}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Pairs the patches.

        `views` become the neighbours of image after image (8B, h, w, C) and the centres
        (B, h, w, C). `target`, (8B,), are the neighbours' places, and `dropout_keep`, bool
        (8B, out_channels), is the neck's mask.
        """
        del state
        centres, *neighbours = batch['views']
        if len(neighbours) != NEIGHBOURS:
            raise JsslError(
                f'RelativeLoc needs nine patches of each image and got {len(batch["views"])} '
                "views; set config.views to a policy of type 'Patches'."
            )
        patches = interleaved(neighbours)
        keep = draw_keep(rng, (len(patches), self.neck.out_channels))
        target = jnp.tile(jnp.arange(NEIGHBOURS), len(centres))
        return {**batch, 'views': (patches, centres), 'target': target, 'dropout_keep': keep}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Cross entropy of the places (section 3)."""
        patches, centres = batch['views']
        features, backbone = self._features(params, state, patches, centres)
        stats, target = state['batch_stats'], batch['target'].reshape(-1)
        keep = batch.get('dropout_keep')
        vectors, neck = forward(self.neck, params['neck'], stats['neck'], (features,), keep)
        logits, _ = forward(self.head, params['head'], {}, vectors)
        metrics = {'accuracy': jnp.mean(logits.argmax(axis=1) == target)}
        stats = {**stats, 'backbone': backbone, 'neck': neck}
        return cross_entropy(logits, target), ({**state, 'batch_stats': stats}, metrics)

    def _features(
        self, params: Params, state: State, patches: jax.Array, centres: jax.Array
    ) -> tuple[jax.Array, State]:
        """Maps of the pairs, the neighbour's channels first, and the backbone's statistics.

        Every centre belongs to as many neighbours in a row as there are for each, and passes once:
        copies of an image have equal features, and the statistics of a batch are those of its
        copies.
        """
        copies = len(patches) // len(centres)
        weights, stats = params['backbone'], state['batch_stats'].get('backbone', {})
        around, stats = forward(self.backbone, weights, stats, patches)
        centre, stats = forward(self._in_groups(copies), weights, stats, centres)
        return jnp.concatenate([around[-1], jnp.repeat(centre[-1], copies, axis=0)], -1), stats

    def _in_groups(self, copies: int) -> nn.Module:
        """The backbone with groups of batch statistics of as many centres as there are patches."""
        size = getattr(self.backbone, 'bn_group_size', None)
        if size is None or copies == 1:
            return self.backbone
        if size % copies:
            raise JsslError(
                f'config.model.backbone.bn_group_size={size} counts patches, {copies} of each '
                f'image; set it to a multiple of {copies}.'
            )
        return self.backbone.clone(bn_group_size=size // copies)

    def predict(self, params: Params, state: State, batch: Batch) -> jax.Array:
        """Logits (8B, 8) of the places of the patches around their centres, without dropout."""

        def run(part: str, inputs: Any) -> Any:
            stats = state['batch_stats'].get(part, {})
            return evaluate(getattr(self, part), params[part], stats, inputs)

        around, centre = (run('backbone', images)[-1] for images in batch['views'])
        centre = jnp.repeat(centre, len(around) // len(centre), axis=0)
        return run('head', run('neck', (jnp.concatenate([around, centre], axis=-1),)))
