"""DINO: a student's crops predict what a teacher with another view of the image says.

Caron, Touvron, Misra, Jégou, Mairal, Bojanowski, Joulin, "Emerging Properties in Self-Supervised
Vision Transformers", ICCV 2021, arXiv 2104.14294.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State
from jssl.checks import Fraction, Natural, Temperature
from jssl.errors import JsslError
from jssl.heads import DINOHead
from jssl.kinds import Backbone
from jssl.layers.drop_path import has_drop_path, without_drop_path
from jssl.losses import centered_targets, dino
from jssl.memories.center import update_center
from jssl.memories.teacher import (
    cosine_momentum,
    init_teacher,
    update_teacher,
    warmup_temperature,
)
from jssl.networks import CropNetwork, by_size, forward
from jssl.reference import Reference

GLOBAL = 2  # views that the teacher sees; the student sees all
PARTS = ('backbone', 'head')
NOTHING = 0.01  # of log K; a run that learns stays far above


@dataclasses.dataclass(frozen=True)
class DINO(Algorithm):
    """DINO; `batch['views']` holds arrays (B, H, W, C), the two global crops of one size first.

    Attributes:
      backbone: images -> features.
      head: features -> logits (B, K).
      temperature: of the student.
      teacher_temperature: of the teacher, once warmed up.
      warmup_teacher_temperature: that of the first epoch.
      warmup_teacher_epochs: epochs that the line between them takes; 0 for none.
      center_momentum: the share of the center that stays at each step.
      base_momentum: of the teacher at the first step; it follows half a cosine to 1 at the last.

    Raises:
      JsslError: for a number out of its range.
    """

    keeps = 'teacher'

    backbone: Backbone
    head: DINOHead
    temperature: Temperature = 0.1
    teacher_temperature: Temperature = 0.04
    warmup_teacher_temperature: Temperature = 0.04
    warmup_teacher_epochs: Natural = 0
    center_momentum: Fraction = 0.9
    base_momentum: Fraction = 0.996

    reference: ClassVar[Reference] = Reference(
        keys={
            **{f'teacher.params.{part}': f'teacher.{part}' for part in PARTS},
            **{f'teacher.batch_stats.{part}': f'teacher.{part}' for part in PARTS},
            'teacher.steps': 'teacher.steps',
            'center': 'dino_loss.center',
        }
    )

    @property
    def network(self) -> CropNetwork:
        """The student: backbone and head as one module."""
        return CropNetwork(backbone=self.backbone, head=self.head)

    @property
    def teacher(self) -> CropNetwork:
        """The same without drop path."""
        return CropNetwork(backbone=without_drop_path(self.backbone), head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of the student; the state adds the `teacher` and its `center` (K,)."""
        crops = by_size(global_views(batch['views'], 'DINO'))
        variables = self.network.init(rng, crops, train=False)
        params, stats = variables['params'], variables.get('batch_stats', {})
        center = jnp.zeros(self.head.out_channels)
        teacher = init_teacher(params, stats, PARTS)
        return params, {'batch_stats': stats, 'teacher': teacher, 'center': center}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds the key of drop path, where the backbone has any."""
        del state
        return {**batch, 'drop_path': rng} if has_drop_path(self.backbone) else batch

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """Algorithm 1 of the paper, with crops of several sizes (equation 3)."""
        views, teacher = batch['views'], state['teacher']
        temperature = self._teacher_temperature(batch['step'])
        slow = teacher['params'], teacher['batch_stats']
        t, slow_stats = forward(self.teacher, *slow, by_size(global_views(views, 'DINO')))
        targets = centered_targets(t, state['center'], temperature)
        s, stats = forward(
            self.network,
            params,
            state['batch_stats'],
            by_size(views),
            drop_path=batch.get('drop_path'),
        )
        loss = dino(s, targets, self.temperature)
        center = update_center(state['center'], t.mean(axis=(0, 1)), self.center_momentum)
        teacher = {**teacher, 'batch_stats': slow_stats}
        state = {**state, 'batch_stats': stats, 'teacher': teacher, 'center': center}
        return loss, (state, {**watch(loss, targets, center), 'temperature': temperature})

    def after_step(self, params: Params, state: State, step: jax.Array) -> tuple[Params, State]:
        """The teacher follows the student; its batch statistics are those of its own passes."""
        momentum = cosine_momentum(step, self.known_run.steps, base=self.base_momentum)
        teacher = update_teacher(
            state['teacher'], params, {}, momentum, buffers='own', copy_first=False
        )
        return params, {**state, 'teacher': teacher}

    def diagnose(self, metrics: Mapping[str, float]) -> str | None:
        """Which of the two collapses it is, if one."""
        return collapse(metrics, self.head.out_channels)

    def _teacher_temperature(self, step: jax.Array) -> jax.Array:
        """Constant inside an epoch."""
        return warmup_temperature(
            step // self.known_run.steps_per_epoch,
            self.warmup_teacher_epochs,
            first=self.warmup_teacher_temperature,
            last=self.teacher_temperature,
        )


def global_views(views: Sequence[jax.Array], algorithm: str) -> tuple[jax.Array, ...]:
    """The first two views, which are of one size.

    Raises:
      JsslError: if they are not; the message names `algorithm`.
    """
    shapes = {view.shape for view in views[:GLOBAL]}
    if len(views) < GLOBAL or len(shapes) > 1:
        sizes = ', '.join(f'{view.shape[1]} x {view.shape[2]}' for view in views)
        raise JsslError(
            f'{algorithm} needs two global crops of one size in front and got views of {sizes}; '
            'set config.views to a policy of them, such as GlobalLocal.'
        )
    return tuple(views[:GLOBAL])


def watch(loss: jax.Array, targets: jax.Array, center: jax.Array | None = None) -> Metrics:
    """What tells the two collapses apart.

    Returns:
      `teacher_entropy`, the mean entropy of the targets (..., K) in nats: log K where the teacher
      says nothing (centering without sharpening), 0 where it says the same of all images
      (sharpening without centering). `kl`, how far the student is from it; 0 in either case.
      `center_norm`, the length of the center (K,) if any, which grows where single dimensions
      dominate.
    """
    entropy = mean_entropy(targets)
    found = {'teacher_entropy': entropy, 'kl': loss - entropy}
    return found if center is None else {**found, 'center_norm': jnp.linalg.norm(center)}


def mean_entropy(targets: jax.Array) -> jax.Array:
    """The mean entropy of probabilities (..., K) in nats."""
    return jax.scipy.special.entr(targets).sum(axis=-1).mean()


def collapse(
    metrics: Mapping[str, float], dimensions: int, *, balanced: bool = False
) -> str | None:
    """Which collapse the means of `watch` show, in words with what is advised; None for none.

    Args:
      metrics: `teacher_entropy` and `kl`, where a loss gives them.
      dimensions: K, of the logits.
      balanced: whether targets are balanced over the images, as by Sinkhorn-Knopp; a teacher that
        is sure of all of them says other things of others then.
    """
    most = math.log(dimensions)
    if not metrics.get('kl', math.inf) < NOTHING * most:
        return None
    entropy = metrics['teacher_entropy']
    if entropy > (1 - NOTHING) * most:
        return (
            f'Uniform collapse: the teacher says nothing of the images. Its entropy is '
            f'{entropy:.2f} of {most:.2f} = log {dimensions} nats, and the student agrees on all '
            'crops. What its authors and users advise: a lower '
            'config.model.warmup_teacher_temperature and config.model.teacher_temperature (0.04; '
            'from about 0.08 on it collapses), config.model.base_momentum by the batch (0.9995 '
            'for 256 images; 0.99 on some data), a stronger config.optimizer.clip (0.3 to 1), a '
            'smaller config.model.head.out_channels.'
        )
    if entropy < NOTHING * most and not balanced:
        return (
            f'Collapse to one dimension: the teacher says the same of all images. Its entropy is '
            f'{entropy:.2f} nats, the student agrees on all crops, and the center does not keep '
            'up. Lower config.model.center_momentum (0.9; at 0.999 the authors saw this '
            'collapse) or raise config.model.teacher_temperature.'
        )
    return None
