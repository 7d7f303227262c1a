"""Self-attention within a square of tokens, with a bias by their relative position."""

import flax.linen as nn
import jax
import numpy as np

from jssl.checks import Checked, Count
from jssl.layers.attention import SelfAttention
from jssl.layers.rotary import Rotation


class RelativeAttention(SelfAttention):
    """Attention with a learned bias for every head and distance (Liu et al. 2021, equation 4).

    Attributes:
      side: of the square in tokens.
      cls_token: whether a class token comes before them. It has three biases for itself: of what it
        attends to, of what attends to it, and of both being it (Bao et al. 2022, BEiT).
    """

    side: int = 7
    cls_token: bool = False

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array | None = None, rotation: Rotation | None = None
    ) -> jax.Array:
        """(B, N, C), or windows (B, W, N, C) -> the same; `mask` (W, N, N) is added to the logits.

        N is side * side, and one more with a class token.
        """
        bias = _biases(self, self.num_heads, self.side, cls_token=self.cls_token)
        return super().__call__(x, bias if mask is None else bias + mask[:, None], rotation)


class RelativePositionBias(Checked, nn.Module):
    """Biases by relative position that all blocks share, as BEiT has them in pre-training.

    Attributes:
      num_heads: of the attention.
      side: as of `RelativeAttention`, with a class token before the tokens.
    """

    num_heads: Count
    side: Count

    @nn.compact
    def __call__(self) -> jax.Array:
        """(1, heads, N, N), N = 1 + side * side."""
        return _biases(self, self.num_heads, self.side, cls_token=True)


def _biases(module: nn.Module, num_heads: int, side: int, *, cls_token: bool) -> jax.Array:
    """Biases (1, heads, N, N) out of a table that is a parameter of `module`."""
    index = relative_positions(side, cls_token=cls_token)
    # Heads first, so that the layout is the transpose of the reference's, as everywhere.
    shape = (num_heads, int(index.max()) + 1)
    table = module.param('relative_position_bias_table', nn.initializers.normal(0.02), shape)
    return table[None, :, index]


def relative_positions(side: int, *, cls_token: bool = False) -> np.ndarray:
    """(N, N) indices into the table: (row distance + side - 1) (2 side - 1) + the column's.

    With a class token, which is the first of N, the last three entries are its own: from it to
    others, from others to it, and to itself.
    """
    places = np.stack(np.divmod(np.arange(side * side), side))
    rows, columns = places[:, :, None] - places[:, None, :] + side - 1
    index = rows * (2 * side - 1) + columns
    if not cls_token:
        return index
    entries = (2 * side - 1) ** 2
    index = np.pad(index, ((1, 0), (1, 0)))
    index[0, 1:], index[1:, 0], index[0, 0] = entries, entries + 1, entries + 2
    return index
