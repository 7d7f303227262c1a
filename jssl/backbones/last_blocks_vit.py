"""A vision transformer that gives the outputs of several blocks, for linear probes of them."""

import operator
from typing import Any

import jax
import jax.numpy as jnp

from jssl.backbones.vit import Places, VisionTransformer
from jssl.checks import Count
from jssl.errors import JsslError


class LastBlocksViT(VisionTransformer):
    """ViT whose outputs are those of its last blocks, each after the final norm, the last one last.

    Caron et al. 2021, DINO, appendix F. It has the parameters of `VisionTransformer`, and is for a
    frozen backbone: no branch is left out in training either.

    Attributes:
      arch, img_size, ...: as `VisionTransformer`.
      last_blocks: how many there are.

    Raises:
      JsslError: as `VisionTransformer`, and for more blocks than there are, for stacked ones, or
        with `avg_token`, which gives one vector of the last.
    """

    last_blocks: Count = 4

    def __post_init__(self) -> None:
        """Refuses what cannot be built, before any compute is spent."""
        super().__post_init__()
        if self.last_blocks > self.size.num_layers:
            raise JsslError(
                f'config.model.backbone.last_blocks={self.last_blocks}, but there are '
                f'{self.size.num_layers} blocks; set it to at most that.'
            )
        for field in ('scan_layers', 'avg_token'):
            if getattr(self, field):
                raise JsslError(
                    f'LastBlocksViT gives outputs of several blocks, and config.model.backbone.'
                    f'{field}=True has none but the last; set it to False.'
                )

    def _blocks(
        self, x: jax.Array, train: bool, subsets: jax.Array | None, places: Places
    ) -> jax.Array:
        """The outputs (last_blocks B, N, C), block by block: for the norm, they are more images."""
        del train, subsets
        outputs = []
        for index in range(self.size.num_layers):
            own = jax.tree.map(operator.itemgetter(index), places)
            x = self._block(f'layers.{index}')(x, None, None, *own)
            outputs.append(x)
        return jnp.concatenate(outputs[-self.last_blocks :])

    def _outputs(self, x: jax.Array, rows: int, columns: int) -> tuple[Any, ...]:
        of_one = super()._outputs
        blocks = jnp.split(x, self.last_blocks)
        return tuple(output for one in blocks for output in of_one(one, rows, columns))
