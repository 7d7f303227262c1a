"""The grid of patches that masks are drawn on."""

from jssl.errors import JsslError


def check_grid(grid: int, least: int) -> None:
    """Refuses a grid that has too few patches for a rule of masks.

    Args:
      grid: patches along each side.
      least: how many the rule needs.

    Raises:
      JsslError: there are fewer.

    Examples:
      >>> check_grid(14, least=3)
    """
    if grid < least:
        raise JsslError(
            f'The crops that are masked have grid={grid} patches along each side, and their masks '
            f'need {least} or more; choose larger crops in config.views, or a smaller '
            'config.model.backbone.patch_size.'
        )
