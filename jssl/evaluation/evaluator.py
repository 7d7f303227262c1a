"""Everything that is measured about a representation during a run, in one object."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import jax
import numpy as np
from jax.sharding import NamedSharding

from jssl.algorithm import Algorithm, Batch, Params, State, image_batch
from jssl.evaluation.accuracy import classifier_scores
from jssl.evaluation.collapse import feature_statistics
from jssl.evaluation.features import EvalView, Extract, make_extractor, raw_pixels
from jssl.evaluation.knn import KNN
from jssl.evaluation.linear import Linear
from jssl.evaluation.metrics import Extracted, Metric, Scores, measure

NETWORK, RANDOM_NETWORK, RAW_PIXELS = 'network', 'random network', 'raw pixels'  # what is scored
METRICS: tuple[Metric, ...] = (KNN(), Linear())


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluator:
    """Scores frozen features: signs of collapse, and whatever `metrics` measure.

    Attributes:
      algorithm: its `extract_feat` gives the features.
      view: deterministic view of one canvas, such as `CenterView`.
      train: batches of labelled images for the metrics to learn from; gone through every time, so
        `ArrayBatches` or `SourceBatches`. To bound the cost of large sets, give them
        ``rows=evenly_spaced(len(source), 20_000)``. None where there are none.
      test: batches that are scored.
      metrics: called in turn with the features of both.
      batch_sharding: how a batch is split over devices by rows.
      test_classes: int (K,), the label in the training data of each class of the test data; None
        where both number them alike.
    """

    algorithm: Algorithm
    view: EvalView
    train: Iterable[Batch] | None
    test: Iterable[Batch]
    metrics: Sequence[Metric] = METRICS
    batch_sharding: NamedSharding | None = None
    test_classes: np.ndarray | None = None

    @functools.cached_property
    def extract(self) -> Extract:
        """``extract(params, state, batches) -> Extracted``, compiled once."""
        return make_extractor(self.algorithm, self.view, self.batch_sharding)

    @functools.cached_property
    def classify(self) -> Extract:
        """As `extract`, with the logits of a classifier in place of features."""

        def predict(params: Params, state: State, images: jax.Array) -> jax.Array:
            return self.algorithm.predict(params, state, image_batch(images))

        return make_extractor(self.algorithm, self.view, self.batch_sharding, outputs=predict)

    def evaluate(self, params: Params, state: State) -> Scores:
        """Numbers about the features of a network: `scores` of `features`."""
        return self.scores(params, state, *self.features(params, state))

    def features(self, params: Params, state: State) -> tuple[Extracted | None, Extracted]:
        """Those of the labelled images, where a metric asks for them, and of the test images."""
        return self._both(partial(self.extract, params, state))

    def scores(
        self, params: Params, state: State, train: Extracted | None, test: Extracted
    ) -> Scores:
        """Numbers about the features that `features` gave.

        Returns:
          Of a classifier `test_accuracy` and `test_top5`, see `classifier_scores`; `feature_std`
          and `rankme` of the test features; what the metrics give, such as `knn` and `linear`.

        Raises:
          JsslError: features that are not finite, labels that a classifier has no logit for, or a
            metric that fails.
        """
        statistics = feature_statistics(test.features)
        found = {}
        if self.algorithm.predicts == 'classes' and test.labels is not None:
            logits = self.classify(params, state, self.test).features
            found = classifier_scores(logits, test.labels)
        return measure(self.metrics, train, test, known=found | statistics)

    def baselines(self, params: Params, state: State) -> dict[str, Scores]:
        """What training has to beat: scores of ``'raw pixels'`` and of the ``'random network'``.

        A classifier that has seen no labels guesses, which is no score.

        Args:
          params: those of the untrained network.
          state: its state.
        """
        found = {RAW_PIXELS: self._raw_pixels}
        if self.algorithm.predicts != 'classes':
            found[RANDOM_NETWORK] = self.evaluate(params, state)
        return {subject: scores for subject, scores in found.items() if scores}

    @functools.cached_property
    def _raw_pixels(self) -> Scores:
        """Measured once, whatever network is evaluated."""
        see = partial(raw_pixels, self.view, batch_sharding=self.batch_sharding)
        return measure(self.metrics, *self._both(see)) if self.metrics else {}

    def _both(
        self, see: Callable[[Iterable[Batch]], Extracted]
    ) -> tuple[Extracted | None, Extracted]:
        """What `see` gives of the labelled images, as far as they are needed, and of the test."""
        test = self._relabelled(see(self.test))
        if self.train is None or test.labels is None or not self.metrics:
            return None, test
        return see(self.train), test

    def _relabelled(self, test: Extracted) -> Extracted:
        """With labels as the training data have them."""
        if test.labels is None or self.test_classes is None:
            return test
        return test._replace(labels=self.test_classes[test.labels])
