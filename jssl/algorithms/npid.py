"""NPID: every image is a class of its own, and its weight vector is what was remembered of it.

Wu, Xiong, Yu, Lin, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR
2018, arXiv 1805.01978. As the reference has it: a softmax over the positive and drawn negatives,
without the paper's estimate of the partition function and its proximal term.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, one_view
from jssl.checks import Count
from jssl.heads import ContrastiveHead
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std, l2_normalize
from jssl.losses import contrast_accuracy, instance_discrimination
from jssl.memories import SimpleMemory
from jssl.memories.bank import check_dominance, draw_negatives, similarities, update_rows
from jssl.networks import Encoder, forward
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class NPID(Algorithm):
    """Instance discrimination; `batch['views']` holds one array (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the constants of the loss; the paper's temperature is 0.07.
      memory_bank: the settings of `state['bank']` (N, D), which holds the images' projections; its
        rows are rounded up to a multiple of 64.
      neg_num: negatives of each image.
      ensure_neg: whether an image is never its own negative.

    Raises:
      JsslError: `neg_num` is not positive, or `ensure_neg` cannot be had with these weights.
    """

    backbone: Backbone
    neck: Neck
    head: ContrastiveHead
    memory_bank: SimpleMemory
    neg_num: Count = 65536
    ensure_neg: bool = False

    reference: ClassVar[Reference] = Reference(
        keys={'bank': 'memory_bank.feature_bank', 'multinomial': 'memory_bank.multinomial'}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ensure_neg:
            check_dominance(self.memory_bank.weights)

    @property
    def encoder(self) -> Encoder:
        """Backbone and neck as one module."""
        return Encoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; batch statistics and a bank of random directions."""
        network_key, bank_key = jax.random.split(rng)
        variables = self.encoder.init(network_key, one_view(batch, 'NPID'), train=False)
        stats = variables.get('batch_stats', {})
        bank = self.memory_bank.init(bank_key, self.known_run.samples)
        return variables['params'], {'batch_stats': stats, **bank}

    def draw(self, rng: jax.Array, state: State, batch: Batch) -> Batch:
        """Adds `neg_idx`, int (B, neg_num), rows of the bank drawn with replacement."""
        index = batch['index']
        negatives = draw_negatives(
            rng,
            (len(index), self.neg_num),
            self.known_run.samples,
            table=state.get('multinomial'),
            exclude=index if self.ensure_neg else None,
        )
        return {**batch, 'neg_idx': negatives}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The softmax of equation 2 over an image's own row and its negatives; moves the rows."""
        images, index = one_view(batch, 'NPID'), batch['index']
        projections, stats = forward(self.encoder, params, state['batch_stats'], images)
        features = l2_normalize(projections)
        rows = jnp.concatenate([index[:, None], batch['neg_idx'].reshape(len(index), -1)], axis=1)
        cosines = similarities(state['bank'], features, rows)
        loss = instance_discrimination(cosines, self.head.temperature)
        bank, _ = update_rows(state['bank'], index, features, self.memory_bank.momentum)
        metrics = {
            'accuracy': contrast_accuracy(cosines[:, 0], cosines[:, 1:]),
            'remembered': cosines[:, 0].mean(),  # cosine of features and their rows, up to 1
            'feature_std': feature_std(projections),
        }
        state = {**state, 'batch_stats': stats, 'bank': bank}
        return self.head.loss_weight * loss, (state, metrics)
