"""Images that stand for a data set that is not there: as many, as large, with as many classes."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from jssl.data.sources import Sample
from jssl.errors import JsslError
from jssl.planning.program import KNOWN

DIFFERENT = 16  # images; a batch is copied from memory all the same


@dataclasses.dataclass(frozen=True)
class Noise:
    """Images of noise that fill their canvases, a few of them again and again.

    Attributes:
      number: of images.
      num_classes: of their labels.
      side: in pixels.
    """

    number: int
    num_classes: int
    side: int
    has_labels = True

    @functools.cached_property
    def _images(self) -> np.ndarray:
        shape = (DIFFERENT, self.side, self.side, 3)
        return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, index: int, /) -> Sample:
        image = self._images[index % DIFFERENT]
        return {'image': image, 'label': index % self.num_classes}


def synthetic(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same config with noise for its data, and with nothing to evaluate on.

    Raises:
      JsslError: it is not known how many images its data have.
    """
    name = config['data'].get('name')
    if name not in KNOWN:
        raise JsslError(
            f'--synthetic does not know how many images there are of config.data={name!r}; choose '
            f'a config for one of {", ".join(KNOWN)}, such as simclr:imagenet, or leave '
            '--synthetic out.'
        )
    number, classes = KNOWN[name]
    noise = dict(type=f'{__name__}:Noise', number=number, num_classes=classes)
    data = noise | dict(side=config['canvas'])
    return {**config, 'data': data, 'test_data': None, 'probe_data': None}
