"""Networks as they run anywhere."""

from typing import Any


def portable(network: Any) -> Any:
    """The same network in operations that all platforms have: without cuDNN's attention.

    Args:
      network: a backbone; one without a choice of attention stays as it is.
    """
    chooses = getattr(network, 'implementation', 'xla') is None
    return network.clone(implementation='xla') if chooses else network
