"""How a run is carried out, as opposed to what it computes: each field is a key of the config."""

import dataclasses

from jssl.errors import JsslError

RESIDENT = ('auto', 'yes', 'no')


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """When and on how much the features are judged.

    Attributes:
      every_epochs: between two evaluations; 0 evaluates at the end only.
      neighbors: k of the kNN accuracy.
      max_train: images of the training set that kNN and the linear probe see.
    """

    every_epochs: int = 4
    neighbors: int = 20
    max_train: int = 20_000


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """When the run is saved.

    Attributes:
      every_steps: between two checkpoints; 0 saves once an epoch.
      keep: how many of the newest stay.
    """

    every_steps: int = 0
    keep: int = 3


@dataclasses.dataclass(frozen=True)
class MeshShape:
    """On what devices.

    Attributes:
      devices: how many; 0 takes all.
      fsdp: over how many of them parameters and optimizer state are split; 1 replicates.
    """

    devices: int = 0
    fsdp: int = 1


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Everything about a run that is not the experiment.

    Attributes:
      seed: of the initial parameters, the order of the data and all augmentation.
      log_every: steps between two lines of metrics.
      resident: keep the whole data set on the device: 'auto' where it is small, 'yes' or 'no'.
      threads: decode images when the set is not resident, in each worker if there are any; 0
        decodes between the steps.
      workers: processes that decode beside the one that trains; 0 decodes in its threads, which
        is enough up to about 16 cores.
      faults: which share of the data set may be broken, from 0 to 1; broken images are replaced.
      evaluate: when and on how much the features are judged.
      checkpoint: when the run is saved.
      mesh: on what devices.

    Raises:
      JsslError: for a number out of its range or an unknown `resident`.
    """

    seed: int = 0
    log_every: int = 20
    resident: str = 'auto'
    threads: int = 8
    workers: int = 0
    faults: float = 0.01
    evaluate: Evaluate = Evaluate()
    checkpoint: Checkpoint = Checkpoint()
    mesh: MeshShape = MeshShape()

    def __post_init__(self) -> None:
        """Refuses what would fail later."""
        lowest = {
            'seed': (self.seed, 0),
            'log_every': (self.log_every, 1),
            'threads': (self.threads, 0),
            'workers': (self.workers, 0),
            'faults': (self.faults, 0),
            'evaluate.every_epochs': (self.evaluate.every_epochs, 0),
            'evaluate.neighbors': (self.evaluate.neighbors, 1),
            'evaluate.max_train': (self.evaluate.max_train, 1),
            'checkpoint.every_steps': (self.checkpoint.every_steps, 0),
            'checkpoint.keep': (self.checkpoint.keep, 1),
            'mesh.devices': (self.mesh.devices, 0),
        }
        for name, (value, low) in lowest.items():
            if value < low:
                raise JsslError(f'config.{name}={value} must be at least {low}.')
        if self.faults > 1:
            raise JsslError(f'config.faults={self.faults} is a share and must be at most 1.')
        if self.resident not in RESIDENT:
            raise JsslError(f'config.resident={self.resident!r} must be one of {RESIDENT}.')
