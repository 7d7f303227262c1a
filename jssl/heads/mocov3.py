"""The contrast of predictions with the targets of the batch, as MoCo v3 has it."""

from typing import ClassVar

import flax.linen as nn
import jax

from jssl.checks import Checked, Positive
from jssl.kinds import Neck
from jssl.losses import batch_similarities
from jssl.reference import ENTROPY, Reference


class MoCoV3Head(Checked, nn.Module):
    """A predictor, and the similarities of its predictions to all targets of the global batch.

    Chen, Xie, He, "An Empirical Study of Training Self-Supervised Vision Transformers", ICCV 2021,
    section 3.

    Attributes:
      predictor: a neck without pooling, projections (B, D) -> predictions (B, D).
      temperature: divides the similarities.
      loss_weight: multiplies the loss; the paper and the reference set 2 * temperature.

    Raises:
      JsslError: if the temperature is not positive.
    """

    predictor: Neck
    temperature: Positive = 1.0
    loss_weight: Positive = 1.0

    reference: ClassVar[Reference] = Reference(losses={'CrossEntropyLoss': {}}, fixed=ENTROPY)

    def __call__(self, projections: jax.Array, train: bool = True) -> jax.Array:
        """Projections (B, D) -> predictions (B, D)."""
        return self.predictor((projections,), train=train)

    @nn.nowrap
    def logits(self, predictions: jax.Array, targets: jax.Array) -> jax.Array:
        """Predictions and targets, each (B, D) -> logits (B, B); the right class is the own row.

        The targets get no gradient.

        Raises:
          JsslError: for a single image, whose loss would be 0 whatever the predictions are.
        """
        return batch_similarities(predictions, targets) / self.temperature
