"""ConvNeXt V2."""

from jssl.backbones.convnext import ConvNeXt
from jssl.checks import NonNegative


class ConvNeXtV2(ConvNeXt):
    """ConvNeXt with global response normalisation in place of scales (Woo et al. 2023, section 3).

    Attributes:
      arch, stem_patch_size, ...: as `ConvNeXt`.
    """

    use_grn: bool = True
    layer_scale: NonNegative | None = None
