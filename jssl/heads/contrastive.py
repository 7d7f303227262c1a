"""The constants of a contrast: which of these is the other view?"""

import dataclasses
from typing import ClassVar

from jssl.checks import Checked, Positive, Temperature
from jssl.reference import ENTROPY, Reference


@dataclasses.dataclass(frozen=True)
class ContrastiveHead(Checked):
    """The constants of NT-Xent, InfoNCE and instance discrimination.

    Attributes:
      temperature: divides the similarities (tau of SimCLR, equation 1).
      loss_weight: multiplies the loss. The reference on D devices back-propagates 1/D of SimCLR's
        loss; a recipe that relies on it (LARS leaves biases and norms unscaled) sets 1/D here.

    Raises:
      JsslError: if the temperature is not positive.
    """

    temperature: Temperature = 0.1
    loss_weight: Positive = 1.0

    reference: ClassVar[Reference] = Reference(losses={'CrossEntropyLoss': {}}, fixed=ENTROPY)
