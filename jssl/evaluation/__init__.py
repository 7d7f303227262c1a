"""What a representation is worth: neighbours, a linear probe, signs of collapse."""

from jssl.evaluation.accuracy import classifier_scores, top_k_accuracy
from jssl.evaluation.collapse import collapse_warning, evenly_spaced, feature_statistics
from jssl.evaluation.evaluator import Evaluator
from jssl.evaluation.features import (
    ArrayBatches,
    SourceBatches,
    make_extractor,
    raw_pixels,
)
from jssl.evaluation.knn import KNN, knn_accuracy, knn_ranking, ranking_accuracy
from jssl.evaluation.linear import Linear, LinearProbe, fit_linear, linear_accuracy
from jssl.evaluation.metrics import Extracted, Metric, measure

__all__ = [
    'KNN',
    'ArrayBatches',
    'Evaluator',
    'Extracted',
    'Linear',
    'LinearProbe',
    'Metric',
    'SourceBatches',
    'classifier_scores',
    'collapse_warning',
    'evenly_spaced',
    'feature_statistics',
    'fit_linear',
    'knn_accuracy',
    'knn_ranking',
    'linear_accuracy',
    'make_extractor',
    'measure',
    'ranking_accuracy',
    'raw_pixels',
    'top_k_accuracy',
]
