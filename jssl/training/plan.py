"""When a run logs, evaluates and saves."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """When things happen, in steps.

    Attributes:
      steps: length of the run.
      steps_per_epoch: what an epoch is.
      log_every: between two lines of metrics.
      evaluate_every: between two evaluations; the last step is always evaluated.
      save_every: between two checkpoints; the last step is always saved.
    """

    steps: int
    steps_per_epoch: int
    log_every: int
    evaluate_every: int
    save_every: int

    def due(self, every: int, step: int) -> bool:
        """Whether what happens `every` so many steps happens after `step`."""
        return step == self.steps or step % every == 0

    def logs(self, step: int) -> bool:
        """Whether a line of metrics is written after `step`."""
        return self.due(self.log_every, step) or self.pauses(step)

    def pauses(self, step: int) -> bool:
        """Whether the loop waits for the device after `step`, to evaluate or to save."""
        return self.due(self.evaluate_every, step) or self.due(self.save_every, step)
