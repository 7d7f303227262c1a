"""The batches of an experiment on the devices, from a state's step on."""

import dataclasses
import functools
import itertools
from collections.abc import Iterator

from jssl.algorithm import TrainState
from jssl.data.loading.loader import Loader
from jssl.runs.orders import Orders, seed_of
from jssl.training import sharding
from jssl.training.experiment import Experiment
from jssl.training.loop import DeviceBatch, HostBatch, to_device
from jssl.training.refresh import Refresher
from jssl.training.rows import as_rows


@dataclasses.dataclass(frozen=True)
class Feed:
    """What the steps of a run are given.

    Attributes:
      experiment: whose data they are.
      refresher: knows by which labels the order goes.
      orders: of the run.
    """

    experiment: Experiment
    refresher: Refresher
    orders: Orders = Orders()  # noqa: RUF009  a frozen dataclass

    def __call__(self, train_state: TrainState) -> Iterator[DeviceBatch]:
        """The batches from the step of `train_state` on, until a refresh gives other labels."""
        loader = self.refresher.loader(train_state)
        return to_device(self._host_batches(loader, int(train_state.step)), self._put)

    def _host_batches(self, loader: Loader, step: int) -> Iterator[HostBatch]:
        """Endless batches from `step` on, each in the order that holds there."""
        for order, end in self.orders.segments(step):
            if order:
                seed, labels = seed_of(self.experiment.runtime.seed, order), loader.order.labels
                loader = dataclasses.replace(loader, seed=seed, labels=labels)
            batches = loader.iterate(step)
            yield from batches if end is None else itertools.islice(batches, end - step)
            step = step if end is None else end

    def _put(self, batch: HostBatch) -> DeviceBatch:
        return sharding.put_batch(batch, self.experiment.mesh)

    @functools.cached_property
    def data(self) -> DeviceBatch | None:
        """The data set, where it is kept on the devices."""
        return sharding.put_replicated(as_rows(self.experiment.arrays), self.experiment.mesh)
