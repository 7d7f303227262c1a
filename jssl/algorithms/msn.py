"""MSN: views with patches left out are assigned to prototypes as a teacher assigns the whole image.

Assran, Caron, Misra, Bojanowski, Bordes, Vincent, Joulin, Rabbat, Ballas, "Masked Siamese Networks
for Label-Efficient Learning", ECCV 2022, arXiv 2204.07141. With `prior_exponent` it is PMSN: Assran
et al., "The Hidden Uniform Cluster Prior in Self-Supervised Learning", ICLR 2023, arXiv 2210.07277.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State
from jssl.algorithms.dino import global_views, watch
from jssl.algorithms.masked import check_no_average
from jssl.augment.masks import random_masking
from jssl.checks import BelowOne, Fraction, Natural, NonNegative, Temperature
from jssl.errors import JsslError
from jssl.heads import DINOHead
from jssl.kinds import Backbone
from jssl.layers.drop_path import has_drop_path, without_drop_path
from jssl.losses import msn, prior_divergence, sharpened_targets
from jssl.memories.teacher import init_teacher, linear_momentum, update_teacher
from jssl.networks import CropNetwork, by_size, forward
from jssl.reference import Reference

PARTS = ('backbone', 'head')
PROTOTYPES = 'last_layer'  # of params['head']; its weight_v (D, K) holds one in each column
STRETCH = 1.25  # the momentum's line is longer than the run, so that it ends before it reaches 1


class MaskedCropNetwork(CropNetwork):
    """A vision transformer and a head on crops, those of the first size with patches left out."""

    def __call__(
        self, crops: Sequence[jax.Array], train: bool = True, ids_keep: jax.Array | None = None
    ) -> jax.Array:
        """Similarities (V, n, K) of V crops of n images to the prototypes, a pass for each size.

        Args:
          crops: for each size (n, copies, H, W, C), see `by_size`.
          train: chooses the batch norm's statistics.
          ids_keep: int (n, copies, kept), the patches to compute of the first crops; None for all.
        """
        whole = [self.encode([images], train) for images in crops[1:]]
        each = [self._masked(crops[0], train, ids_keep), *whole]
        rows = [self.predict(tokens, train) for tokens in each]
        return jnp.moveaxis(jnp.concatenate(rows, axis=1), 1, 0)

    def _masked(self, images: jax.Array, train: bool, ids_keep: jax.Array | None) -> jax.Array:
        """(n, copies, H, W, C) -> class tokens (n, copies, C)."""
        if ids_keep is None:
            return self.encode([images], train)
        rows, ids = (x.reshape(-1, *x.shape[2:]) for x in (images, ids_keep))
        tokens = self.backbone(rows, train=train, ids_keep=ids)
        return tokens[:, 0].reshape(*images.shape[:2], -1)


@dataclasses.dataclass(frozen=True)
class MSN(Algorithm):
    """MSN; `batch['views']` holds arrays (B, h, w, C): the target, then the anchors.

    Anchors of the target's size have patches left out, and smaller ones after them are whole.

    Attributes:
      backbone: a vision transformer with a class token.
      head: class tokens -> cosines (n, K) with the prototypes, the columns of its last layer.
      mask_ratio: the share of patches that is left out.
      temperature: of anchors and target.
      sharpening: T; the target's probabilities are those at `temperature` T.
      sinkhorn_iterations: that balance the targets of a batch; 0 for none, as in PMSN.
      prior_exponent: None where the prototypes are to be used alike; a where they are to be as the
        k-th most frequent of things that follow a power law k^-a (PMSN).
      prior_weight: of the divergence from that.
      base_momentum: of the teacher at the first step; it grows linearly, and four fifths of the way
        to 1.

    Raises:
      JsslError: for a number out of its range, a backbone that gives no class token, or a head
        whose prototypes have lengths.
    """

    keeps = 'teacher'

    backbone: Backbone
    head: DINOHead
    mask_ratio: BelowOne = 0.15
    temperature: Temperature = 0.1
    sharpening: Temperature = 0.25
    sinkhorn_iterations: Natural = 3
    prior_exponent: NonNegative | None = None
    prior_weight: NonNegative = 1.0
    base_momentum: Fraction = 0.996

    reference: ClassVar[Reference] = Reference(
        keys={
            **{f'teacher.params.{part}': f'target_encoder.{part}' for part in PARTS},
            **{f'teacher.batch_stats.{part}': f'target_encoder.{part}' for part in PARTS},
            'teacher.steps': 'target_encoder.steps',
        }
    )

    def __post_init__(self) -> None:
        """Refuses what cannot be trained, before any compute is spent."""
        super().__post_init__()
        if not getattr(self.backbone, 'with_cls_token', False):
            raise JsslError(
                'MSN compares the class tokens of a vision transformer that can leave patches out, '
                f'and {type(self.backbone).__name__} gives none; set config.model.backbone.type='
                'VisionTransformer with with_cls_token=True.'
            )
        check_no_average(self.backbone, 'MSN')
        if not self.head.norm_last_layer:
            raise JsslError(
                'MSN compares with prototypes by the cosine, and '
                'config.model.head.norm_last_layer=False gives them lengths; set it to True.'
            )

    @property
    def network(self) -> MaskedCropNetwork:
        """The student: backbone and head as one module."""
        return MaskedCropNetwork(backbone=self.backbone, head=self.head)

    @property
    def teacher(self) -> CropNetwork:
        """The same without drop path; it sees all patches."""
        return CropNetwork(backbone=without_drop_path(self.backbone), head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of the student; the state adds the `teacher`."""
        crops = by_size(global_views(batch['views'], 'MSN'))
        variables = self.network.init(rng, crops, train=False)
        params, stats = variables['params'], variables.get('batch_stats', {})
        return params, {'batch_stats': stats, 'teacher': init_teacher(params, stats, PARTS)}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds `ids_keep` (B, copies, n), what is seen of masked anchors, and drop path's key."""
        del state
        mask_key, drop_key = jax.random.split(rng)
        masked = by_size(batch['views'][1:])[0]
        rows, columns = (side // self.backbone.patch_size for side in masked.shape[2:4])
        noise = jax.random.uniform(mask_key, (*masked.shape[:2], rows * columns), jnp.float32)
        keep = max(int(rows * columns * (1 - self.mask_ratio)), 1)
        batch = {**batch, 'ids_keep': random_masking(noise, keep)[0]}
        return {**batch, 'drop_path': drop_key} if has_drop_path(self.backbone) else batch

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Equation 1 of the paper; the mean prediction is that of all anchors of the batch."""
        target, *_ = global_views(batch['views'], 'MSN')
        targets, slow_stats = self._targets(params, state['teacher'], target)
        anchors, stats = forward(
            self.network,
            params,
            state['batch_stats'],
            by_size(batch['views'][1:]),
            ids_keep=batch['ids_keep'],
            drop_path=batch.get('drop_path'),
        )
        rows = anchors.reshape(-1, anchors.shape[-1])
        agreement = msn(rows, targets, self.temperature)
        divergence = prior_divergence(rows, self.temperature, self.prior_exponent)
        loss = agreement + self.prior_weight * divergence
        seen = {**watch(agreement, targets), 'prototypes_used': _used(targets)}
        teacher = {**state['teacher'], 'batch_stats': slow_stats}
        state = {**state, 'batch_stats': stats, 'teacher': teacher}
        return loss, (state, {**seen, 'msn': agreement, 'divergence': divergence})

    def _targets(
        self, params: Params, teacher: State, images: jax.Array
    ) -> tuple[jax.Array, State]:
        """What the teacher says of whole images (n, K), and its batch statistics after that.

        It is asked with the student's prototypes: those that anchors and target share.
        """
        slow = teacher['params']
        head = {**slow['head'], PROTOTYPES: params['head'][PROTOTYPES]}
        slow, crops = {**slow, 'head': head}, by_size((images,))
        similarities, stats = forward(self.teacher, slow, teacher['batch_stats'], crops)
        rounds = self.sinkhorn_iterations
        targets = sharpened_targets(similarities[0], self.temperature, self.sharpening, rounds)
        return targets, stats

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """The teacher follows the student; its batch statistics are those of its own passes."""
        steps = round(STRETCH * self.known_run.steps)
        momentum = linear_momentum(step, steps, base=self.base_momentum)
        teacher = update_teacher(
            state['teacher'], params, {}, momentum, buffers='own', copy_first=False
        )
        return params, {**state, 'teacher': teacher}

    def diagnose(self, metrics: Mapping[str, float]) -> str | None:
        """Whether all images have one prototype."""
        if metrics.get('prototypes_used', 2.0) > 1.5:
            return None
        return (
            'All images of a batch have the same prototype, so that the teacher tells none apart. '
            'What helps: a faster teacher (--config.model.base_momentum=0.99), a lower rate or a '
            'longer warm-up, and Sinkhorn (--config.model.sinkhorn_iterations=3).'
        )


def _used(targets: jax.Array) -> jax.Array:
    """How many of the K prototypes are the first of some row of targets (n, K)."""
    return jax.nn.one_hot(targets.argmax(axis=1), targets.shape[1]).max(axis=0).sum()
