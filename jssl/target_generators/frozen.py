"""Networks that make targets and are not trained, with weights from a file.

An algorithm keeps their weights in its state, so that a checkpoint is complete and no weight is a
constant of the compiled step.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jssl.checks import Checked
from jssl.errors import JsslError
from jssl.paths import expanded
from jssl.reference import Reference
from jssl.weights.files import conversion, read_weights
from jssl.weights.names import load_tree

Tree = Mapping[str, Any]


class FrozenGenerator(Checked, nn.Module):
    """A network with published weights.

    Attributes:
      weights: .safetensors or .npz file with the names and layouts of the published one; None
        draws them at random, which is of use to tests alone.
    """

    weights: str | None = None

    published: ClassVar[str] = ''  # where

    reference: ClassVar[Reference] = Reference(initial='weights')

    @nn.nowrap
    def load(self, shapes: Tree) -> Tree:
        """The weights of the file in the place of `shapes`.

        Raises:
          JsslError: if the file is missing or belongs to another network; says where it is
            published and how to convert it.
        """
        path = expanded(str(self.weights))
        if not os.path.isfile(path):
            name = self.published.rpartition('/')[2]
            raise JsslError(
                f'config.model.target_generator.weights={self.weights!r} is not there. The weights '
                f'of {type(self).__name__} are published at {self.published}; download them and '
                f'run {conversion(name, path)}'
            )
        try:
            loaded = load_tree(self.rename(read_weights(path)), shapes)
        except JsslError as error:
            raise JsslError(
                f'config.model.target_generator.weights={self.weights!r}: {error}'
            ) from error
        return jax.tree.map(lambda value, like: value.astype(like.dtype), loaded, shapes)

    @nn.nowrap
    def rename(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The published entries that this network has, under the names of its own parameters."""
        raise NotImplementedError(f'{type(self).__name__} must define rename(weights)')


def init_generator(generator: Callable[..., Any], rng: jax.Array, images: jax.Array) -> Tree:
    """What a target generator adds to an algorithm's state.

    Args:
      generator: a Flax module, or a pure function of images.
      rng: for weights that are drawn.
      images: as `generate` will get them; only their shape matters.

    Returns:
      ``{'target_generator': weights}``, or nothing for a pure function.
    """
    if not isinstance(generator, nn.Module):
        return {}
    images = jnp.zeros(images.shape, jnp.float32)
    if getattr(generator, 'weights', None) is None:
        return {'target_generator': generator.init(rng, images)['params']}
    shapes = jax.eval_shape(generator.init, rng, images)['params']
    return {'target_generator': generator.load(shapes)}


def generate(generator: Callable[..., Any], state: Tree, images: jax.Array) -> Any:
    """The targets of `images` (B, H, W, C), without gradient and in at least float32.

    Which of two close tokens wins should not depend on the precision that the rest of a model
    computes in. A network's products are those of losses (`jssl.layers.widen`), on GPUs of TF32 as
    convolutions are in PyTorch by default: with the highest precision the tokenizer of CAE takes
    six times as long as all else on a GPU. A function's are exact.

    Args:
      generator: as for `init_generator`.
      state: of the algorithm; `target_generator` holds the weights.
      images: as the generator expects them.
    """
    images = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    if not isinstance(generator, nn.Module):
        with jax.default_matmul_precision('highest'):
            return jax.lax.stop_gradient(generator(images))
    weights = jax.tree.map(lambda w: w.astype(images.dtype), state['target_generator'])
    with jax.default_matmul_precision('high'):
        return jax.lax.stop_gradient(generator.apply({'params': weights}, images))
