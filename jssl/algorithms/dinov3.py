"""DINOv3: DINOv2 with rotary positions, and patches anchored to what an earlier teacher said.

Simeoni, Vo, Seitzer, Baldassarre, Oquab and others, "DINOv3", arXiv 2508.10104. Rotary positions,
storage tokens and the norms are fields of the backbone, `DINOv3ViT`.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State
from jssl.algorithms.dino import GLOBAL, collapse, watch
from jssl.algorithms.masked_crops import (
    PARTS,
    check_heads,
    crops_of,
    draw_masks,
    init_student,
    koleo_of_views,
    masked_rows,
    places,
)
from jssl.augment.masks import completed_masks
from jssl.checks import Count, Fraction, Natural, NonNegative, Share, Temperature
from jssl.errors import JsslError
from jssl.heads import DINOHead, GramAnchoring
from jssl.kinds import Backbone
from jssl.layers.drop_path import has_drop_path
from jssl.layers.rotary import draw_rotary, make_rotary
from jssl.losses import ibot_of_rows, pair_cross_entropies, sinkhorn
from jssl.memories.teacher import (
    cosine_momentum,
    init_teacher,
    update_teacher,
    warmup_temperature,
)
from jssl.networks import Seen, TwoHeads, evaluate, forward
from jssl.reference import Reference

Epochs = tuple[NonNegative, NonNegative]  # between which something changes


@dataclasses.dataclass(frozen=True)
class DINOv3(Algorithm):
    """DINOv3; `batch['views']` holds arrays (B, H, W, C), the two global crops of one size first.

    `batch['plain_views']` may hold these crops larger and without distortion of their colours, for
    the Gram teacher; without it, it sees the crops themselves.

    Attributes:
      backbone: a vision transformer, such as `DINOv3ViT`.
      head: class tokens -> logits (n, K).
      patch_head: masked patches -> logits (n, K').
      gram: which patches are anchored, by which teacher, how strongly; None for none.
      temperature: of the student.
      teacher_temperature: of the teacher, once warmed up.
      warmup_teacher_temperature: that of the first step.
      warmup_teacher_epochs: epochs that the line between them takes, by step; 0 for none.
      base_momentum: of the teacher at the first step; it follows half a cosine to `last_momentum`.
      last_momentum: that at the last step; the same number keeps it constant.
      mask_share: of the global crops that are masked.
      mask_ratios: least and largest share of their patches.
      roll_masks: whether masks are rolled at random, see `completed_masks`.
      last_local_weight: what the loss of local crops is multiplied by in the end; 1 at first.
      local_epochs: between these the weight follows half a cosine.
      koleo_weight: of the regulariser.
      koleo_group_size: class tokens of a view among which the nearest is looked for; None for all.
      koleo_neighbors: how many of the nearest count.

    Raises:
      JsslError: for a number out of its range, epochs that go back, or a head with batch norms.
    """

    keeps = 'teacher'

    backbone: Backbone
    head: DINOHead
    patch_head: DINOHead
    gram: GramAnchoring | None = None
    temperature: Temperature = 0.1
    teacher_temperature: Temperature = 0.07
    warmup_teacher_temperature: Temperature = 0.04
    warmup_teacher_epochs: Natural = 100
    base_momentum: Fraction = 0.994
    last_momentum: Fraction = 0.994
    mask_share: Share = 0.5
    mask_ratios: tuple[Share, Share] = (0.1, 0.5)
    roll_masks: bool = False
    last_local_weight: NonNegative = 1.0
    local_epochs: Epochs = (0.0, 0.0)
    koleo_weight: NonNegative = 0.1
    koleo_group_size: Count | None = None
    koleo_neighbors: Count = 1

    reference: ClassVar[Reference] = Reference(
        keys={
            **{f'teacher.params.{part}': f'teacher.{part}' for part in PARTS},
            'teacher.steps': 'teacher.steps',
            'gram_teacher.params.backbone': 'gram_teacher.backbone',
            'gram_teacher.steps': 'gram_teacher.steps',
        }
    )

    def __post_init__(self) -> None:
        """Refuses epochs that go back, and heads that cannot be trained."""
        super().__post_init__()
        check_heads('DINOv3', head=self.head, patch_head=self.patch_head)
        start, end = self.local_epochs
        if start > end:
            raise JsslError(
                f'config.model.local_epochs=({start!r}, {end!r}) goes back; give ({end!r}, '
                f'{start!r}).'
            )

    @property
    def network(self) -> TwoHeads:
        """Backbone and heads as one module."""
        return TwoHeads(self.backbone, self.head, self.patch_head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of the student; the state has the `teacher` and perhaps a `gram_teacher`."""
        params = init_student(self.network, rng, batch['views'], 'DINOv3')
        state = {'teacher': init_teacher(params, parts=PARTS)}
        if self.gram is not None and self.gram.own_teacher:
            state['gram_teacher'] = init_teacher(params, parts=('backbone',))
        return params, state

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds masks, how far the rotary positions of each size move, and the key of drop path."""
        del state
        mask_key, move_key, drop_key = jax.random.split(rng, 3)
        rows, side = places(batch['views'], self.backbone, 'DINOv3')
        options = {'shift': self.roll_masks, **self._mask_options}
        masks = draw_masks(completed_masks, mask_key, rows, side, **options)
        batch = {**batch, 'masks': masks}
        rotary = make_rotary(self.backbone.rotary)
        if rotary is not None and rotary.is_random:
            sizes, blocks = len(crops_of(batch['views'], 'DINOv3')), self.backbone.size.num_layers
            keys = jax.random.split(move_key, sizes)
            batch['rotary_draws'] = jax.vmap(lambda key: draw_rotary(key, blocks))(keys)
        return {**batch, 'drop_path': drop_key} if has_drop_path(self.backbone) else batch

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Equation 1 of the paper, and with Gram anchoring its equation 3."""
        crops = crops_of(batch['views'], 'DINOv3')
        masks, masked = masked_rows(batch['masks'], crops[0].dtype, **self._mask_options)
        t = evaluate(self.network, state['teacher']['params'], {}, crops[:1], masked)
        draws, noise = batch.get('rotary_draws', [None] * len(crops)), batch.get('drop_path')
        options = [{'rotary_draws': own, 'local': size > 0} for size, own in enumerate(draws)]
        s, _ = forward(self.network, params, {}, crops, masked, masks, options, drop_path=noise)

        temperature = self._teacher_temperature(batch['step'])
        targets = sinkhorn(t.logits.reshape(-1, t.logits.shape[-1]), temperature)
        targets = targets.reshape(t.logits.shape)
        patch_targets = sinkhorn(t.patch_logits, temperature, present=masked[1] > 0)
        pairs = pair_cross_entropies(s.logits, targets, self.temperature)
        parts = {
            'global': jnp.mean(pairs[:, :GLOBAL], where=~jnp.eye(GLOBAL, dtype=bool)),
            'local': jnp.sum(pairs[:, GLOBAL:]) / max(pairs[:, GLOBAL:].size, 1),
            'koleo': koleo_of_views(s.cls_tokens, self.koleo_group_size, self.koleo_neighbors),
            'ibot': ibot_of_rows(
                s.patch_logits, patch_targets, masked[1], len(masks), self.temperature
            ),
        }
        share = 1 / (len(s.logits) - 1)  # of the pairs of global crops among all
        loss = (
            share * parts['global']
            + (1 - share) * self._local_weight(batch['step']) * parts['local']
            + parts['ibot']
            + GLOBAL * self.koleo_weight * parts['koleo']
        )
        if self.gram is not None:
            parts['gram'] = self.gram(s.patches, self._anchors(state, batch, t), masks)
            loss += self._gram_weight(batch['step']) * parts['gram']
        agreement = share * parts['global'] + (1 - share) * parts['local']
        return loss, (state, {**parts, **watch(agreement, targets)})

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """The teacher follows the student; the Gram teacher becomes a copy of it when it is due."""
        ends = dict(base=self.base_momentum, end=self.last_momentum)
        momentum = cosine_momentum(step, self.known_run.steps, **ends)
        teacher = update_teacher(state['teacher'], params, {}, momentum, copy_first=False)
        state = {**state, 'teacher': teacher}
        if self.gram is None or not self.gram.own_teacher or not self.gram.copy_epochs:
            return params, state
        due = jnp.array(self._copy_steps)
        kept = state['gram_teacher']
        copy = update_teacher(kept, teacher['params'], {}, 0.0)
        is_due = jnp.any(step + 1 == due)
        anchor = jax.tree.map(lambda new, old: jnp.where(is_due, new, old), copy, kept)
        return params, {**state, 'gram_teacher': anchor}

    def diagnose(self, metrics: Mapping[str, float]) -> str | None:
        """Whether the teacher says nothing: of DINO's two collapses the one that can be."""
        return collapse(metrics, self.head.out_channels, balanced=True)

    @property
    def needs_weights(self) -> str:
        """Of a Gram teacher that counts before it is a copy of anything trained."""
        gram = self.gram
        if gram is None or not gram.own_teacher:
            return ''
        if min(gram.copy_epochs, default=math.inf) <= gram.epochs[0]:
            return ''
        return 'config.model.gram has a teacher of its own, which would be a random network'

    def _anchors(self, state: State, batch: Batch, t: Seen) -> jax.Array:
        """Patches (2 n, H, W, C) of the global crops, or of larger ones, as the Gram teacher."""
        if 'gram_teacher' not in state:
            return t.patches
        views = batch.get('plain_views', batch['views'][:GLOBAL])
        images = jnp.stack(views, axis=1)  # an image's crops beside each other
        images = images.reshape(-1, *images.shape[2:])
        slow = state['gram_teacher']['params']['backbone']
        patches, _ = evaluate(self.backbone, slow, {}, images)[-1]
        return patches

    @property
    def _copy_steps(self) -> list[int]:
        """The numbers of steps after which the Gram teacher becomes a copy of the teacher."""
        assert self.gram is not None
        steps, length = [self._steps(epoch) for epoch in self.gram.copy_epochs], self.known_run
        if not all(0 < step < length.steps for step in steps):
            raise JsslError(
                f'config.model.gram.copy_epochs={tuple(self.gram.copy_epochs)} are steps {steps} '
                f'of a run of {length.steps}, after one of which no step follows; give epochs '
                f'between {1 / length.steps_per_epoch:.2g} and {length.epochs}.'
            )
        return steps

    def _local_weight(self, step: jax.Array) -> jax.Array:
        start, end = (self._steps(epoch) for epoch in self.local_epochs)
        return cosine_ramp(step, start, end, first=1.0, last=self.last_local_weight)

    def _gram_weight(self, step: jax.Array) -> jax.Array:
        assert self.gram is not None
        start, end = (self._steps(epoch) for epoch in self.gram.epochs)
        return cosine_ramp(step, start, end, first=0.0, last=self.gram.weight)

    def _teacher_temperature(self, step: jax.Array) -> jax.Array:
        warmup = self._steps(self.warmup_teacher_epochs)
        first, last = self.warmup_teacher_temperature, self.teacher_temperature
        return warmup_temperature(step, warmup, first=first, last=last)

    def _steps(self, epochs: float) -> int:
        return round(epochs * self.known_run.steps_per_epoch)

    @property
    def _mask_options(self) -> dict[str, Any]:
        return {'share': self.mask_share, 'ratios': self.mask_ratios}


def cosine_ramp(
    step: int | jax.Array, start: int, end: int, *, first: float, last: float
) -> jax.Array:
    """`first` before step `start`, `last` from step `end - 1` on, half a cosine in between.

    Args:
      step: int, any shape.
      start, end: steps; the same number changes at once.
      first, last: weights.

    Examples:
      >>> import jax.numpy as jnp
      >>> print(cosine_ramp(jnp.arange(5), 1, 4, first=0.0, last=2.0))
      [0. 0. 1. 2. 2.]
    """
    between = cosine_momentum(
        jnp.maximum(step - start, 0), max(end - 1 - start, 1), base=first, end=last
    )
    return jnp.where(jnp.asarray(step) >= max(end - 1, start), last, between)
