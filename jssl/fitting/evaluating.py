"""How the features of a run are evaluated while it trains, beside baselines and with warnings."""

import dataclasses
import functools
from collections import deque
from collections.abc import Callable, Sequence

import jax
import numpy as np

from jssl.algorithm import TrainState
from jssl.data.loading.loader import Batch, fits_on_device, resident
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources import Source, has_labels
from jssl.evaluation import (
    KNN,
    ArrayBatches,
    Evaluator,
    Extracted,
    Linear,
    Metric,
    SourceBatches,
    collapse_warning,
    evenly_spaced,
)
from jssl.evaluation.collapse import MOST_ROWS
from jssl.evaluation.metrics import Scores
from jssl.processes import of_first
from jssl.runs.metrics import EVALUATION, STEP, Row, metrics_of, of_kind
from jssl.training import sharding
from jssl.training.experiment import Experiment

SHOWN = {
    'test_accuracy': 'accuracy',
    'knn': 'kNN',
    'linear': 'linear probe',
    'feature_std': 'spread',
    'rankme': 'RankMe',
}
UNSHOWN = ('test_top5', 'knn_top5')  # in metrics.jsonl and the report alone
UNPROBED = (
    'no kNN and no linear probe: the training images have no labels; labelled ones can be named as '
    'config.probe_data'
)
LATEST = 5  # lines of steps over whose mean a run is diagnosed: some hundred steps
STAND_IN = 1000  # training images whose features stand in where there is no test data
Batches = ArrayBatches | SourceBatches


@dataclasses.dataclass(frozen=True, eq=False)
class ShownBatches:
    """Images that were evaluated, so that some of them can be shown.

    Attributes:
      batches: all of them, in order.
      source: where they are from.
      rows: their rows there.
    """

    batches: Batches
    source: Source
    rows: np.ndarray

    @property
    def batch_rows(self) -> np.ndarray:
        """Their rows in what the batches are taken from."""
        return np.arange(len(self.rows)) if self.batches.rows is None else self.batches.rows


