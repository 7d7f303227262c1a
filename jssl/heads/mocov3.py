"""The predictor of MoCo v3, and the constants of its contrast."""

from typing import Any, ClassVar

import flax.linen as nn
import jax

from jssl.checks import Checked, Positive, Temperature
from jssl.kinds import Neck
from jssl.reference import ENTROPY, Reference


def _of_release_0(fields: dict[str, Any]) -> dict[str, Any]:
    """A head of release 0.x, which has no loss: it weighs twice the temperature."""
    return {'loss_weight': 2 * fields.get('temperature', 1.0)} | fields


class MoCoV3Head(Checked, nn.Module):
    """A predictor, and the constants of the contrast of its predictions with their targets.

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
    temperature: Temperature = 1.0
    loss_weight: Positive = 1.0

    reference: ClassVar[Reference] = Reference(
        losses={'CrossEntropyLoss': {}}, fixed=ENTROPY, releases={'0.x': _of_release_0}
    )

    def __call__(self, projections: jax.Array, train: bool = True) -> jax.Array:
        """Projections (B, D) -> predictions (B, D)."""
        return self.predictor((projections,), train=train)
