"""Which checkpoints of a run stay besides the newest ones."""

import dataclasses
import math
from collections.abc import Callable, Sequence

from jssl.runs.metrics import EVALUATION, Row, metrics_of, of_kind


@dataclasses.dataclass(eq=False)
class Keeping:
    """Steps whose checkpoints stay.

    Attributes:
      every: those of multiples of so many steps; 0 for none.
      best: the one with the largest of these scores, such as 'knn', the smallest if a minus stands
        before it; of several the first. Empty for none.
      rows: gives the run's metrics.
      report: is told, once, where an evaluation has no such score.
    """

    every: int = 0
    best: str = ''
    rows: Callable[[], Sequence[Row]] = tuple
    report: Callable[[str], None] = print
    _told: bool = False

    def __call__(self, steps: Sequence[int]) -> set[int]:
        """Those of `steps` that stay.

        Examples:
          >>> Keeping(every=10)([25, 20, 15, 10])
          {10, 20}
        """
        found = {step for step in steps if self.every and step % self.every == 0}
        return found | self._best(steps) if self.best else found

    def _best(self, steps: Sequence[int]) -> set[int]:
        name, sign = self.best.removeprefix('-'), -1 if self.best.startswith('-') else 1
        evaluated = {row['step']: metrics_of(row) for row in of_kind(self.rows(), EVALUATION)}
        scores = {step: sign * found[name] for step, found in evaluated.items() if name in found}
        if evaluated and not scores and not self._told:
            self._told = True
            known = ', '.join(sorted(set().union(*evaluated.values())))
            self.report(
                f'config.checkpoint.keep_best={self.best!r} is no score of this run, which are '
                f'{known}; no checkpoint is kept for it.'
            )
        saved = {step: scores[step] for step in steps if math.isfinite(scores.get(step, math.nan))}
        return {min(saved, key=lambda step: (-saved[step], step))} if saved else set()
