"""jssl: self-supervised visual pre-training in JAX.

`jssl.fit` trains and `jssl.load` opens what was trained; `jssl.Algorithm` is what to subclass for a
loss of one's own, and `jssl.make_train_step` gives the compiled step for a loop of one's own.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jssl.errors import JsslError as JsslError

if TYPE_CHECKING:
    from jssl import losses as losses
    from jssl.algorithm import Algorithm as Algorithm
    from jssl.algorithm import Run as Run
    from jssl.algorithm import TrainState as TrainState
    from jssl.fitting.fit import fit as fit
    from jssl.inference.load import load as load
    from jssl.training.callbacks import Callback as Callback
    from jssl.training.callbacks import StopTraining as StopTraining
    from jssl.training.experiment import Experiment as Experiment
    from jssl.training.step import init_train_state as init_train_state
    from jssl.training.step import make_train_step as make_train_step

__version__ = '0.1.0'

_HOMES = {
    'Algorithm': 'jssl.algorithm',
    'Run': 'jssl.algorithm',
    'TrainState': 'jssl.algorithm',
    'Callback': 'jssl.training.callbacks',
    'StopTraining': 'jssl.training.callbacks',
    'Experiment': 'jssl.training.experiment',
    'fit': 'jssl.fitting.fit',
    'load': 'jssl.inference.load',
    'init_train_state': 'jssl.training.step',
    'make_train_step': 'jssl.training.step',
}


__all__ = ('JsslError', 'losses', *_HOMES)


def __dir__() -> list[str]:
    """What completion offers: the public names, imported or not."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """The public names, each imported when it is first used, so that `import jssl` is quick."""
    if name == 'losses':
        return importlib.import_module('jssl.losses')
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module(_HOMES[name]), name)
