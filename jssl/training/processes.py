"""What the processes of one job agree on."""

import jax
import numpy as np
from jax.experimental import multihost_utils


def of_first(number: int) -> int:
    """The `number` that process 0 passes, on every process; each of them calls it."""
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.broadcast_one_to_all(np.asarray(number)))


def on_all(verdict: bool) -> bool:
    """Whether every process of the job passes true; each of them calls it."""
    if jax.process_count() == 1:
        return verdict
    return bool(np.all(multihost_utils.process_allgather(np.asarray(verdict))))
