"""DINOv2: DINO's crops and iBOT's masked patches, with features that keep their distance.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024, arXiv
2304.07193. Registers are those of Darcet et al., ICLR 2024, arXiv 2309.16588, and fields of the
backbone.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State
from jssl.algorithms.dino import collapse, watch
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
from jssl.augment.masks import stratified_masks
from jssl.checks import Count, Fraction, Natural, NonNegative, Share, Temperature
from jssl.heads import DINOHead
from jssl.kinds import Backbone
from jssl.layers.drop_path import has_drop_path
from jssl.losses import centered_targets, ibot_of_rows, pair_cross_entropies, sinkhorn
from jssl.memories.center import update_center
from jssl.memories.teacher import (
    cosine_momentum,
    init_teacher,
    update_teacher,
    warmup_temperature,
)
from jssl.networks import Patches, TwoHeads, evaluate, forward
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class DINOv2(Algorithm):
    """DINOv2; `batch['views']` holds arrays (B, H, W, C), the two global crops of one size first.

    Attributes:
      backbone: a vision transformer.
      head: class tokens -> logits (n, K).
      patch_head: masked patches -> logits (n, K'); None for the head of both.
      centering: 'sinkhorn' balances the teacher's codes over the batch, 'mean' subtracts a running
        mean, as in DINO.
      temperature: of the student.
      teacher_temperature: of the teacher, once warmed up.
      warmup_teacher_temperature: that of the first step.
      warmup_teacher_epochs: epochs that the line between them takes, by step; 0 for none.
      center_momentum: the share of the centers that stays at each step.
      base_momentum: of the teacher at the first step; it follows half a cosine to 1 at the last.
      mask_share: of the global crops that are masked.
      mask_ratios: least and largest share of their patches.
      koleo_weight: of the regulariser.
      koleo_group_size: class tokens of a view among which the nearest is looked for; None for all.

    Raises:
      JsslError: for a number out of its range, or a head with batch norms.
    """

    keeps = 'teacher'

    backbone: Backbone
    head: DINOHead
    patch_head: DINOHead | None = None
    centering: Literal['sinkhorn', 'mean'] = 'sinkhorn'
    temperature: Temperature = 0.1
    teacher_temperature: Temperature = 0.07
    warmup_teacher_temperature: Temperature = 0.04
    warmup_teacher_epochs: Natural = 30
    center_momentum: Fraction = 0.9
    base_momentum: Fraction = 0.992
    mask_share: Share = 0.5
    mask_ratios: tuple[Share, Share] = (0.1, 0.5)
    koleo_weight: NonNegative = 0.1
    koleo_group_size: Count | None = None

    reference: ClassVar[Reference] = Reference(
        keys={
            **{f'teacher.params.{part}': f'teacher.{part}' for part in PARTS},
            'teacher.steps': 'teacher.steps',
            'center': 'dino_loss.center',
            'patch_center': 'ibot_patch_loss.center',
        }
    )

    def __post_init__(self) -> None:
        """Refuses heads that cannot be trained, before any compute is spent."""
        super().__post_init__()
        check_heads('DINOv2', head=self.head, patch_head=self.patch_head)

    @property
    def network(self) -> TwoHeads:
        """Backbone and heads as one module."""
        return TwoHeads(self.backbone, self.head, self.patch_head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of the student; the state adds the `teacher` and, for means, the centers."""
        params = init_student(self.network, rng, batch['views'], 'DINOv2')
        state: dict[str, Any] = {'teacher': init_teacher(params, {}, PARTS)}
        if self.centering == 'mean':
            own = self.patch_head
            state['center'] = jnp.zeros(self.head.out_channels)
            state['patch_center'] = jnp.zeros(
                self.head.patch_logits if own is None else own.out_channels
            )
        return params, state

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds the masks of the global crops, and the key of drop path where there is any."""
        del state
        mask_key, drop_key = jax.random.split(rng)
        rows, side = places(batch['views'], self.backbone, 'DINOv2')
        masks = draw_masks(stratified_masks, mask_key, rows, side, **self._mask_options)
        batch = {**batch, 'masks': masks}
        return {**batch, 'drop_path': drop_key} if has_drop_path(self.backbone) else batch

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Section 4 of the paper; the patches' loss is a mean over all global crops."""
        crops = crops_of(batch['views'], 'DINOv2')
        masks, masked = masked_rows(batch['masks'], crops[0].dtype, **self._mask_options)
        options = [{'subsets': some} for some in batch.get('subsets', ())]
        noise = batch.get('drop_path')
        s, _ = forward(
            self.network, params, {}, crops, masked, masks, options or None, drop_path=noise
        )
        targets, patch_targets, state = self._targets(state, crops[:1], masked, batch['step'])
        pairs = pair_cross_entropies(s.logits, targets, self.temperature)
        count = pairs.size - len(pairs)
        own = jnp.eye(2, dtype=bool)
        parts = {
            'global': jnp.sum(pairs[:, :2], where=~own) / count,
            'local': jnp.sum(pairs[:, 2:]) / count,
            'koleo': self.koleo_weight * koleo_of_views(s.cls_tokens, self.koleo_group_size),
            'ibot': ibot_of_rows(
                s.patch_logits, patch_targets, masked[1], len(masks), self.temperature
            )
            / 2,
        }
        loss = parts['global'] + parts['local'] + 2 * (parts['koleo'] + parts['ibot'])
        seen = watch(parts['global'] + parts['local'], targets, state.get('center'))
        return loss, (state, {**parts, **seen})

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """The teacher follows the student."""
        momentum = cosine_momentum(step, self.known_run.steps, base=self.base_momentum)
        teacher = update_teacher(state['teacher'], params, {}, momentum, copy_first=False)
        return params, {**state, 'teacher': teacher}

    def diagnose(self, metrics: Mapping[str, float]) -> str | None:
        """Which of DINO's two collapses it is, if one."""
        balanced = self.centering == 'sinkhorn'
        return collapse(metrics, self.head.out_channels, balanced=balanced)

    def _targets(
        self, state: State, crops: tuple[jax.Array, ...], masked: Patches, step: jax.Array
    ) -> tuple[jax.Array, jax.Array, State]:
        """The teacher's probabilities (2, n, K) of crops, (M, K') of patches; the new centers."""
        slow = state['teacher']['params']
        t, patches, *_ = evaluate(self.network, slow, {}, crops, masked)
        temperature, there = self._teacher_temperature(step), masked[1] > 0
        if self.centering == 'sinkhorn':
            codes = sinkhorn(t.reshape(-1, t.shape[-1]), temperature).reshape(t.shape)
            return codes, sinkhorn(patches, temperature, present=there), state
        targets = centered_targets(t, state['center'], temperature)
        patch_targets = centered_targets(patches, state['patch_center'], temperature)
        patch_mean = jnp.sum(patches * there[:, None], axis=0) / jnp.maximum(there.sum(), 1)
        # A small batch may have no masked patch at all, and then its center stays.
        patch_mean = jnp.where(there.any(), patch_mean, state['patch_center'])
        means = {'center': t.mean(axis=(0, 1)), 'patch_center': patch_mean}
        moved = {
            name: update_center(state[name], mean, self.center_momentum)
            for name, mean in means.items()
        }
        return targets, patch_targets, {**state, **moved}

    @property
    def _mask_options(self) -> dict[str, Any]:
        return {'share': self.mask_share, 'ratios': self.mask_ratios}

    def _teacher_temperature(self, step: jax.Array) -> jax.Array:
        warmup = self.warmup_teacher_epochs * self.known_run.steps_per_epoch
        first, last = self.warmup_teacher_temperature, self.teacher_temperature
        return warmup_temperature(step, warmup, first=first, last=last)
