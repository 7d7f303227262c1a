"""ResNeXt: bottlenecks whose 3x3 convolution works in groups."""

from typing import Any

from jssl.backbones.resnet import LAYOUTS, Bottleneck, ResNet
from jssl.checks import Count
from jssl.errors import JsslError


class ResNeXt(ResNet):
    """ResNeXt (Xie et al. 2017, figure 3c), images (B, H, W, C) -> tuple of maps (B, h, w, c).

    Attributes:
      depth, base_channels, ...: as `ResNet`; only depths with bottlenecks: 50, 101, 152.
      groups: of the 3x3 convolutions.
      width_per_group: channels of a group in the first stage, at 64 base channels.

    Raises:
      JsslError: at construction, for what `ResNet` refuses and for a depth without bottlenecks.
    """

    groups: Count = 32
    width_per_group: Count = 4

    def __post_init__(self) -> None:
        """Refuses depths that are made of basic blocks."""
        super().__post_init__()
        if LAYOUTS[self.depth][0] is not Bottleneck:
            raise JsslError(
                f'ResNeXt has no depth={self.depth}, whose blocks are no bottlenecks; set depth to '
                '50, 101 or 152.'
            )

    def _block_options(self, channels: int) -> dict[str, Any]:
        per_group = channels * self.width_per_group // self.base_channels
        grouped = {'width': self.groups * per_group, 'groups': self.groups}
        return super()._block_options(channels) | grouped
