"""iBOT: a student predicts what a teacher says of crops, and of patches that it alone does not see.

Zhou, Wei, Wang, Shen, Xie, Yuille, Kong, "iBOT: Image BERT Pre-Training with Online Tokenizer",
ICLR 2022, arXiv 2111.07832.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State
from jssl.algorithms.dino import GLOBAL, collapse, mean_entropy, watch
from jssl.algorithms.masked_crops import check_heads, crops_of, init_student, places
from jssl.augment.masks import ratio_mask, scattered_mask
from jssl.checks import Fraction, Natural, NonNegative, Temperature
from jssl.errors import JsslError
from jssl.heads import IBOTHead
from jssl.kinds import Backbone
from jssl.layers.drop_path import has_drop_path
from jssl.losses import centered_targets, dino, ibot
from jssl.memories.center import update_center
from jssl.memories.teacher import (
    cosine_momentum,
    init_teacher,
    paired,
    update_teacher,
    warmup_temperature,
)
from jssl.networks import TwoHeads, by_size, evaluate, forward
from jssl.reference import Reference

PARTS = ('backbone', 'head')
MASKS = {'blocks': ratio_mask, 'patches': scattered_mask}


@dataclasses.dataclass(frozen=True)
class IBOT(Algorithm):
    """iBOT; `batch['views']` holds arrays (B, H, W, C), the two global crops of one size first.

    Attributes:
      backbone: a vision transformer.
      head: class tokens and patches -> logits (n, K) and (n, K').
      shared_teacher_head: whether the teacher's patches pass its last layer of class tokens though
        the student's have one of their own.
      class_weight: lambda 1, of the loss of class tokens.
      patch_weight: lambda 2, of the loss of masked patches.
      temperature: of the student.
      teacher_temperature: of the teacher's class tokens, once warmed up.
      warmup_teacher_temperature: that of the first epoch.
      patch_temperature: of the teacher's patches, once warmed up.
      warmup_patch_temperature: that of the first epoch with masks.
      warmup_teacher_epochs: epochs that the line between them takes; 0 for none.
      center_momentum: the share of the centers that stays at each step.
      base_momentum: of the teacher at the first step; it follows half a cosine to 1 at the last.
      mask_shape: 'blocks' for masks of rectangles, 'patches' for patches on their own.
      mask_ratios: of which each global crop gets one, each as likely as the other.
      mask_spreads: by how much each of these varies.
      mask_start_epoch: the first epoch with masks.

    Raises:
      JsslError: for a number out of its range, a head with batch norms, or a teacher that would
        compare logits of different numbers.
    """

    keeps = 'teacher'

    backbone: Backbone
    head: IBOTHead
    shared_teacher_head: bool = False
    class_weight: NonNegative = 1.0
    patch_weight: NonNegative = 1.0
    temperature: Temperature = 0.1
    teacher_temperature: Temperature = 0.07
    warmup_teacher_temperature: Temperature = 0.04
    patch_temperature: Temperature = 0.07
    warmup_patch_temperature: Temperature = 0.04
    warmup_teacher_epochs: Natural = 30
    center_momentum: Fraction = 0.9
    base_momentum: Fraction = 0.996
    mask_shape: Literal['blocks', 'patches'] = 'blocks'
    mask_ratios: tuple[Fraction, ...] = (0.0, 0.3)
    mask_spreads: tuple[Fraction, ...] = (0.0, 0.2)
    mask_start_epoch: Natural = 0

    reference: ClassVar[Reference] = Reference(
        keys={
            **{f'teacher.params.{part}': f'teacher.{part}' for part in PARTS},
            'teacher.steps': 'teacher.steps',
            'center': 'ibot_loss.center',
            'patch_center': 'ibot_loss.center2',
        }
    )

    def __post_init__(self) -> None:
        """Refuses heads that do not go together, before any compute is spent."""
        super().__post_init__()
        check_heads('iBOT', head=self.head)
        own = self.head.patch_channels
        if self.shared_teacher_head and own not in (None, self.head.out_channels):
            raise JsslError(
                f'config.model.head.patch_channels={own}, but with shared_teacher_head=True the '
                f"teacher's patches have out_channels={self.head.out_channels} logits; set one to "
                'the other, or config.model.shared_teacher_head=False.'
            )

    @property
    def network(self) -> TwoHeads:
        """The student: backbone and head as one module."""
        return TwoHeads(self.backbone, self.head)

    @property
    def teacher(self) -> TwoHeads:
        """The same but for the layer of patches, if the teacher has none of its own."""
        head = self.head.clone(patch_channels=None) if self.shared_teacher_head else self.head
        return TwoHeads(self.backbone, head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of the student; the state adds the `teacher` and the two centers.

        The teacher has what has a name in its own network: no mask token, as it sees no mask.
        """
        params = init_student(self.network, rng, batch['views'], 'iBOT')
        crops = by_size(batch['views'][:GLOBAL])
        slow = jax.eval_shape(functools.partial(self.teacher.init, train=False), rng, crops)
        teacher = init_teacher(paired(params, slow['params']), parts=PARTS)
        centers = {
            'center': jnp.zeros(self.head.out_channels),
            'patch_center': jnp.zeros(self.head.patch_logits),
        }
        return params, {'teacher': teacher, **centers}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds `masks` (B, 2, h, w) of the global crops, and the key of drop path if there is any.

        Every crop has a ratio of its own (section 3.3).
        """
        del state
        mask_key, drop_key = jax.random.split(rng)
        rows, side = places(batch['views'], self.backbone, 'iBOT')
        draw_one = MASKS[self.mask_shape]
        masks = jax.vmap(lambda key: draw_one(key, side, self.mask_ratios, self.mask_spreads))(
            jax.random.split(mask_key, rows)
        )
        masks &= self._epoch(batch['step']) >= self.mask_start_epoch
        batch = {**batch, 'masks': masks.reshape(-1, GLOBAL, side, side)}
        return {**batch, 'drop_path': drop_key} if has_drop_path(self.backbone) else batch

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Algorithm 1: all crops say what others are (equation 3), hidden patches what they are."""
        crops, noise = crops_of(batch['views'], 'iBOT'), batch.get('drop_path')
        masks = batch['masks'].reshape(-1, *batch['masks'].shape[2:])
        (s, s_patches, *_), _ = forward(
            self.network, params, {}, crops, masks=masks, drop_path=noise
        )
        targets, patch_targets, state = self._targets(state, crops[:1], batch['step'])
        of_classes = dino(s, targets, self.temperature)
        s_patches = s_patches.reshape(patch_targets.shape)
        hidden = masks.reshape(len(masks), -1)
        of_patches = ibot(s_patches, patch_targets, hidden, self.temperature)
        loss = self.class_weight * of_classes + self.patch_weight * of_patches
        return loss, (
            state,
            {
                'class_loss': of_classes,
                'patch_loss': of_patches,
                **watch(of_classes, targets, state['center']),
                'patch_entropy': mean_entropy(patch_targets),
                'patch_center_norm': jnp.linalg.norm(state['patch_center']),
            },
        )

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """The teacher follows the student in all that it has."""
        momentum = cosine_momentum(step, self.known_run.steps, base=self.base_momentum)
        teacher = update_teacher(state['teacher'], params, {}, momentum, copy_first=False)
        return params, {**state, 'teacher': teacher}

    def diagnose(self, metrics: Mapping[str, float]) -> str | None:
        """Which of DINO's two collapses the class tokens are in, if one."""
        return collapse(metrics, self.head.out_channels)

    def _targets(
        self, state: State, crops: tuple[jax.Array, ...], step: jax.Array
    ) -> tuple[jax.Array, jax.Array, State]:
        """The teacher's probabilities (2, n, K) of crops, (2 n, T, K') of patches; new centers.

        The center of patches is a mean over all of them, masked for the student or not.
        """
        t, patches, *_ = evaluate(self.teacher, state['teacher']['params'], {}, crops)
        images, copies = crops[0].shape[:2]
        patches = patches.reshape(images * copies, -1, patches.shape[-1])
        epoch, warmup = self._epoch(step), self.warmup_teacher_epochs
        temperature = warmup_temperature(
            epoch, warmup, first=self.warmup_teacher_temperature, last=self.teacher_temperature
        )
        patch_temperature = warmup_temperature(
            jnp.maximum(epoch - self.mask_start_epoch, 0),
            warmup,
            first=self.warmup_patch_temperature,
            last=self.patch_temperature,
        )
        means = {'center': t.mean(axis=(0, 1)), 'patch_center': patches.mean(axis=(0, 1))}
        moved = {
            name: update_center(state[name], mean, self.center_momentum)
            for name, mean in means.items()
        }
        return (
            centered_targets(t, state['center'], temperature),
            centered_targets(patches, state['patch_center'], patch_temperature),
            {**state, **moved},
        )

    def _epoch(self, step: jax.Array) -> jax.Array:
        return step // self.known_run.steps_per_epoch
