"""Runs of any algorithm in processes of their own, which end in the middle of a step."""

import dataclasses
import functools
import hashlib
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import jssl
from jssl.algorithm import TrainState
from jssl.data import Arrays, Canvas
from jssl.fitting.evaluating import RunEvaluator
from jssl.fitting.fit import train
from jssl.interrupts import Interrupted
from jssl.optim.optimizers import AdamW
from jssl.optim.schedules import Constant
from jssl.runs.progress import Progress
from jssl.training.settings import Checkpoint, Evaluate, MeshShape, Runtime
from tests.algorithms import runs
from tests.algorithms.test_contract import BUILDERS, CLASSES, plain
from tests.algorithms.tiny_models import BATCH, IMAGES, SIDE

EPOCHS = 8
STEPS = EPOCHS * IMAGES // BATCH
EVALUATED = 12  # a step that an evaluation follows
HASH = 'state.sha256'  # in the directory of a run that has ended
SAID = 'said.txt'  # there too: all lines of all its processes
OFF = 0.1  # seconds within which a kill comes: in a step, in a save, between two lines
SERVER = multiprocessing.get_context('forkserver')  # has imported all, and started no JAX
SERVER.set_forkserver_preload(['tests.fitting.kills'])


class Way(NamedTuple):
    """How a run computes."""

    dtype: str | None = None
    accumulate: int = 1
    devices: int = 1


class End(NamedTuple):
    """What ends a process: a signal, so many seconds after the line of a step, or of a later one
    where the process begins later."""

    number: int
    step: int
    after: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told(Constant):
    """A constant rate that tells of every step whose rate is logged."""

    act: Callable[[int], None] = dataclasses.field(default=lambda step: None, repr=False)

    def __call__(self, base_lr: float, *, steps_per_epoch: int, epochs: float) -> Any:
        rate = super().__call__(base_lr, steps_per_epoch=steps_per_epoch, epochs=epochs)

        def schedule(step: Any) -> Any:
            if isinstance(step, int):
                self.act(step + 1)
            return rate(step)

        return schedule


class Ending:
    """Sends this process the signal of an `End`, at the latest when the last step is logged."""

    def __init__(self, end: End) -> None:
        self.end: End | None = end

    def __call__(self, step: int) -> None:
        if self.end is not None and step >= self.end.step:
            end, self.end = self.end, None
            send = functools.partial(os.kill, os.getpid(), end.number)
            if end.after and step < STEPS:
                threading.Timer(end.after, send).start()
            else:
                send()
        elif self.end is None and step == STEPS:
            signal.pause()  # the timer's


def view(canvas: Canvas) -> jax.Array:
    return canvas.pixels.astype(jnp.float32) / 128 - 1


def experiment(name: str, way: Way, act: Callable[[int], None]) -> jssl.Experiment:
    """Eight epochs of three steps; evaluated every four, saved every two steps."""
    classes = np.arange(IMAGES) % CLASSES
    labels = classes if name == 'ImageClassifier' else None
    found = BUILDERS[name]()
    copies = 1 if name == 'ImageClassifier' else runs.VIEWS.get(name, 2)
    return jssl.Experiment(
        algorithm=found,
        data=Arrays(runs.images(), labels),
        test_data=Arrays(runs.images()[:BATCH], None if labels is None else labels[:BATCH]),
        canvas=SIDE,
        views=functools.partial(runs.tinted, copies=copies),
        eval_view=view,
        optimizer=AdamW(lr=1e-3),
        schedule=Told(act=act),
        batch_size=BATCH,
        epochs=EPOCHS,
        dtype=way.dtype,
        accumulate=way.accumulate,
        runtime=Runtime(
            log_every=1,
            evaluate=Evaluate(every_epochs=4),
            checkpoint=Checkpoint(every_steps=2),
            mesh=MeshShape(devices=way.devices),
        ),
    )


def digest(state: TrainState) -> str:
    """A hash of all bits of a state, and of what they are."""
    found = hashlib.sha256()
    for path, leaf in jax.tree.leaves_with_path(plain(state)):
        array = np.asarray(leaf)
        found.update(f'{jax.tree_util.keystr(path)} {array.dtype} {array.shape}'.encode())
        found.update(array.tobytes())
    return found.hexdigest()


def _carry_out(name: str, way: Way, directory: Path, end: End | None) -> None:
    act = (lambda step: None) if end is None else Ending(end)
    found = experiment(name, way, act)
    with (
        (directory / SAID).open('a') as said,
        Progress(STEPS, console=Console(file=said)) as progress,
    ):
        try:
            trained = train(found, RunEvaluator(found, progress.print), directory, progress)
        except Interrupted:
            return
    (directory / HASH).write_text(digest(trained.train_state))


def carry_out(name: str, way: Way, directory: Path, end: End | None = None) -> int | None:
    """A process that trains in `directory` from where the last one ended; its exit code."""
    directory.mkdir(exist_ok=True)
    process = SERVER.Process(target=_carry_out, args=(name, way, directory, end))
    process.start()
    process.join()
    return process.exitcode


def kills(count: int, seed: int) -> list[End]:
    """So many SIGKILLs at random steps, in order, each within a step or a save."""
    choose = random.Random(seed)
    steps = sorted(choose.randint(1, STEPS) for _ in range(count))
    return [End(signal.SIGKILL, step, choose.uniform(0, OFF)) for step in steps]
