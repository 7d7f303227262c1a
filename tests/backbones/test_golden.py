from pathlib import Path

import jax

from tests import golden
from tests.backbones.reference import Backbone, check, check_features, check_float32

# Tables of the reference's own float32 run; ours is compared with float64.
FLOAT32 = ('train/*/table', 'eval/*/table')


@golden.each('backbone', slow=golden.is_deep)
def test_float64_equals_the_reference(path: Path) -> None:
    with jax.enable_x64(True), golden.whole(path, *FLOAT32) as saved:
        network = Backbone(saved, 'float64')
        for mode in ('train', 'eval'):
            check(saved, network, mode)


@golden.each('backbone', of=golden.is_deep)
def test_features_of_deep_networks_equal_the_reference_s(path: Path) -> None:
    """Without gradients, which take minutes to compile."""
    saved = golden.File(path)
    with jax.enable_x64(True):
        check_features(saved, Backbone(saved, 'float64'))


@golden.each('backbone', slow=golden.is_deep)
def test_float32_errs_less_than_numbers_that_differ_by_more_than_it_rounds(path: Path) -> None:
    check_float32(golden.File(path))
