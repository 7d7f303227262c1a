"""What the features of a trained network are worth on data of the user's choice."""

from collections.abc import Callable, Sequence

import numpy as np

from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources import Source, check_same_classes, has_labels
from jssl.errors import JsslError
from jssl.evaluation import Evaluator, Metric, SourceBatches, evenly_spaced
from jssl.evaluation.metrics import Scores
from jssl.inference.pretrained import BATCH, Pretrained
from jssl.training import sharding
from jssl.training.settings import Runtime

MAX_TRAIN = Runtime().evaluate.max_train


def score(
    network: Pretrained,
    train: Source,
    test: Source,
    metrics: Sequence[Metric],
    *,
    batch_size: int = BATCH,
    max_train: int = MAX_TRAIN,
    report: Callable[[str], None] = print,
) -> Scores:
    """Scores of frozen features, as in the evaluation of a run.

    Args:
      network: of `jssl.load`.
      train: labelled images that the metrics learn from.
      test: labelled images that are scored.
      metrics: such as `KNN()` and `Linear()`.
      batch_size: images computed at a time.
      max_train: how many images of `train` are taken, spread over all.
      report: is told of each broken image; the next one takes its place.

    Returns:
      What the metrics give, `feature_std` and `rankme`; of a classifier its accuracy too.

    Raises:
      JsslError: data without labels, or with other classes than each other.
    """
    for argument, source in (('--data', train), ('--test_data', test)):
        if not has_labels(source):
            raise JsslError(
                f'{argument} has no labels to score by; give labelled images, such as a folder '
                'whose sub-folders are the classes.'
            )

    def batches(source: Source, rows: np.ndarray) -> SourceBatches:
        bad = BadSamples(len(source), Runtime().bad_samples, report)
        side, channels = network.canvas, network.channels
        return SourceBatches(source, batch_size, side, rows, channels, bad_samples=bad)

    evaluator = Evaluator(
        algorithm=network.algorithm,
        view=network.view,
        train=batches(train, evenly_spaced(len(train), max_train)),
        test=batches(test, np.arange(len(test))),
        metrics=metrics,
        batch_sharding=sharding.batch_sharding(sharding.local_mesh()),
        test_classes=check_same_classes(train, test),
    )
    return evaluator.evaluate(*network.placed)