@dataclasses.dataclass(eq=False)
class RunEvaluator:
    """Evaluates the features of an experiment's network, and remembers what was found.

    Without test data the spread of the features of some training images is all there is to say.

    Attributes:
      experiment: whose network it is.
      report: is told the scores, and of a collapse, in words.
      history: what was found so far, by this process or by those before it in the same run.
      latest: the last lines of steps, on the process that writes them.
    """

    experiment: Experiment
    report: Callable[[str], None]
    history: list[Row] = dataclasses.field(default_factory=list)
    latest: deque[Row] = dataclasses.field(default_factory=lambda: deque(maxlen=LATEST))
    _features: tuple[int, tuple[Extracted | None, Extracted]] | None = None

    @functools.cached_property
    def evaluator(self) -> Evaluator:
        """Compiled once, used for every evaluation."""
        experiment = self.experiment
        return Evaluator(
            algorithm=experiment.algorithm,
            view=experiment.eval_view,
            train=self.probe_batches,
            test=self.test_batches,
            metrics=self.metrics,
            batch_sharding=sharding.batch_sharding(experiment.mesh),
            test_classes=experiment.test_classes,
        )

    def share(self, other: 'RunEvaluator') -> None:
        """Takes the evaluator of another run, compiled, and its images, held in memory.

        Data, views and metrics must be the same, and so must the features of a network.
        """
        if other is not self:
            found = ('evaluator', 'test_batches', 'probe_batches')
            vars(self).update({name: getattr(other, name) for name in found})

    @functools.cached_property
    def metrics(self) -> tuple[Metric, ...]:
        """Neighbours and the linear probe, except of a classifier, and the experiment's own."""
        frozen = (KNN(self.neighbors), Linear())
        return (
            *(() if self.experiment.algorithm.predicts == 'classes' else frozen),
            *self.experiment.metrics,
        )

    @property
    def neighbors(self) -> int:
        """How many vote."""
        options = self.experiment.runtime.evaluate
        return min(options.neighbors, options.max_train, len(self.experiment.probe_source))

    @functools.cached_property
    def probe_batches(self) -> Batches | None:
        """What kNN and the linear probe learn from; None without labels to learn or to test on."""
        experiment, source = self.experiment, self.experiment.probe_source
        if experiment.test_data is None or not has_labels(experiment.test_data):
            return None
        if not has_labels(source):
            self.report(UNPROBED)
            return None
        rows = evenly_spaced(len(source), experiment.runtime.evaluate.max_train)
        return self._batches(source, rows, experiment.arrays if source is experiment.data else None)

    @functools.cached_property
    def test_batches(self) -> Batches:
        """The held-out images, in order."""
        test = self.experiment.test_data
        if test is not None:
            return self._batches(test, np.arange(len(test)), None)
        rows = evenly_spaced(len(self.experiment.data), STAND_IN)
        batches = self._batches(self.experiment.data, rows, self.experiment.arrays)
        unlabelled = [{k: v for k, v in batch.items() if k != 'label'} for batch in batches]
        arrays = jax.tree.map(lambda *parts: np.concatenate(parts), *unlabelled)
        return ArrayBatches(arrays, self.experiment.batch_size)

    @property
    def held_out(self) -> ShownBatches:
        """The held-out images, to be shown."""
        test, data = self.experiment.test_data, self.experiment.data
        rows = evenly_spaced(len(data), STAND_IN) if test is None else np.arange(len(test))
        return ShownBatches(self.test_batches, data if test is None else test, rows)

    @property
    def probed(self) -> ShownBatches:
        """The images that kNN searches, to be shown."""
        assert self.probe_batches is not None
        source, limit = self.experiment.probe_source, self.experiment.runtime.evaluate.max_train
        return ShownBatches(self.probe_batches, source, evenly_spaced(len(source), limit))

    def training_batches(self) -> Batches:
        """All images that are trained on, in order."""
        data = self.experiment.data
        return self._batches(data, np.arange(len(data)), self.experiment.arrays)

    def _batches(self, source: Source, rows: np.ndarray, arrays: Batch | None) -> Batches:
        """Kept in memory where the set is small, else decoded each time."""
        size, side = self.experiment.batch_size, self.experiment.canvas
        threads, channels = self.experiment.runtime.threads, self.experiment.channels
        bad_samples = self._bad_samples(source)
        if arrays is None and fits_on_device(len(source), side, channels):
            arrays = resident(source, side, channels, threads, bad_samples=bad_samples)
        if arrays is not None:
            return ArrayBatches(arrays, size, rows)
        return SourceBatches(source, size, side, rows, channels, threads, bad_samples)

    def _bad_samples(self, source: Source) -> BadSamples:
        """Counts the broken images of one source."""
        if source is self.experiment.data:
            return self.experiment.bad_samples
        return BadSamples(len(source), self.experiment.runtime.bad_samples, self.report)

    def baselines(self, train_state: TrainState) -> dict[str, Scores]:
        """What training has to beat, by its name; says it."""
        found = self.evaluator.baselines(train_state.params, train_state.state)
        for subject, scores in found.items():
            self.report(f'{subject:<16} {in_words(scores)}')
        return found

    def evaluate(self, step: int, train_state: TrainState) -> Scores:
        """Scores after `step` steps; says them, and warns when the features collapse."""
        train, test = self.features(step, train_state)
        scores = self.evaluator.scores(train_state.params, train_state.state, train, test)
        self.history.append(scores)
        epoch = f'after epoch {step / self.experiment.plan.steps_per_epoch:.4g}'
        self.report(f'{epoch:<16} {in_words(scores)}')
        self._warn()
        return scores

    def catch_up(self, rows: Sequence[Row], step: int, train_state: TrainState) -> Scores | None:
        """Takes over the history of a run that goes on, and evaluates it if that was left out.

        A run that is told to stop where an evaluation is due only saves.

        Args:
          rows: of the run's metrics so far.
          step: number of steps taken.
          train_state: after them.

        Returns:
          The scores of the evaluation that was left out, None if none was.
        """
        self.history = of_kind(rows, EVALUATION)
        self.latest.extend(of_kind(rows, STEP))
        plan = self.experiment.plan
        found = any(row['step'] == step for row in self.history)
        if step > 0 and plan.due(plan.evaluate_every, step) and not of_first(found):
            return self.evaluate(step, train_state)
        self._warn()
        return None

    def heard(self, row: Row) -> None:
        """Takes note of a row of metrics that was written."""
        if row['kind'] == STEP:
            self.latest.append(row)

    def _warn(self) -> None:
        if warning := self.warning:
            self.report(f'WARNING: {warning}')

    @property
    def warning(self) -> str | None:
        """What is wrong so far, in words: by the algorithm's metrics, else with the features."""
        features = min(self.experiment.feature_dim, self._images)
        return self._diagnosis or collapse_warning(self.history, features)

    @property
    def _diagnosis(self) -> str | None:
        """What the algorithm says of its metrics, once there are enough of them."""
        if len(self.latest) < LATEST:
            return None
        rows = [metrics_of(row) for row in self.latest]
        names = set.intersection(*map(set, rows))
        means = {name: float(np.mean([row[name] for row in rows])) for name in names}
        return self.experiment.algorithm.diagnose(means)

    @property
    def _images(self) -> int:
        """Whose features are looked at."""
        test = self.experiment.test_data
        count = min(len(self.experiment.data), STAND_IN) if test is None else len(test)
        return min(count, MOST_ROWS)

    def features(self, step: int, train_state: TrainState) -> tuple[Extracted | None, Extracted]:
        """Features of the images that probes learn from, if any, and of the held-out ones.

        Those of the last `step` that was asked for are kept: the report shows what was evaluated.
        """
        if self._features is None or self._features[0] != step:
            found = self.evaluator.features(train_state.params, train_state.state)
            self._features = step, found
        return self._features[1]


def in_words(scores: Scores) -> str:
    """Such as ``kNN 0.801  linear probe 0.812  spread 0.72  RankMe 23``."""
    digits = {'feature_std': '.2f', 'rankme': '.1f'}
    own = {name: name for name in scores if name.partition('.')[0] not in (*SHOWN, *UNSHOWN)}
    return '  '.join(
        f'{name} {scores[key]:{digits.get(key, ".3f")}}'
        for key, name in (SHOWN | own).items()
        if key in scores
    )
