"""Optimizers, schedules and parameter groups; usable alone with any optax loop.

Examples:
  >>> import jax.numpy as jnp, optax
  >>> from jssl.optim import LARS, WarmupCosine, make_optimizer
  >>> recipe = LARS(lr=0.3, momentum=0.9, custom_keys={'bias': {'decay_mult': 0.0}})
  >>> schedule = WarmupCosine(warmup_epochs=1)
  >>> optimizer = make_optimizer(recipe, schedule, steps_per_epoch=100, epochs=10)
  >>> params = {'kernel': jnp.ones((2, 2)), 'bias': jnp.zeros(2)}
  >>> state = optimizer.init(params)
  >>> updates, state = optimizer.update(params, state, params)
  >>> params = optax.apply_updates(params, updates)
"""

from jssl.optim.optimizers import LARS as LARS
from jssl.optim.optimizers import SGD as SGD
from jssl.optim.optimizers import AdamW as AdamW
from jssl.optim.optimizers import Optimizer as Optimizer
from jssl.optim.optimizers import TrustRatioLARS as TrustRatioLARS
from jssl.optim.optimizers import learning_rate as learning_rate
from jssl.optim.optimizers import make_optimizer as make_optimizer
from jssl.optim.parameter_groups import ParameterGroup as ParameterGroup
from jssl.optim.parameter_groups import parameter_groups as parameter_groups
from jssl.optim.scheduled import Scheduled as Scheduled
from jssl.optim.schedules import Constant as Constant
from jssl.optim.schedules import MultiStep as MultiStep
from jssl.optim.schedules import TruncatedCosine as TruncatedCosine
from jssl.optim.schedules import WarmupCosine as WarmupCosine
