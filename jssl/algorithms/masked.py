"""What masked image models have in common: one view, noise inside the network, reconstructions."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from jssl.algorithm import Algorithm, Batch
from jssl.errors import JsslError
from jssl.kinds import Backbone, Neck


class Reconstruction(NamedTuple):
    """What a model makes of images of which it sees a part.

    Attributes:
      images: (B, H, W, C), normalised as the view was.
      hidden: bool (B, H, W), True for pixels that the model did not see.
    """

    images: jax.Array
    hidden: jax.Array


@dataclasses.dataclass(frozen=True)
class MaskedImageModel(Algorithm):
    """A network that sees a part of an image, and predicts something of the rest.

    Attributes:
      backbone: images and what is masked of them -> features.
      neck: features -> predictions.
    """

    backbone: Backbone
    neck: Neck

    def draw_noise(self, rng: jax.Array, batch: Batch) -> Batch:
        """Adds the key of drop path, where the backbone has any."""
        if getattr(self.backbone, 'drop_path_rate', 0) == 0:
            return batch
        return {**batch, 'drop_path': rng}

    def draw_masks(
        self, rng: jax.Array, batch: Batch, images: int, draw_one: Callable[[jax.Array], jax.Array]
    ) -> Batch:
        """Adds `mask`, what `draw_one` makes of one key for each of `images`, and the noise."""
        mask_key, key = jax.random.split(rng)
        mask = jax.vmap(draw_one)(jax.random.split(mask_key, images))
        return self.draw_noise(key, {**batch, 'mask': mask})


def check_no_average(backbone: Any, algorithm: str) -> None:
    """Refuses a vision transformer that gives the mean of its tokens in place of these.

    Raises:
      JsslError: names `algorithm`.
    """
    if getattr(backbone, 'avg_token', False):
        raise JsslError(
            f'{algorithm} looks at single tokens, and config.model.backbone.avg_token=True gives '
            'their mean alone; set it to False.'
        )
