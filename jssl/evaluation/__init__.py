"""What a representation is worth: neighbours, a linear probe, signs of collapse."""

from jssl.evaluation.accuracy import classifier_scores, top_k_accuracy
from jssl.evaluation.collapse import collapse_warning, evenly_spaced, feature_statistics
from jssl.evaluation.evaluator import Evaluator
from jssl.evaluation.features import (
    ArrayBatches,
    Extracted,
    SourceBatches,
    make_extractor,
    raw_pixels,
)
from jssl.evaluation.knn import knn_accuracy, knn_ranking, ranking_accuracy
from jssl.evaluation.linear import LinearProbe, fit_linear, linear_accuracy

__all__ = [
    'ArrayBatches',
    'Evaluator',
    'Extracted',
    'LinearProbe',
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
    'ranking_accuracy',
    'raw_pixels',
    'top_k_accuracy',
]
