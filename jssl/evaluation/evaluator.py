"""Everything that is measured about a representation during a run, in one object."""

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
from jax.sharding import NamedSharding

from jssl.algorithm import Algorithm, Batch, Params, State
from jssl.evaluation.accuracy import classifier_scores
from jssl.evaluation.collapse import feature_statistics
from jssl.evaluation.features import EvalView, Extract, Extracted, make_extractor, raw_pixels
from jssl.evaluation.inputs import numbered
from jssl.evaluation.knn import knn_ranking, ranking_accuracy
from jssl.evaluation.linear import linear_accuracy

NETWORK, RANDOM_NETWORK, RAW_PIXELS = 'network', 'random network', 'raw pixels'  # what is scored
Scores = dict[str, float]


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluator:
    """Scores frozen features: collapse always, neighbours and a linear probe if there are labels.

    Attributes:
      algorithm: its `extract_feat` gives the features.
      view: deterministic view of one canvas, such as `CenterView`.
      train: batches that neighbours come from and the probe learns on; gone through every time, so
        `ArrayBatches` or `SourceBatches`. To bound the cost of large sets, give them
        ``rows=evenly_spaced(len(source), 20_000)``. None measures collapse alone.
      test: batches that are scored.
      k: neighbours that vote.
      temperature: of their votes.
      batch_sharding: how a batch is split over devices by rows.
      test_classes: int (K,), the label in the training data of each class of the test data; None
        where both number them alike.
    """

    algorithm: Algorithm
    view: EvalView
    train: Iterable[Batch] | None
    test: Iterable[Batch]
    k: int = 20
    temperature: float = 0.07
    batch_sharding: NamedSharding | None = None
    test_classes: np.ndarray | None = None

    @functools.cached_property
    def extract(self) -> Extract:
        """``extract(params, state, batches) -> Extracted``, compiled once."""
        return make_extractor(self.algorithm, self.view, self.batch_sharding)

    @functools.cached_property
    def classify(self) -> Extract:
        """As `extract`, with the logits of a classifier in place of features."""
        predict = self.algorithm.predict  # type: ignore[attr-defined]
        return make_extractor(self.algorithm, self.view, self.batch_sharding, outputs=predict)

    def evaluate(self, params: Params, state: State) -> Scores:
        """Numbers about the features of a network.

        Returns:
          `feature_std` and `rankme` of the test features; if there are labels, `knn`, `knn_top5`
          and `linear`, accuracies from 0 to 1 on the test images; of a classifier `test_accuracy`
          and `test_top5` instead, see `classifier_scores`.

        Raises:
          JsslError: features that are not finite, or labels that a classifier has no logit for.
        """
        test = self._relabelled(self.extract(params, state, self.test))
        statistics = feature_statistics(test.features)
        if test.labels is None:
            return statistics
        if self.algorithm.is_classifier:
            logits = self.classify(params, state, self.test).features
            return {**classifier_scores(logits, test.labels), **statistics}
        if self.train is None:
            return statistics
        return {**self.score(self.extract(params, state, self.train), test), **statistics}

    def baselines(self, params: Params, state: State) -> dict[str, Scores]:
        """What training has to beat: scores of ``'raw pixels'`` and of the ``'random network'``.

        Raw pixels have none without labels; a classifier that has seen none guesses, which is no
        score.

        Args:
          params: those of the untrained network.
          state: its state.
        """
        test = self._relabelled(
            raw_pixels(self.view, self.test, batch_sharding=self.batch_sharding)
        )
        found = {}
        if test.labels is not None and self.train is not None:
            train = raw_pixels(self.view, self.train, batch_sharding=self.batch_sharding)
            found[RAW_PIXELS] = self.score(train, test)
        if not self.algorithm.is_classifier:
            found[RANDOM_NETWORK] = self.evaluate(params, state)
        return found

    def score(self, train: Extracted, test: Extracted) -> Scores:
        """`knn`, `knn_top5` and `linear` accuracy; empty without labels."""
        if train.labels is None or test.labels is None:
            return {}
        present, (learned, wanted) = numbered(train_labels=train.labels, test_labels=test.labels)
        count = len(present)
        ranking = knn_ranking(
            train.features,
            learned,
            test.features,
            k=self.k,
            temperature=self.temperature,
            num_classes=count,
        )
        return {
            'knn': ranking_accuracy(ranking, wanted),
            'knn_top5': ranking_accuracy(ranking, wanted, top=5),
            'linear': linear_accuracy(
                train.features, learned, test.features, wanted, num_classes=count
            ),
        }

    def _relabelled(self, test: Extracted) -> Extracted:
        """With labels as the training data have them."""
        if test.labels is None or self.test_classes is None:
            return test
        return test._replace(labels=self.test_classes[test.labels])
