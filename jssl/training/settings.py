"""How a run is carried out, as opposed to what it computes: each field is a key of the config."""

import dataclasses

from jssl.checks import Checked, Count, Fraction, Natural, NonNegative, Seed
from jssl.errors import JsslError

RESIDENT = ('auto', 'yes', 'no')
STOP, SKIP, ROLL_BACK = 'stop', 'skip', 'roll_back'
NON_FINITE = (STOP, SKIP, ROLL_BACK)


@dataclasses.dataclass(frozen=True)
class Evaluate(Checked):
    """When and on how much the features are judged.

    Attributes:
      every_epochs: between two evaluations; 0 evaluates at the end only.
      neighbors: k of the kNN accuracy.
      max_train: images of the training set that kNN and the linear probe see.
    """

    every_epochs: Natural = 4
    neighbors: Count = 20
    max_train: Count = 20_000


@dataclasses.dataclass(frozen=True)
class Checkpoint(Checked):
    """When the run is saved.

    Attributes:
      every_steps: between two checkpoints; 0 saves once an epoch.
      keep: how many of the newest stay.
      keep_every: those of multiples of so many steps stay besides; 0 for none.
      keep_best: the one with the largest of these scores stays besides, such as 'knn', or with a
        minus before it the smallest, such as '-my_error'; empty for none.
    """

    every_steps: Natural = 0
    keep: Count = 3
    keep_every: Natural = 0
    keep_best: str = ''


@dataclasses.dataclass(frozen=True)
class MeshShape(Checked):
    """On what devices.

    Attributes:
      devices: how many; 0 takes all.
      fsdp: over how many of them parameters and optimizer state are split; 1 replicates.
    """

    devices: Natural = 0
    fsdp: Count = 1


@dataclasses.dataclass(frozen=True)
class Runtime(Checked):
    """Everything about a run that is not the experiment.

    Attributes:
      seed: of the initial parameters, the order of the data and all augmentation.
      log_every: steps between two lines of metrics.
      resident: keep the whole data set on the device: 'auto' where it is small, 'yes' or 'no'.
      threads: decode images when the set is not resident, in each worker if there are any; 0
        decodes between the steps.
      workers: processes that decode beside the one that trains; 0 decodes in its threads, which
        is enough up to about 16 cores.
      bad_samples: which share of the images may be broken, from 0 to 1; those are replaced.
      non_finite: what follows a loss or a gradient that is not finite: 'stop' ends the run, 'skip'
        leaves the step out, 'roll_back' goes on from the last checkpoint in another order.
      stall_minutes: after so many without a step or another sign of life each process of a job of
        several says where it waits and ends; 0 waits for ever.
      evaluate: when and on how much the features are judged.
      checkpoint: when the run is saved.
      mesh: on what devices.

    Raises:
      JsslError: for a number out of its range, or an unknown `resident` or `non_finite`.
    """

    seed: Seed = 0
    log_every: Count = 20
    resident: str = 'auto'
    threads: Natural = 8
    workers: Natural = 0
    bad_samples: Fraction = 0.01
    non_finite: str = STOP
    stall_minutes: NonNegative = 15.0
    evaluate: Evaluate = Evaluate()
    checkpoint: Checkpoint = Checkpoint()
    mesh: MeshShape = MeshShape()

    def __post_init__(self) -> None:
        """Refuses what would fail later."""
        super().__post_init__()
        for name, known in (('resident', RESIDENT), ('non_finite', NON_FINITE)):
            if getattr(self, name) not in known:
                raise JsslError(f'config.{name}={getattr(self, name)!r} must be one of {known}.')
