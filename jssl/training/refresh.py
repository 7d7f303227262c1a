"""What happens between epochs: an algorithm's `refresh`, and a look at its clusters."""

import contextlib
import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import optax

from jssl.algorithm import Batch, Params, TrainState
from jssl.counts import counted
from jssl.data.loading.loader import Loader
from jssl.durations import format_duration
from jssl.errors import JsslError
from jssl.evaluation.clusters import ClusterScores
from jssl.evaluation.features import Extract, Extracted, make_extractor
from jssl.memories import kmeans
from jssl.training import sharding
from jssl.training.experiment import Experiment
from jssl.training.step import refresh_key, strongly_typed

LABELS = 'cluster_labels'
SILENCE = 10.0  # seconds between two lines about how far a refresh is


class _Passing(logging.Handler):
    """Hands each message to a function."""

    def __init__(self, report: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.report = report

    def emit(self, record: logging.LogRecord) -> None:
        self.report(record.getMessage())


@contextlib.contextmanager
def following(logger: logging.Logger, report: Callable[[str], None]) -> Iterator[None]:
    """While it is open, what a logger is told reaches `report` too."""
    handler, level, propagate = _Passing(report), logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # to a handler that would print it a second time, raw
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


@dataclasses.dataclass(eq=False)
class Refresher:
    """Runs an algorithm's `refresh` where it is due, and gives the loader the labels it goes by.

    A state is saved before it is refreshed. A run that resumes there refreshes it again, from the
    same features and with the same key, and gets the same.

    Attributes:
      experiment: whose algorithm it is.
      batches: all training images in order, gone through at every refresh.
      report: is told what happens, in words.
      clock: gives seconds.
    """

    experiment: Experiment
    batches: Callable[[], Iterable[Batch]]
    report: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic

    def due(self, step: int) -> bool:
        """Whether the state after `step` steps is refreshed before the next one."""
        plan = self.experiment.plan
        epoch, inside = divmod(step, plan.steps_per_epoch)
        return inside == 0 and step < plan.steps and self.experiment.algorithm.refreshes(epoch)

    @property
    def beside(self) -> dict[str, np.ndarray]:
        """What is saved beside a state: the labels of the epoch before, none before the second."""
        previous = self.clusters.previous
        return {} if previous is None else {LABELS: previous}

    def begin(self, beside: Mapping[str, np.ndarray]) -> None:
        """Takes over what was saved beside the state that a run goes on from."""
        self.clusters.previous = beside.get(LABELS)

    def refresh(self, train_state: TrainState) -> TrainState:
        """The state with new clusters, or whatever the algorithm makes of the features of all.

        Raises:
          JsslError: features are not finite.
        """
        start = self.clock()
        found = self._extract(train_state.params, train_state.state, self._told())
        if not np.isfinite(found.features).all():
            raise JsslError(
                'Some features of the training images are not finite, so they cannot be '
                'clustered. Lower config.optimizer.lr or set config.optimizer.clip, and start in '
                'a new --workdir.'
            )
        extracted = self.clock()
        self.clusters.truth = found.labels
        with following(kmeans.LOGGER, self._paced()):
            train_state = jax.block_until_ready(self._refresh(train_state, self._put(found)))
        epoch = int(train_state.step) // self.experiment.plan.steps_per_epoch
        self.report(
            f'before epoch {epoch + 1}: features of {counted(len(found.features), "image")} in '
            f'{format_duration(extracted - start)}, refreshed in '
            f'{format_duration(self.clock() - extracted)}'
        )
        return train_state

    def loader(self, train_state: TrainState) -> Loader:
        """The loader of the batches from here on; it goes by the algorithm's labels if it has."""
        labels = self.experiment.algorithm.sampler_labels(train_state.state)
        loader = self.experiment.loader
        return loader if labels is None else loader.with_labels(self._on_host(labels))

    def scores(self, train_state: TrainState) -> dict[str, float]:
        """Numbers about the clusters at the end of an epoch; none for an algorithm without any."""
        labels = self._cluster_labels(train_state)
        return {} if labels is None else self.clusters.compare(labels)

    def _cluster_labels(self, train_state: TrainState) -> np.ndarray | None:
        labels = self.experiment.algorithm.cluster_labels(train_state.state)
        return None if labels is None else self._on_host(labels)

    @functools.cached_property
    def clusters(self) -> ClusterScores:
        """Compares the clusters of one epoch with those of the next."""
        arrays = self.experiment.arrays or {}
        return ClusterScores(truth=arrays.get('label'))

    @functools.cached_property
    def _extract(self) -> Extract:
        experiment = self.experiment
        return make_extractor(
            experiment.algorithm,
            experiment.eval_view,
            sharding.batch_sharding(experiment.mesh),
            outputs=experiment.algorithm.refresh_feat,
        )

    def _told(self) -> Iterator[Batch]:
        """The batches, with a line now and then about how far they are."""
        done, total, report = 0, len(self.experiment.data), self._paced()
        for batch in self.batches():
            yield batch
            done += len(batch['canvas'].size)
            report(f'features of {done:,} of {total:,} images ({done / total:.0%})')

    def _paced(self) -> Callable[[str], None]:
        """`report`, for a line now and then; the others are dropped."""
        last = self.clock()

        def report(line: str) -> None:
            nonlocal last
            if self.clock() - last > SILENCE:
                last = self.clock()
                self.report(line)

        return report

    def _put(self, found: Extracted) -> jax.Array:
        """The features on the devices, split by rows; filled with zeros where that is uneven."""
        features, mesh = found.features, self.experiment.mesh
        if missing := -len(features) % mesh.size:
            features = np.pad(features, ((0, missing), (0, 0)))
        return jax.make_array_from_callback(
            features.shape, sharding.batch_sharding(mesh), lambda index: features[index]
        )

    @functools.cached_property
    def _refresh(self) -> Callable[[TrainState, jax.Array], TrainState]:
        algorithm, optimizer = self.experiment.algorithm, self.experiment.transformation
        length = len(self.experiment.data)

        def refresh(train_state: TrainState, features: jax.Array) -> TrainState:
            key = refresh_key(train_state.rng, train_state.step)
            params, state = algorithm.refresh(
                train_state.params, train_state.state, features[:length], key
            )
            opt_state = forget_replaced(
                optimizer, train_state.opt_state, train_state.params, params
            )
            params, state = strongly_typed((params, state))
            return dataclasses.replace(train_state, params=params, state=state, opt_state=opt_state)

        return jax.jit(refresh, donate_argnums=0, out_shardings=self.experiment.state_shardings)

    def _on_host(self, array: jax.Array) -> np.ndarray:
        """An array that may be split over the devices of several hosts, whole."""
        whole = jax.jit(lambda x: x, out_shardings=sharding.replicated(self.experiment.mesh))
        return np.array(whole(array))


def forget_replaced(
    optimizer: optax.GradientTransformation, opt_state: Any, before: Params, after: Params
) -> Any:
    """The optimizer's state, fresh for the parameters that are other objects than before.

    Args:
      optimizer: whose state it is.
      opt_state: counters, and trees like the parameters.
      before: the parameters, as they were given to a traced function.
      after: as it returns them.
    """
    structure: Any = jax.tree.structure(before)

    def like_params(tree: Any) -> bool:
        return bool(jax.tree.structure(tree) == structure)

    def mix(old: Any, fresh: Any) -> Any:
        if not like_params(old):
            return old
        return jax.tree.map(_pick, old, fresh, before, after)

    return jax.tree.map(mix, opt_state, optimizer.init(after), is_leaf=like_params)


def _pick(old: jax.Array, fresh: jax.Array, before: jax.Array, after: jax.Array) -> jax.Array:
    return old if after is before else fresh
