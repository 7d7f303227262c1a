"""Prediction of one network's projection from another's, as BYOL and SimSiam do."""

from typing import ClassVar

import flax.linen as nn
import jax

from jssl.checks import Checked, Finite
from jssl.kinds import Neck
from jssl.reference import Reference


class LatentPredictHead(Checked, nn.Module):
    """A predictor, and the constants of the distance of its predictions from their targets.

    Attributes:
      predictor: a neck without pooling, projections (B, D) -> predictions (B, D).
      shift, scale: of the loss, see `negative_cosine` and `byol_regression`.
    """

    predictor: Neck
    shift: Finite = 0.0
    scale: Finite = 1.0

    reference: ClassVar[Reference] = Reference(
        losses={'CosineSimilarityLoss': {'shift_factor': 'shift', 'scale_factor': 'scale'}}
    )

    def __call__(self, projections: jax.Array, train: bool = True) -> jax.Array:
        """Projections (B, D) -> predictions (B, D)."""
        return self.predictor((projections,), train=train)
