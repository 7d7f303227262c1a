"""The sizes of vision transformers, by name."""

import dataclasses

from jssl.checks import Blocks, Checked, Count


@dataclasses.dataclass(frozen=True)
class Arch(Checked):
    """The size of a vision transformer.

    Attributes:
      embed_dims: width of the tokens.
      num_layers: number of blocks.
      num_heads: heads of the attention.
      feedforward_channels: hidden width of the feed-forward networks.
    """

    embed_dims: Count
    num_layers: Blocks
    num_heads: Count
    feedforward_channels: Count


ARCHS = {
    'small': Arch(384, 12, 12, 1536),
    'deit-small': Arch(384, 12, 6, 1536),
    'base': Arch(768, 12, 12, 3072),
    'large': Arch(1024, 24, 16, 4096),
    'huge': Arch(1280, 32, 16, 5120),
}
# What the reference calls them too. Its 's' is left out: another network for every class there.
ARCHS |= {'mocov3-small': ARCHS['small'], 'deit-s': ARCHS['deit-small']}
ARCHS |= {'b': ARCHS['base'], 'l': ARCHS['large'], 'h': ARCHS['huge']}
