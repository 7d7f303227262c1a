"""Policies: what turns one canvas into the views an algorithm trains on or is tested on.

Each is a frozen dataclass of options and a pure function of one key and one canvas; the train step
vmaps it over the batch. The operations are in `jssl.augment.ops`, the reference's policy of every
algorithm in `jssl.recipes.policies`.
"""

from jssl.augment.views.fine_tune import FineTuneView
from jssl.augment.views.multi_view import GlobalLocal, MultiCrop, MultiView, Pair
from jssl.augment.views.padded_crop import PaddedCrop
from jssl.augment.views.pretext import ImageAndTokens, Patches, Rotations
from jssl.augment.views.view import CenterView, View

__all__ = [
    'CenterView',
    'FineTuneView',
    'GlobalLocal',
    'ImageAndTokens',
    'MultiCrop',
    'MultiView',
    'PaddedCrop',
    'Pair',
    'Patches',
    'Rotations',
    'View',
]
