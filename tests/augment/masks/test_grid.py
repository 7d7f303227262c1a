"""Grids that are too small for masks."""

from jssl.augment.masks.grid import check_grid
from tests.checks import refused


def test_a_grid_of_too_few_patches_is_refused_with_what_makes_it_larger() -> None:
    check_grid(3, least=3)
    with refused('grid=2', '3 or more', 'config.views', 'config.model.backbone.patch_size'):
        check_grid(2, least=3)
