"""A run of twelve steps on an algorithm of a user's own that compiles in a moment."""

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jssl
from jssl.data import Arrays, Canvas
from jssl.fitting.evaluating import RunEvaluator
from jssl.fitting.fit import train
from jssl.optim.optimizers import SGD
from jssl.optim.schedules import Constant
from jssl.runs.metrics import METRICS, read_metrics
from jssl.runs.progress import Progress
from jssl.training.settings import Checkpoint, Evaluate, MeshShape, Runtime

STEPS, EPOCH = 12, 4
CLOCKS = (
    'time',
    'seconds',
    'images_per_second',
    'data_wait',
)  # no two runs have them in common


@dataclasses.dataclass(frozen=True)
class Toy(jssl.Algorithm):
    """Features are a linear map of the pixels, under a name of the user's choice."""

    width: int = 8
    part: str = 'backbone'
    collapsed: bool = False

    def init(self, rng: jax.Array, batch: Any) -> tuple[Any, Any]:
        pixels = batch['views'][0][0].size
        return {self.part: {'kernel': jax.random.normal(rng, (pixels, self.width)) / 8}}, {}

    def extract_feat(self, params: Any, state: Any, images: jax.Array) -> jax.Array:
        features = images.reshape(len(images), -1) @ params[self.part]['kernel']
        return jnp.ones_like(features) + 1e-6 * features if self.collapsed else features

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        features = self.extract_feat(params, state, batch['views'][0])
        return jnp.mean(features**2), (state, {})


@dataclasses.dataclass(frozen=True)
class At(Constant):
    """A constant rate that does something when that of `step` is logged, once in a process."""

    step: int = 0
    act: Callable[[], None] = dataclasses.field(default=lambda: None, repr=False)

    def __call__(self, base_lr: float, *, steps_per_epoch: int, epochs: float) -> Any:
        rate = super().__call__(base_lr, steps_per_epoch=steps_per_epoch, epochs=epochs)

        def schedule(step: Any) -> Any:
            if isinstance(step, int) and step == self.step - 1:
                self.act()
            return rate(step)

        return schedule


class Once:
    """Sends this process a signal the first time it is called."""

    def __init__(self, number: int = signal.SIGTERM) -> None:
        self.number: int | None = number

    def __call__(self) -> None:
        number, self.number = self.number, None
        if number is not None:
            os.kill(os.getpid(), number)
            time.sleep(0.01)


def stopped_in(step: int) -> At:
    """Sends SIGTERM while step `step` runs, when that before it is logged."""
    return At(step=step - 1, act=Once())


def view(canvas: Canvas) -> jax.Array:
    return canvas.pixels.astype(jnp.float32) / 255


def views(key: jax.Array, canvas: Canvas) -> dict[str, Any]:
    return {'views': (view(canvas),)}


def images(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), np.uint8)


def experiment(
    algorithm: jssl.Algorithm | None = None, log_every: int = 1, **changes: Any
) -> jssl.Experiment:
    """Three epochs of four steps on one device, evaluated and saved after each."""
    settings: dict[str, Any] = {
        'algorithm': algorithm or Toy(),
        'data': Arrays(images(64, 0)),
        'test_data': Arrays(images(32, 1)),
        'canvas': 8,
        'views': views,
        'eval_view': view,
        'optimizer': SGD(lr=1e-3),
        'schedule': At(),
        'batch_size': 16,
        'epochs': STEPS // EPOCH,
        'runtime': Runtime(
            log_every=log_every,
            evaluate=Evaluate(every_epochs=1),
            checkpoint=Checkpoint(keep=9),
            mesh=MeshShape(devices=1),
        ),
    }
    return jssl.Experiment(**settings | changes)


def trained(found: jssl.Experiment, directory: Path) -> RunEvaluator:
    """Trains in `directory`, from where the last run in it stopped, without what follows."""
    directory.mkdir(exist_ok=True)
    with Progress(found.plan.steps) as progress:
        evaluator = RunEvaluator(found, progress.print)
        train(found, evaluator, directory, progress)
    return evaluator


def numbers(directory: Path) -> list[dict[str, Any]]:
    """The run's metrics without clocks."""
    rows = read_metrics(directory / 'metrics.jsonl')
    return [{name: row[name] for name in row if name not in CLOCKS} for row in rows]


def took_steps(workdir: Path, count: int = 1) -> None:
    """What a run leaves that has taken so many steps and saved none."""
    lines = [f'{{"step": {step}, "kind": "step"}}\n' for step in range(count + 1)]
    (workdir / METRICS).write_text(''.join(lines))
