"""How the features of a run are judged while it trains, beside baselines and with warnings."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import TrainState
from jssl.data.loader import Batch, fits_on_device, resident
from jssl.data.sources import Source
from jssl.data.views import Canvas
from jssl.evaluation import (
    ArrayBatches,
    Evaluator,
    Extracted,
    SourceBatches,
    collapse_warning,
    evenly_spaced,
)
from jssl.training import sharding
from jssl.training.experiment import CHANNELS, Experiment

RAW = 'raw_pixels_'  # prefix of the raw-pixel baseline's scores in the metrics of step 0
SHOWN = {'knn': 'kNN', 'linear': 'linear probe', 'std': 'spread', 'rankme': 'RankMe'}
UNJUDGED = 1000  # training images whose features stand in where there is no test data
Batches = ArrayBatches | SourceBatches
Scores = dict[str, float]


@dataclasses.dataclass(eq=False)
class Judge:
    """Judges the features of an experiment's network.

    Without test data the spread of the features of some training images is all there is to say.

    Attributes:
      experiment: what is judged.
      report: is told the scores, and of a collapse, in words.
      history: what was found so far.
    """

    experiment: Experiment
    report: Callable[[str], None]
    history: list[Scores] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def evaluator(self) -> Evaluator:
        """Compiled once, used for every evaluation."""
        experiment, options = self.experiment, self.experiment.runtime.evaluate
        rows = evenly_spaced(len(experiment.data), options.max_train)
        return Evaluator(
            algorithm=experiment.algorithm,
            view=experiment.eval_view,
            train=self._batches(experiment.data, rows, experiment.arrays),
            test=self.test_batches,
            num_classes=getattr(experiment.test_data, 'num_classes', None),
            k=min(options.neighbors, len(rows)),
            batch_sharding=sharding.batch_sharding(experiment.mesh),
        )

    @functools.cached_property
    def test_batches(self) -> Batches:
        """The held-out images, in order."""
        test = self.experiment.test_data
        if test is not None:
            return self._batches(test, np.arange(len(test)), None)
        rows = evenly_spaced(len(self.experiment.data), UNJUDGED)
        batches = self._batches(self.experiment.data, rows, self.experiment.arrays)
        unlabelled = [{k: v for k, v in batch.items() if k != 'label'} for batch in batches]
        arrays = {k: np.concatenate([batch[k] for batch in unlabelled]) for k in unlabelled[0]}
        return ArrayBatches(arrays, self.experiment.batch_size)

    def _batches(self, source: Source, rows: np.ndarray, arrays: Batch | None) -> Batches:
        """Kept in memory where the set is small, else decoded each time."""
        size, side = self.experiment.batch_size, self.experiment.canvas
        threads = self.experiment.runtime.threads
        if arrays is None and fits_on_device(len(source), side, CHANNELS):
            arrays = resident(source, side, CHANNELS, threads)
        if arrays is not None:
            return ArrayBatches(arrays, size, rows)
        return SourceBatches(source, size, side, rows, CHANNELS, threads)

    def baselines(self, train_state: TrainState) -> Scores:
        """Scores of the untrained network, and of raw pixels under names with `RAW` in front."""
        scores = self.evaluator.baselines(train_state.params, train_state.state)
        for name, values in scores.items():
            if values:
                self.report(f'{name:<16} {in_words(values)}')
        raw = {f'{RAW}{name}': value for name, value in scores['raw pixels'].items()}
        return scores['random network'] | raw

    def evaluate(self, step: int, train_state: TrainState) -> Scores:
        """Scores after `step` steps; says them, and warns when the features collapse."""
        scores = self.evaluator.evaluate(train_state.params, train_state.state)
        self.history.append(scores)
        epoch = f'after epoch {step / self.experiment.plan.steps_per_epoch:.4g}'
        self.report(f'{epoch:<16} {in_words(scores)}')
        if warning := self.warning:
            self.report(f'WARNING: {warning}')
        return scores

    @property
    def warning(self) -> str | None:
        """What is wrong with the features so far, in words."""
        return collapse_warning(self.history, dimensions=self._dimensions)

    @functools.cached_property
    def _dimensions(self) -> int:
        """Of a feature, found without computing one."""
        experiment, side = self.experiment, self.experiment.canvas
        canvas = Canvas(jnp.zeros((side, side, CHANNELS), jnp.uint8), jnp.array([side, side]))

        def features(train_state: TrainState) -> jax.Array:
            images = experiment.eval_view(canvas)[None]
            return experiment.algorithm.extract_feat(train_state.params, train_state.state, images)

        return jax.eval_shape(features, experiment.state_shapes).shape[-1]

    def test_features(self, train_state: TrainState) -> Extracted:
        """Features of the held-out images, and their labels."""
        return self.evaluator.extract(train_state.params, train_state.state, self.test_batches)


def in_words(scores: Scores) -> str:
    """Such as ``kNN 0.801  linear probe 0.812  spread 0.72  RankMe 23``."""
    digits = {'std': '.2f', 'rankme': '.1f'}
    return '  '.join(
        f'{name} {scores[key]:{digits.get(key, ".3f")}}'
        for key, name in SHOWN.items()
        if key in scores
    )
