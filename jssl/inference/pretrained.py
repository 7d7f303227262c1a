"""A trained network: images in, features out."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from numpy.typing import NDArray

from jssl.algorithm import Algorithm, Batch, Params, State
from jssl.checks import Count, check_value
from jssl.data.loading.loader import THREADS
from jssl.errors import JsslError
from jssl.evaluation.features import EvalView, Extract, make_extractor
from jssl.inference.images import as_images, batch_of, on_canvas
from jssl.inference.layers import POOLED, Layer, make_outputs
from jssl.training import sharding

BATCH = 64  # images computed at a time
Metadata = Mapping[str, str]


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """What `jssl.load` gives.

    Attributes:
      algorithm: that trained the network; of a file with a backbone alone a `Frozen`.
      params: its parameters; of a file those of the backbone alone.
      state: what it carries besides, such as `batch_stats`.
      view: how an image is prepared, such as `CenterView`.
      canvas: side in pixels of the square that larger images are shrunk to before, as in training.
      channels: of an image: 3 for RGB, 1 for grey.
      config: of the run, or what the file says of it.
      metadata: what files with its weights say of it, see `jssl.interop.metadata`.
    """

    algorithm: Algorithm
    params: Params = dataclasses.field(repr=False)
    state: State = dataclasses.field(repr=False)
    view: EvalView
    canvas: int
    channels: int = 3
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    metadata: Metadata = dataclasses.field(default_factory=dict, repr=False)

    @property
    def backbone(self) -> nn.Module:
        """The Flax module, images (B, H, W, C) -> tuple of features.

        Raises:
          JsslError: the algorithm has none.
        """
        found = getattr(self.algorithm, 'backbone', None)
        if found is None:
            raise JsslError(
                f'{type(self.algorithm).__name__} has no part called backbone; take its algorithm '
                'and params.'
            )
        return found

    def features(
        self, images: Any, *, layer: Layer = POOLED, batch_size: int = BATCH
    ) -> NDArray[np.floating]:
        """Features of images, in their order, on the host.

        Images are prepared as in the evaluation of the run: shrunk to the canvas, then the view
        (resize, crop, mean and deviation). They are computed batch by batch on all devices of this
        host, so that any number of them fits.

        Args:
          images: one image or many, of any size, grey or RGB: an array of NumPy or JAX, (H, W),
            (H, W, C) or a batch (N, H, W, C), uint8 from 0 to 255 or floats from 0 to 1; a picture
            of Pillow; the path or the bytes of an image file; or a list of any of these.
          layer: 'pooled', 'class_token', 'patch_mean', 'patches', 'map', or the number of a stage
            or block; see `make_outputs`.
          batch_size: images computed at a time.

        Returns:
          Float32 (N, D), or (N, h, w, C) of a map, (N, h * w, C) of patches; without the leading
          axis for a single image.

        Raises:
          JsslError: an image that is none, or a layer that the backbone does not have.

        Examples:
          >>> import jssl, numpy as np
          >>> network = jssl.load('runs/first')  # doctest: +SKIP
          >>> network.features(['a.jpg', 'b.png']).shape  # doctest: +SKIP
          (2, 64)
        """
        check_value('batch_size', batch_size, Count)
        listed, single = as_images(images)
        length = min(batch_size, 1 << (len(listed) - 1).bit_length())
        padded = [*listed, *listed[-1:] * (-len(listed) % length)]  # few shapes to compile for
        found = self.extract(layer)(*self.placed, self._batches(padded, length)).features
        return found[0] if single else found[: len(listed)]

    def save(self, path: Path | str) -> Path:
        """Writes the backbone to a .safetensors or .npz file that `jssl.load` reads by itself.

        Returns:
          The path.

        Raises:
          JsslError: another ending, or it cannot be written.
        """
        from jssl.interop.exporters import packed, write

        return write(path, packed(self.algorithm, self.params, self.state, self.metadata))

    def extract(self, layer: Layer = POOLED) -> Extract:
        """``extract(params, state, batches)``, compiled once for each layer and shape."""
        if layer not in self._compiled:
            outputs = make_outputs(self.algorithm, layer)
            where = sharding.batch_sharding(self._mesh)
            self._compiled[layer] = make_extractor(
                self.algorithm, self.view, where, outputs=outputs
            )
        return self._compiled[layer]

    @functools.cached_property
    def placed(self) -> tuple[Params, State]:
        """Parameters and state on every device of this host."""
        return jax.device_put((self.params, self.state), sharding.replicated(self._mesh))

    @functools.cached_property
    def _compiled(self) -> dict[Layer, Extract]:
        return {}

    @functools.cached_property
    def _mesh(self) -> jax.sharding.Mesh:
        return sharding.local_mesh()

    def _batches(self, images: Sequence[Any], length: int) -> Iterator[Batch]:
        place = functools.partial(on_canvas, canvas=self.canvas, channels=self.channels)
        with ThreadPoolExecutor(THREADS, thread_name_prefix='jssl-features') as pool:
            for first in range(0, len(images), length):
                yield batch_of(list(pool.map(place, images[first : first + length])))


@dataclasses.dataclass(frozen=True)
class Frozen(Algorithm):
    """A backbone whose weights stay as they are: features, and nothing to train."""

    backbone: nn.Module

    def init(self, rng: jax.Array, batch: Batch) -> tuple[Params, State]:
        """Fresh parameters for images shaped like the first view, to be replaced."""
        variables = self.backbone.init(rng, batch['views'][0], train=False)
        stats = variables.get('batch_stats', {})
        params = {'backbone': variables.get('params', {})}
        return params, {'batch_stats': {'backbone': stats}} if stats else {}
