"""The Swin transformer of SimMIM."""

from typing import ClassVar

from jssl.backbones.counterpart import Counterpart
from jssl.backbones.swin import SwinTransformer


class SimMIMSwinTransformer(SwinTransformer):
    """Swin under the name that SimMIM's configs have for it (Xie et al. 2022, section 3.2).

    Attributes:
      arch, img_size, ...: as `SwinTransformer`; drop path is on in pre-training too.
    """

    counterpart: ClassVar[Counterpart | None] = Counterpart(SwinTransformer)
