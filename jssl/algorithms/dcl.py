"""DCL and DCL-W: SimCLR without the positive among what it is compared with.

Yeh, Hong, Hsu, Liu, Chen, LeCun, "Decoupled Contrastive Learning", ECCV 2022, arXiv 2110.06848.
Without that term the gradient does not fade where the positive is easy, so small batches do.
"""

import dataclasses

import jax

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, interleaved, two_views
from jssl.checks import Temperature
from jssl.heads import ContrastiveHead
from jssl.kinds import Backbone, Neck
from jssl.losses import contrast_accuracy, decoupled_contrast, pair_similarities
from jssl.networks import Encoder, forward


@dataclasses.dataclass(frozen=True)
class DCL(Algorithm):
    """DCL; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the temperature and the loss's weight.
      sigma: None for DCL; a number, 0.5 in the paper, for DCL-W, where pairs that agree less count
        more.
    """

    backbone: Backbone
    neck: Neck
    head: ContrastiveHead
    sigma: Temperature | None = None

    @property
    def encoder(self) -> Encoder:
        """Backbone and neck as one module."""
        return Encoder(backbone=self.backbone, neck=self.neck)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of backbone and neck; the state is their batch statistics."""
        variables = self.encoder.init(rng, batch['views'][0], train=False)
        return variables['params'], {'batch_stats': variables.get('batch_stats', {})}

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The decoupled contrast of the 2B views of the global batch (equations 6 and 7)."""
        views = two_views(batch, 'DCL')
        # One pass for both views, interleaved (a0 b0 a1 b1 ...), so that they share BN statistics.
        images = interleaved(views)
        z, stats = forward(self.encoder, params, state['batch_stats'], images)
        first, second = z.reshape(len(views[0]), 2, -1).swapaxes(0, 1)
        loss = decoupled_contrast(first, second, self.head.temperature, self.sigma)
        metrics = {'accuracy': contrast_accuracy(*pair_similarities(first, second))}
        return self.head.loss_weight * loss, ({**state, 'batch_stats': stats}, metrics)
