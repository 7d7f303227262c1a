"""NNCLR: the nearest neighbour of a view among earlier ones is predicted from the other view.

Dwibedi, Aytar, Tompson, Sermanet, Zisserman, "With a Little Help from My Friends: Nearest-Neighbor
Contrastive Learning of Visual Representations", ICCV 2021, arXiv 2104.14548. As in lightly, whose
numbers these are: the support set holds the second views' projections, as they come.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp

from jssl.algorithm import Algorithm, Batch, Metrics, Params, State, two_views
from jssl.checks import Count
from jssl.errors import JsslError
from jssl.heads import MoCoV3Head
from jssl.kinds import Backbone, Neck
from jssl.layers.normalize import feature_std
from jssl.losses import contrast_accuracy, nt_xent, pair_similarities
from jssl.memories import nearest_rows, store_rows
from jssl.networks import Network, each
from jssl.reference import Reference


@dataclasses.dataclass(frozen=True)
class NNCLR(Algorithm):
    """NNCLR; `batch['views']` holds two arrays (B, H, W, C).

    Attributes:
      backbone: images -> features.
      neck: features -> projections (B, D).
      head: the predictor, projections -> predictions (B, D), the temperature and the loss's weight.
      queue_len: projections in the support set, at least a batch; one that does not fit at its end
        is cut.
      feat_dim: D.
    """

    backbone: Backbone
    neck: Neck
    head: MoCoV3Head
    queue_len: Count = 98304
    feat_dim: Count = 256

    reference: ClassVar[Reference] = Reference(keys={'queue': 'queue', 'queue_ptr': 'queue_ptr'})

    @property
    def network(self) -> Network:
        """Backbone, neck and predictor as one module."""
        return Network(backbone=self.backbone, neck=self.neck, head=self.head)

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Parameters of all three parts; the state adds a support set of random directions.

        Raises:
          JsslError: if projections or predictions are not `feat_dim` wide.
        """
        network_key, queue_key = jax.random.split(rng)
        images = batch['views'][0]
        outputs, variables = self.network.init_with_output(network_key, images, train=False)
        encode = functools.partial(self.network.apply, train=False, method='encode')
        projections = jax.eval_shape(encode, variables, images)
        for part, rows in (('neck', projections), ('head.predictor', outputs)):
            if rows.shape[-1] != self.feat_dim:
                raise JsslError(
                    f'config.model.feat_dim={self.feat_dim}, but config.model.{part}.out_channels='
                    f'{rows.shape[-1]}; give both the same value.'
                )
        return variables['params'], {
            'batch_stats': variables.get('batch_stats', {}),
            'queue': jax.random.normal(queue_key, (self.queue_len, self.feat_dim)),
            'queue_ptr': jnp.zeros((), jnp.int32),
        }

    def loss(
        self, params: Params, state: State, batch: Batch
    ) -> tuple[jax.Array, tuple[State, Metrics]]:
        """The symmetric loss of equation 3, with neighbours from before this step."""
        views = two_views(batch, 'NNCLR')
        (z1, z2), stats = each(self.network, params, state['batch_stats'], views, method='encode')
        (p1, p2), stats = each(self.network, params, stats, (z1, z2), method='predict')
        n1, n2 = (nearest_rows(state['queue'], rows) for rows in (z1, z2))
        temperature = self.head.temperature
        loss = (nt_xent(n1, p2, temperature) + nt_xent(n2, p1, temperature)) / 2
        queue, pointer = store_rows(state['queue'], state['queue_ptr'], z2)
        metrics = {
            'accuracy': contrast_accuracy(*pair_similarities(n1, p2)),
            'feature_std': feature_std(z1),
        }
        after = {'batch_stats': stats, 'queue': queue, 'queue_ptr': pointer}
        return self.head.loss_weight * loss, ({**state, **after}, metrics)
