"""The settings of Gram anchoring.

Simeoni et al., "DINOv3", arXiv 2508.10104, section 4.
"""

import dataclasses
from typing import Literal

import jax

from jssl.checks import Checked, NonNegative, Positive
from jssl.errors import JsslError
from jssl.layers.position_embedding import resize_map
from jssl.losses.gram_anchoring import Negatives, gram_anchoring


@dataclasses.dataclass(frozen=True)
class GramAnchoring(Checked):
    """Which teacher anchors which patches, from when on and how strongly.

    Attributes:
      weight: of the loss in the end.
      epochs: between these its weight follows half a cosine from 0; from the second on it stays.
      own_teacher: whether a copy of the teacher, which stays as it is, gives the anchors; False for
        the teacher itself.
      copy_epochs: after so many epochs, such as (1.0, 2.5), the copy is made again.
      patches: of the global crops 'all', or those that the student does not see, 'masked', or sees.
      per_image: whether pairs of patches are of one image, or of the whole batch.
      no_negatives: whose negative similarities count as 0, see `gram_anchoring`.

    Raises:
      JsslError: for epochs that go back, or copies of a teacher that there is not.
    """

    weight: NonNegative = 2.0
    epochs: tuple[NonNegative, NonNegative] = (0.0, 0.0)
    own_teacher: bool = True
    copy_epochs: tuple[Positive, ...] = ()
    patches: Literal['all', 'masked', 'unmasked'] = 'all'
    per_image: bool = True
    no_negatives: Negatives = None

    def __post_init__(self) -> None:
        """Refuses what would be ignored."""
        super().__post_init__()
        start, end = self.epochs
        if start > end:
            raise JsslError(
                f'config.model.gram.epochs=({start!r}, {end!r}) goes back; give ({end!r}, '
                f'{start!r}).'
            )
        if self.copy_epochs and not self.own_teacher:
            raise JsslError(
                f'config.model.gram.copy_epochs={tuple(self.copy_epochs)} copies into a Gram '
                'teacher, of which there is none with config.model.gram.own_teacher=False; set it '
                'to True, or leave copy_epochs out.'
            )

    def __call__(self, patches: jax.Array, anchors: jax.Array, masks: jax.Array) -> jax.Array:
        """The loss, before its weight.

        Args:
          patches: (B, h, w, C), the student's.
          anchors: (B, H, W, C), the Gram teacher's, which are resized to h and w.
          masks: bool (B, h, w), True for what the student did not see.
        """
        batch, rows, columns = masks.shape
        anchors = resize_map(anchors, (rows, columns))
        tokens = (x.reshape(batch, rows * columns, -1) for x in (patches, anchors))
        present = {'all': None, 'masked': masks, 'unmasked': ~masks}[self.patches]
        return gram_anchoring(
            *tokens,
            per_image=self.per_image,
            no_negatives=self.no_negatives,
            present=None if present is None else present.reshape(batch, -1),
        )
