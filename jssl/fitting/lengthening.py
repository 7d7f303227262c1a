"""Whether a run may go on to another end: only where no step that it has taken would be another.

What depends on the length of a run is not looked up in a list: the programs of both lengths are
traced and compared, and of the numbers in which they differ all that follows from them and from the
number of the step alone is computed, for every step done.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from jssl.counts import counted
from jssl.errors import JsslError
from jssl.fitting.outcome import REPORT
from jssl.runs.contents import steps_in
from jssl.runs.workdir import CHECKPOINTS
from jssl.training.experiment import Experiment
from jssl.training.lifting import Evaluation, Lifted, OtherProgram, lift
from jssl.training.shapes import refresh_of, step_inputs
from jssl.training.step import plain_train_step

MOST = 4096  # numbers that an operation on numbers of the step has, at most
AT_ONCE = 4096  # steps


def lengthen(
    experiment: Experiment, report: Callable[[str], None], workdir: Path, epochs: int
) -> None:
    """Lets the run of so many epochs in a directory go on to the end of `experiment`.

    The report of a run that had ended is kept under another name: the run draws a new one.

    Raises:
      JsslError: it has taken more steps than that, or they would have been others.
    """
    done = max(steps_in(workdir / CHECKPOINTS), default=0)
    now = experiment.epochs
    if done > experiment.plan.steps:
        raise JsslError(
            f'The run in {workdir} has taken {counted(done, "step")}, and {counted(now, "epoch")} '
            f'would be {experiment.plan.steps}. Give --config.epochs={epochs}, or more, to go on.'
        )
    if found := changes(dataclasses.replace(experiment, epochs=epochs), experiment, done):
        raise JsslError(
            f'The run in {workdir} has {counted(epochs, "epoch")} and cannot be one of {now}: of '
            f'the {counted(done, "step")} that it has taken {found}. Give '
            f'--config.epochs={epochs}, or begin another run with its weights, '
            f'--workdir={workdir}-{now} --config.pretrained={workdir}.'
        )
    old = workdir / REPORT
    if jax.process_index() == 0 and old.is_file():
        os.replace(old, old.with_stem(f'{old.stem}-{epochs}-epochs'))
    report(
        f'a run of {counted(epochs, "epoch")} goes on to {now}: its {counted(done, "step")} would '
        'be the same'
    )


def changes(before: Experiment, after: Experiment, done: int) -> str:
    """What of the first `done` steps differs between two lengths of a run, in a clause.

    Returns:
      Such as ``the learning rate of step 2 would be 0.2 in place of 0.1``; nothing where all is
      the same.
    """
    if not done:
        return ''
    if found := _rate_changes(before, after, done):
        return found
    epochs = range(-(-done // before.plan.steps_per_epoch))
    refreshed = [list(map(one.algorithm.refreshes, epochs)) for one in (before, after)]
    if refreshed[0] != refreshed[1]:
        return 'other epochs would have begun with a refresh'
    inputs = step_inputs(before)
    programs: list[tuple[str, Callable[[Experiment], Any], Sequence[Any]]] = [
        ('the first state', lambda one: one.initial_state, ()),
        ('the step', _step_of, inputs),
    ]
    if any(refreshed[0]):
        programs.append(('the refresh', refresh_of, inputs[:1]))
    try:
        for name, make, given in programs:
            lifted = lift([make(before), make(after)], *given)
            by_step = name == 'the step'
            found = _numbers_change(lifted, given, done) if by_step else ''
            if found or (lifted.numbers and not by_step):
                return found or f'{name} would be another, by {lifted.sources[0]}'
    except OtherProgram as error:
        return f'{name} would be another program ({error})'
    return ''


def _rate_changes(before: Experiment, after: Experiment, done: int) -> str:
    """Where the learning rate is another, if it is known."""
    if before.rate is None or after.rate is None:
        return ''
    steps = np.arange(done)
    then, now = (np.asarray(one.rate(steps)) for one in (before, after) if one.rate is not None)
    wrong = np.flatnonzero(then != now)
    if not len(wrong):
        return ''
    first = wrong[0]
    return (
        f'the learning rate of step {first + 1} would be {now[first]:.6g} in place of '
        f'{then[first]:.6g}'
    )


def _step_of(experiment: Experiment) -> Callable[..., Any]:
    return plain_train_step(
        experiment.algorithm,
        experiment.views,
        experiment.transformation,
        mesh=experiment.mesh,
        accumulate=experiment.accumulate,
    )


def _numbers_change(lifted: Lifted, inputs: Sequence[Any], done: int) -> str:
    """The first step at which numbers that follow from it and from the length differ, in words."""
    if not lifted.numbers:
        return ''
    traced = jax.make_jaxpr(lifted.call)(lifted.of(0), *inputs)
    counters = [_counts(path, leaf) for path, leaf in jax.tree.leaves_with_path(tuple(inputs))]
    follow = _Following(traced, len(lifted.numbers), counters)
    compute = jax.jit(jax.vmap(follow.values, (None, 0)))
    for start in range(0, done, AT_ONCE):
        steps = jnp.arange(start, min(start + AT_ONCE, done))
        pairs = zip(*(compute(lifted.of(one), steps) for one in (0, 1)), strict=True)
        for (then, now), number in zip(pairs, follow.numbers, strict=True):
            then, now = (np.asarray(value).reshape(len(steps), -1) for value in (then, now))
            same = (then == now) | ((then != then) & (now != now))
            if not same.all():
                step, place = np.argwhere(~same)[0]
                values = f'{now[step, place]:.6g} in place of {then[step, place]:.6g}'
                where = f'{lifted.sources[number]} at step {start + step + 1}'
                return f'what follows from {where} would be {values}'
    return ''


def _counts(path: Any, leaf: Any) -> bool:
    """Whether a leaf of a step's inputs may be the number of steps, as the run, its optimizer or
    its algorithm counts them: all are numbers from 0 up to that of the step."""
    of_state = path[0] == jax.tree_util.SequenceKey(0)
    return of_state and leaf.shape == () and jnp.issubdtype(leaf.dtype, jnp.integer)


class _Following:
    """The part of a program that follows from some numbers and from the number of the step alone.

    Attributes:
      numbers: for each value of `values`, one of the numbers from which it follows.
    """

    def __init__(self, program: ClosedJaxpr, count: int, counters: Sequence[bool]) -> None:
        """Divides a program.

        Args:
          program: its inputs are the numbers, and those of the step.
          count: how many numbers there are.
          counters: which of the others are the number of the step.
        """
        self._program = program
        self._equations: list[Any] = []
        self._inputs = program.jaxpr.invars[:count]
        rest = zip(program.jaxpr.invars[count:], counters, strict=True)
        self._counters = [variable for variable, counts in rest if counts]
        # from which number a variable follows; None where it follows from none
        self._known: dict[Any, int | None] = dict.fromkeys(program.jaxpr.constvars)
        self._known |= dict.fromkeys(self._counters)
        self._known |= {variable: number for number, variable in enumerate(self._inputs)}
        ends = dict.fromkeys(self._divide())
        self._ends = [variable for variable in ends if self._known[variable] is not None]
        self.numbers = [number for end in self._ends if (number := self._known[end]) is not None]

    def _divide(self) -> Iterator[Any]:
        """Collects what can be computed; yields what all else takes of it."""
        for equation in self._program.jaxpr.eqns:
            inputs = [atom for atom in equation.invars if not isinstance(atom, Literal)]
            known = [variable for variable in inputs if variable in self._known]
            small = all(made.aval.size <= MOST for made in equation.outvars)
            if len(known) < len(inputs) or not small or equation.effects:
                yield from known
                continue
            numbers = (self._known[variable] for variable in known)
            number = next((number for number in numbers if number is not None), None)
            self._known |= dict.fromkeys(equation.outvars, number)
            self._equations.append(equation)
        outputs = self._program.jaxpr.outvars
        yield from (
            atom for atom in outputs if not isinstance(atom, Literal) and atom in self._known
        )

    def values(self, numbers: Sequence[Any], step: jax.Array) -> list[jax.Array]:
        """What the rest of the program is given, at a step (from 0)."""
        found = dict(zip(self._program.jaxpr.constvars, self._program.consts, strict=True))
        found |= zip(self._inputs, numbers, strict=True)
        found |= {counter: step.astype(counter.aval.dtype) for counter in self._counters}
        Evaluation({}).run_equations(self._equations, found)
        return [found[end] for end in self._ends]
