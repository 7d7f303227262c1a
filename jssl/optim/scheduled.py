"""An optimizer of optax, or of one's own, that follows the schedule of the run."""

import dataclasses
from collections.abc import Callable

import optax

from jssl.checks import Checked, NonNegative
from jssl.errors import JsslError, in_words, show
from jssl.optim.schedules import Schedule


@dataclasses.dataclass(frozen=True)
class Scheduled(Checked):
    """What makes an optax transformation, once the learning rate is known over the run.

        Scheduled(functools.partial(optax.lamb, weight_decay=0.01), lr=1e-3)

    In a config it is ``optimizer=dict(type='optax:lamb', learning_rate=1e-3, weight_decay=0.01)``.
    Decay, clipping and groups of parameters are the function's own matter.

    Attributes:
      make: called with ``learning_rate=`` a function of the step, gives the transformation.
      lr: base learning rate.
    """

    make: Callable[..., optax.GradientTransformation]
    lr: NonNegative

    def transformation(self, rate: Schedule) -> optax.GradientTransformation:
        """The transformation whose learning rate at a step is ``rate(step)``.

        Raises:
          JsslError: `make` fails, or gives something else.
        """
        try:
            made = self.make(learning_rate=rate)
        except Exception as error:  # it is the user's
            raise JsslError(f'config.optimizer: {in_words(error)}') from error
        if not isinstance(made, optax.GradientTransformation):
            raise JsslError(
                f'config.optimizer gives {show(made)}; let it give an optax transformation, such '
                'as optax.adamw(learning_rate).'
            )
        return made
