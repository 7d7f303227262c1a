"""Whether a config that was carried over can be built, traced in shapes as a run would be."""

import dataclasses
from collections.abc import Mapping
from typing import Annotated, Any

import jax
import jax.numpy as jnp

from jssl.algorithm import Run
from jssl.components import build, build_at
from jssl.data.canvas import Canvas
from jssl.interop.configs.optimizer import Rules
from jssl.interop.configs.parameters import differing, parameters, used
from jssl.interop.model_dicts import class_of
from jssl.kinds import VIEW
from jssl.reference import reference_of

Config = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Checked:
    """What was found.

    Attributes:
      keys: the `custom_keys` that pick a parameter of the model.
      differing: the names of parameters that they treat otherwise than the reference does.
    """

    keys: dict[str, Config]
    differing: list[str]


def check(
    config: Mapping[str, Any],
    rules: Rules,
    keys: Mapping[str, Config],
    vectors: Config,
    images: int | None,
) -> Checked:
    """Builds the parts of a config, and asks whether the rules pick the same parameters.

    Args:
      config: the sections, without rules for single parameters.
      rules: of the reference.
      keys, vectors: the same as `custom_keys` and `vectors`, so it is hoped.
      images: how many there are to train on, if it is known.

    Raises:
      JsslError: parts do not fit together, or a field has a value that it cannot have.
    """
    shapes, algorithm = _shapes(config, images or config['batch_size'])
    found = parameters(shapes, algorithm)
    kept = used(keys, found)
    build('optimizer', config['optimizer'] | {'custom_keys': kept, 'vectors': vectors})
    schedule = build('schedule', config['schedule'])
    schedule(1.0, steps_per_epoch=1, epochs=config['epochs'])
    build_at('eval_view', Annotated[Any, VIEW], config['eval_view'])
    return Checked(kept, differing(rules, kept, vectors, shapes, found))


def _shapes(config: Mapping[str, Any], images: int) -> tuple[Any, Any]:
    """The parameters as shapes, and the algorithm."""
    steps = max(images // config['batch_size'], 1)
    run = Run(samples=images, steps_per_epoch=steps, epochs=config['epochs'])
    algorithm = dataclasses.replace(build('model', _without_weights(config['model'])), run=run)
    views = build_at('views', Annotated[Any, VIEW], config['views'])
    side, rows = config['canvas'], config['batch_size']

    def init(rng: jax.Array) -> Any:
        canvas = Canvas(
            jnp.zeros((rows, side, side, 3), jnp.uint8), jnp.full((rows, 2), side, jnp.int32)
        )
        batch = jax.vmap(views)(jax.random.split(rng, rows), canvas)
        batch |= {'index': jnp.zeros(rows, jnp.int32), 'label': jnp.zeros(rows, jnp.int32)}
        return algorithm.init(rng, batch)[0]

    return jax.eval_shape(init, jax.random.key(0)), algorithm


def _without_weights(part: Mapping[str, Any]) -> Config:
    """A model whose frozen parts are drawn: their files need not be there yet."""
    made = {}
    for key, value in part.items():
        made[key] = _without_weights(value) if isinstance(value, Mapping) else value
    if 'type' in part and reference_of(class_of(part['type'])).initial == 'weights':
        made.pop('weights', None)
    return made
