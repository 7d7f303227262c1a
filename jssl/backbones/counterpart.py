"""What a pre-trained backbone says of the network that classifies with its weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn

MEAN_OF_TOKENS = {'avg_token': True, 'final_norm': False}
# Of networks whose class token no loss has trained; the pre-trained norm `ln1` stays.
MEAN_OF_NORMED = {'avg_token': True}


@dataclasses.dataclass(frozen=True)
class Counterpart:
    """The network that classifies with the weights of a pre-trained one.

    Attributes:
      network: its class; it has the same blocks under the same names.
      tuned: fields for fine-tuning.
      probed: fields for a probe, whose backbone is frozen.
    """

    network: type[nn.Module]
    tuned: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    probed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
