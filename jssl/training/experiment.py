"""An experiment: everything that decides what a run computes, and what follows from it directly."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from jssl.algorithm import Algorithm, Run, TrainState
from jssl.checks import Checked, Count, DType, Side
from jssl.data.canvas import Canvas
from jssl.data.loading.identity import Listing
from jssl.data.loading.loader import Batch, Loader, fits_on_device, resident
from jssl.data.loading.samplers import Sampler, Shuffled
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.reading.decoding import check_channels
from jssl.data.sources import (
    Source,
    check_classes,
    check_declared,
    check_same_classes,
    has_labels,
    label_count,
)
from jssl.errors import JsslError, show
from jssl.evaluation.features import EvalView
from jssl.evaluation.metrics import Metric
from jssl.kinds import OPTIMIZER, SCHEDULE
from jssl.optim.optimizers import Optimizer, learning_rate, make_optimizer
from jssl.optim.scheduled import Scheduled
from jssl.optim.schedules import Constant, Schedule, ScheduleFactory
from jssl.precision import with_dtype
from jssl.runs.describe import words_of
from jssl.training import sharding
from jssl.training.plan import Plan
from jssl.training.settings import SKIP, Runtime
from jssl.training.skipping import counting
from jssl.training.step import Step, Views, init_train_state, jit_once, make_train_step


def _is_source(value: Any) -> bool:
    return (
        hasattr(value, '__len__') and hasattr(value, '__getitem__') and not isinstance(value, str)
    )


def _is_made(kind: Any) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


def _is_function(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _are_functions(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(map(_is_function, value))


SOURCE = (_is_source, "a source of images, such as Arrays(images) or Folder('photos')")
PARTS = {
    'algorithm': (_is_made(Algorithm), 'an algorithm that was made, such as SimCLR(...)'),
    'data': SOURCE,
    'test_data': SOURCE,
    'probe_data': SOURCE,
    'views': (_is_function, 'a function (key, canvas) -> dict, such as MultiView(View())'),
    'eval_view': (_is_function, 'a function canvas -> image, such as CenterView()'),
    'optimizer': (
        _is_made(Optimizer | Scheduled | optax.GradientTransformation),
        'an optimizer that was made, such as AdamW(lr=1e-3) or optax.adamw(1e-3)',
    ),
    'schedule': (_is_function, 'a schedule, such as WarmupCosine(warmup_epochs=1)'),
    'sampler': (_is_function, 'a sampler, such as Shuffled()'),
    'metrics': (_are_functions, 'functions (train, test) -> dict of numbers, such as [my_metric]'),
    'pretrained': (_is_made(str), "the path of a run or of weights, '' for none"),
    'layout': (_is_made(str), "the name of a layout of weights, such as 'dino', '' for none"),
    'runtime': (_is_made(Runtime), 'a Runtime, such as Runtime(seed=1)'),
}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Experiment(Checked):
    """What `jssl.fit` carries out.

    Attributes:
      algorithm: anything that fulfils the contract of `jssl.algorithm`.
      data: what to train on; labels are used by classifiers alone.
      views: (key, canvas) of one image -> what it adds to the batch, such as `MultiView`.
      optimizer: its settings, such as `AdamW(lr=1e-3)`; a function of optax that follows the
        schedule, `Scheduled(optax.adamw, lr=1e-3)`; or any optax transformation,
        `optax.adamw(1e-3)`, which has its learning rate in it.
      batch_size: global, over all devices.
      epochs: length of the run.
      canvas: side in pixels of the square that holds a decoded image; larger images are shrunk.
      eval_view: canvas -> image as the evaluation sees it, such as `CenterView`.
      schedule: of the learning rate, such as `WarmupCosine()`; a function of the step, as those of
        optax, multiplies the base rate.
      test_data: held-out images on which the features are judged, by kNN and a linear probe if
        they have labels. Without them only the spread of the training features is watched.
      probe_data: labelled images that kNN and the linear probe learn from, for where `data` has no
        labels or other classes than `test_data`; None takes `data`.
      sampler: which samples an epoch sees, and in which order.
      channels: of an image: 3 for RGB, 1 for grey, 4 for RGBA.
      metrics: what is measured of the features besides kNN and the linear probe: functions
        (train, test) -> dict of numbers, see `jssl.evaluation.Metric`.
      dtype: what the backbone, the neck and the head compute in, such as 'bfloat16', wherever they
        leave it open; parameters, statistics and losses stay float32. None computes in float32.
      accumulate: in how many parts the backbone sees a batch, so that only one part's activations
        are in memory; the loss is that of the whole batch, see `jssl.accumulation`.
      pretrained: whose backbone the run begins with: the directory of a run, a file of weights, or
        a folder of Hugging Face or timm, see docs/guides/weights.md; empty for fresh weights.
      layout: whose names that file has, such as 'dino', where they alone tell another; empty
        recognises it. docs/guides/weights.md lists them.
      runtime: seed, logging, evaluation, checkpoints and devices.

    Raises:
      JsslError: for a batch that is larger than the data or does not divide over the devices, too
        few devices, a warm-up longer than the run, or data to probe with that lack labels or have
        other classes than the test data.
    """

    algorithm: Algorithm
    data: Source
    views: Views
    optimizer: Annotated[Optimizer | Scheduled | optax.GradientTransformation, OPTIMIZER]
    batch_size: Count
    epochs: Count
    canvas: Side
    eval_view: EvalView
    schedule: Annotated[ScheduleFactory | Schedule, SCHEDULE] = Constant()  # noqa: RUF009  a frozen dataclass
    test_data: Source | None = None
    probe_data: Source | None = None
    sampler: Sampler = Shuffled()  # noqa: RUF009
    channels: Count = 3
    metrics: Sequence[Metric] = ()
    dtype: DType | None = None
    accumulate: Count = 1
    pretrained: str = ''
    layout: str = ''
    runtime: Runtime = Runtime()  # noqa: RUF009

    def __post_init__(self) -> None:
        """Refuses, before any compute is spent, what cannot run."""
        self._check_parts()
        super().__post_init__()
        for source in (self.data, self.test_data, self.probe_data):
            if source is not None:
                check_declared(source)
        check_channels(self.channels)
        self._check_probes()
        sharding.check_batch_size(self.batch_size, self.mesh, self.accumulate)
        if self.algorithm.predicts == 'classes' and has_labels(self.data):
            check_classes(self.data)
        run = Run(samples=len(self.data), classes=label_count(self.data), **self._length)
        algorithm = dataclasses.replace(self.algorithm, run=run)
        object.__setattr__(self, 'algorithm', with_dtype(algorithm, self.dtype))
        _ = self.transformation

    def _check_parts(self) -> None:
        for name, (fits, words) in PARTS.items():
            value = getattr(self, name)
            if not fits(value) and not (value is None and name in ('test_data', 'probe_data')):
                raise JsslError(f'Experiment.{name}={show(value)} must be {words}.')

    def _check_probes(self) -> None:
        probe = {'probe_data': self.probe_data, 'test_data': self.test_data}
        for name, source in probe.items() if self.probe_data is not None else ():
            if source is None or not has_labels(source):
                raise JsslError(
                    f'config.probe_data is for kNN and the linear probe, but {name} has no labels; '
                    'give both labelled images, or leave probe_data out.'
                )
        _ = self.test_classes

    @functools.cached_property
    def test_classes(self) -> np.ndarray | None:
        """The label in the probe's data of each class of the test data; None where they agree."""
        if self.test_data is None:
            return None
        return check_same_classes(self.probe_source, self.test_data)

    @property
    def probe_source(self) -> Source:
        """The images that kNN and the linear probe learn from."""
        return self.data if self.probe_data is None else self.probe_data

    @functools.cached_property
    def mesh(self) -> Mesh:
        """The devices of the run."""
        shape = self.runtime.mesh
        return sharding.make_mesh(devices=shape.devices or None, fsdp=shape.fsdp)

    @functools.cached_property
    def loader(self) -> Loader:
        """The batches of this process; row numbers alone where the set is on the device."""
        keep = self.runtime.resident
        return Loader(
            source=self.data,
            batch_size=self.batch_size,
            canvas=self.canvas,
            channels=self.channels,
            seed=self.runtime.seed,
            shards=(jax.process_index(), jax.process_count()),
            threads=self.runtime.threads,
            workers=self.runtime.workers,
            sampler=self.sampler,
            bad_samples=self.bad_samples,
            resident=keep == 'yes'
            or (keep == 'auto' and fits_on_device(len(self.data), self.canvas, self.channels)),
        )

    @functools.cached_property
    def bad_samples(self) -> BadSamples:
        """The training images found broken; `fit` has them reported beside its progress."""
        return BadSamples(len(self.data), self.runtime.bad_samples, print)

    @functools.cached_property
    def listings(self) -> dict[str, Listing]:
        """What the sources hold, by field; the first process alone looks at their files."""
        sources = {part: getattr(self, part) for part in ('data', 'test_data', 'probe_data')}
        stamps = jax.process_index() == 0
        return {
            part: Listing.of(source, stamps=stamps)
            for part, source in sources.items()
            if source is not None
        }

    @functools.cached_property
    def arrays(self) -> Batch | None:
        """The whole training set in memory, None where batches are decoded as they are needed."""
        if not self.loader.resident:
            return None
        return resident(
            self.data,
            self.canvas,
            self.channels,
            self.runtime.threads,
            bad_samples=self.bad_samples,
        )

    @functools.cached_property
    def transformation(self) -> optax.GradientTransformation:
        """The optimizer with its schedule; it counts where steps are left out."""
        made = make_optimizer(
            self._rated,
            self.schedule,
            is_frozen=self.algorithm.is_frozen,
            get_layer_depth=self.algorithm.get_layer_depth,
            **self._length,
        )
        return counting(made) if self.runtime.non_finite == SKIP else made

    @property
    def _rated(self) -> Optimizer | Scheduled | optax.GradientTransformation:
        """The optimizer, its rate that for the batch of the run."""
        if isinstance(self.optimizer, Optimizer):
            return self.optimizer.for_batch(self.batch_size)
        return self.optimizer

    @property
    def rate(self) -> Schedule | None:
        """Step (from 0) -> learning rate of a parameter without a multiplier, where it is known."""
        return learning_rate(self._rated, self.schedule, **self._length)

    @property
    def plan(self) -> Plan:
        """When the loop logs, evaluates and saves."""
        epoch = self.loader.steps_per_epoch
        steps = epoch * self.epochs
        return Plan(
            steps=steps,
            steps_per_epoch=epoch,
            log_every=self.runtime.log_every,
            evaluate_every=epoch * self.runtime.evaluate.every_epochs or steps,
            save_every=self.runtime.checkpoint.every_steps or epoch,
        )

    @property
    def _length(self) -> dict[str, int]:
        return {'steps_per_epoch': self.loader.steps_per_epoch, 'epochs': self.epochs}

    def make_state(self) -> TrainState:
        """The state before the first step, on the devices."""
        return self.jit_once(self._initial_state, out_shardings=self.state_shardings)()

    def jit_once(self, function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
        """`jax.jit` for what a run computes once; `options` are those of `jax.jit`."""
        return jit_once(function, self.mesh.devices.flat[0].platform, **options)

    @functools.cached_property
    def _initial_state(self) -> Callable[[], TrainState]:
        """Traced once, for its shapes and for itself."""
        return jax.jit(self.initial_state)

    def initial_state(self, seed: jax.Array | None = None) -> TrainState:
        """The state before the first step; trace it with `jax.jit` or `jax.eval_shape`.

        Args:
          seed: uint32 scalar; None takes that of the runtime.
        """
        return init_train_state(
            self.algorithm,
            self.views,
            self.transformation,
            self.empty_batch(),
            seed=self.runtime.seed if seed is None else seed,
        )

    def empty_batch(self) -> dict[str, Any]:
        """A batch of the right shapes; XLA drops it, since parameters do not depend on it."""
        rows, side = self.batch_size, self.canvas
        batch = {
            'canvas': Canvas(
                jnp.zeros((rows, side, side, self.channels), jnp.uint8),
                jnp.full((rows, 2), side, jnp.int32),
            ),
            'index': jnp.zeros(rows, jnp.int32),
        }
        return batch | ({'label': batch['index']} if has_labels(self.data) else {})

    @functools.cached_property
    def state_shapes(self) -> TrainState:
        """The train state as shapes, traced once."""
        return jax.eval_shape(self._initial_state)

    @functools.cached_property
    def feature_dim(self) -> int:
        """The width of the features that are judged, found without computing one."""

        def features(train_state: TrainState) -> jax.Array:
            return self.algorithm.extract_feat(
                train_state.params, train_state.state, self.empty_image()
            )

        return jax.eval_shape(features, self.state_shapes).shape[-1]

    def empty_image(self) -> jax.Array:
        """One image (1, h, w, C) as an evaluation sees it; of zeros, for its shape."""
        side = self.canvas
        pixels = jnp.zeros((side, side, self.channels), jnp.uint8)
        return self.eval_view(Canvas(pixels, jnp.array([side, side])))[None]

    @functools.cached_property
    def state_shardings(self) -> Any:
        """Where each leaf of the train state lives."""
        return sharding.state_shardings(self.state_shapes, self.mesh)

    @functools.cached_property
    def placed_state(self) -> TrainState:
        """The train state as shapes that say where they lie: into it a checkpoint is restored."""
        return jax.tree.map(sharding.placed, self.state_shapes, self.state_shardings)

    @functools.cached_property
    def step(self) -> Step:
        """The compiled train step; one function, so that it is traced once."""
        return make_train_step(
            self.algorithm,
            self.views,
            self.transformation,
            shardings=self.state_shardings,
            accumulate=self.accumulate,
            skip=self.runtime.non_finite == SKIP,
        )

    def describe(self) -> dict[str, Any]:
        """The experiment for the config.json of a run that no config describes.

        Numbers and the fields of the runtime as in a config, and all else in words.
        """
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        runtime = dataclasses.asdict(values.pop('runtime'))
        plain = {name: isinstance(value, int | str | None) for name, value in values.items()}
        said = {name: value if plain[name] else words_of(value) for name, value in values.items()}
        return said | runtime | {'images': len(self.data)}
