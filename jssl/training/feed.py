"""The batches of an experiment on the devices, from a state's step on."""

import dataclasses
import functools
from collections.abc import Iterator

from jssl.algorithm import TrainState
from jssl.training import sharding
from jssl.training.experiment import Experiment
from jssl.training.loop import DeviceBatch, HostBatch, to_device
from jssl.training.refresh import Refresher


@dataclasses.dataclass(frozen=True)
class Feed:
    """What the steps of a run are given.

    Attributes:
      experiment: whose data they are.
      refresher: knows by which labels the order goes.
    """

    experiment: Experiment
    refresher: Refresher

    def __call__(self, train_state: TrainState) -> Iterator[DeviceBatch]:
        """The batches from the step of `train_state` on, until a refresh gives other labels."""
        host_batches = self.refresher.loader(train_state).iterate(int(train_state.step))
        return to_device(host_batches, self._put)

    def _put(self, batch: HostBatch) -> DeviceBatch:
        return sharding.put_batch(batch, self.experiment.mesh)

    @functools.cached_property
    def data(self) -> DeviceBatch | None:
        """The data set, where it is kept on the devices."""
        arrays = self.experiment.arrays
        return None if arrays is None else sharding.put_replicated(arrays, self.experiment.mesh)
