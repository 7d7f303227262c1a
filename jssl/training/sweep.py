"""Several settings of one experiment, trained together: one program that takes a step of each.

The step of every setting is traced, the numbers in which they differ become an argument
(`jssl.training.lifting`), and the program goes over the lanes (`jssl.training.lanes`). No lane sees
another.
"""

import dataclasses
import functools
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Batch, TrainState
from jssl.errors import JsslError, in_words
from jssl.training.experiment import Experiment
from jssl.training.lanes import Lanes, lanes_of
from jssl.training.lifting import Lifted, OtherProgram, lift
from jssl.training.settings import STOP
from jssl.training.shapes import EPOCHS, check_shapes, step_inputs
from jssl.training.step import plain_train_step

SEED = 'seed'
VARYING = ('model', 'optimizer', 'schedule', 'views', SEED)  # sections whose fields may
# What the lanes have in common and costs something to find.
SHARED = ('bad_samples', 'arrays', 'listings', 'state_shapes', 'feature_dim', 'test_classes')
Setting = Mapping[str, Any]  # of a lane: field of the config, such as 'optimizer.lr' -> value


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """The experiments of a sweep, which differ in their settings alone.

    Attributes:
      lanes: one experiment for each setting.
      settings: of each lane, the same fields in all.

    Raises:
      JsslError: a field that cannot vary, by what it is or by what it does to the program, or an
        experiment of which no sweep can be made; says what to do instead.
    """

    lanes: Sequence[Experiment]
    settings: Sequence[Setting]

    def __post_init__(self) -> None:
        """Refuses what cannot be trained together, before anything is traced."""
        for field in self.settings[0]:
            if field.partition('.')[0] not in VARYING:
                what = f'only fields of {", ".join(VARYING[:-1])} and the {SEED} can'
                raise self._refusal(field, f'cannot vary in a sweep: {what}')
        self._check_experiment()

    def _check_experiment(self) -> None:
        first = self.lanes[0]
        if jax.process_count() > 1:
            raise JsslError('A sweep is one process on one device; leave out --distributed.')
        if first.mesh.size > 1:
            raise JsslError(
                f'A sweep trains on one device, and there are {first.mesh.size}; add '
                '--config.mesh.devices=1.'
            )
        if any(lane.runtime.non_finite != STOP for lane in self.lanes):
            raise JsslError(
                'A sweep stops a lane whose numbers are not finite; leave config.non_finite at '
                f'{STOP!r}.'
            )
        if not first.loader.resident:
            raise JsslError(
                'A sweep gathers the batches of its lanes from a data set that is kept on the '
                'device; add --config.resident=yes, or run the settings in turn if it is too large.'
            )
        if any(map(first.algorithm.refreshes, range(min(first.epochs, EPOCHS)))):
            raise JsslError(
                f'{type(first.algorithm).__name__} does something between epochs on the features '
                'of all images, which a sweep does not; leave out --sweep and run the settings in '
                'turn.'
            )

    def check(self) -> None:
        """Traces the step, the first state and the features of every setting.

        Raises:
          JsslError: a field changes more of them than numbers.
        """
        _ = self._initial_state, self._step  # whose inputs are of the first lane's state
        if any(field.partition('.')[0] == 'model' for field in self.settings[0]):
            self._traced('the features', self._check_features)

    def share(self) -> None:
        """Lets all lanes use what the first one knows of the data and of shapes."""
        for lane in self.lanes[1:]:
            vars(lane).update({name: getattr(self.lanes[0], name) for name in SHARED})

    @functools.cached_property
    def programs(self) -> list[int]:
        """The first lane of each program: lanes that differ in the seed alone have one together."""
        keys = [self._key(setting) for setting in self.settings]
        return [lane for lane, key in enumerate(keys) if keys.index(key) == lane]

    @functools.cached_property
    def program_of(self) -> np.ndarray:
        """Of each lane (K,), its number among `programs`."""
        keys = [self._key(self.settings[lane]) for lane in self.programs]
        return np.array([keys.index(self._key(setting)) for setting in self.settings])

    @staticmethod
    def _key(setting: Setting) -> list[Any]:
        return [value for field, value in setting.items() if field != SEED]

    def make_state(self, lane: int) -> TrainState:
        """The state of a lane before the first step: that of its own run."""
        lifted, start = self._initial_state
        seed = np.uint32(self.lanes[lane].runtime.seed)
        return start(lifted.of(self.program_of[lane]), seed)

    @functools.cached_property
    def _initial_state(self) -> tuple[Lifted, Callable[..., TrainState]]:
        cpu = self.lanes[0].mesh.devices.flat[0].platform == 'cpu'
        options = {'xla_backend_optimization_level': 0} if cpu else None  # see `Experiment`
        seed = jax.ShapeDtypeStruct((), jnp.uint32)
        lifted = self._lifted('the first state', lambda lane: lane.initial_state, seed)
        where = self.lanes[0].state_shardings
        return lifted, jax.jit(lifted.call, out_shardings=where, compiler_options=options)

    @functools.cached_property
    def _step(self) -> Lifted:
        return self._lifted(
            'the train step',
            lambda lane: plain_train_step(
                lane.algorithm, lane.views, lane.transformation, accumulate=lane.accumulate
            ),
            *step_inputs(self.lanes[0]),
        )

    @functools.cached_property
    def together(self) -> Lanes:
        """How the lanes take their steps: that of `make_train_step`, in one program."""
        return lanes_of(*self.program, self.lanes[0].state_shardings)

    @property
    def program(self) -> tuple[Callable[..., Any], list[np.ndarray]]:
        """The step of a lane, ``call(numbers, state, batch, data)``, and the numbers of all."""
        return self._step.call, [values[self.program_of] for values in self._step.numbers]

    def batches(self, done: int) -> Iterator[Sequence[Batch]]:
        """The rows of the batches of all lanes after so many steps, each in its own order."""
        return zip(*(lane.loader.iterate(done) for lane in self.lanes), strict=True)

    def _check_features(self, lanes: Sequence[int]) -> None:
        """Refuses lanes whose networks give other features of the same parameters."""

        def features(lane: Experiment) -> Callable[..., Any]:
            extract = lane.algorithm.extract_feat
            return lambda state, image: extract(state.params, state.state, image)

        image = jax.eval_shape(self.lanes[0].empty_image)
        functions = [features(self.lanes[lane]) for lane in lanes]
        if lift(functions, self.lanes[0].state_shapes, image).numbers:
            raise OtherProgram('numbers in the network differ, by which it would be evaluated')

    def _lifted(
        self, what: str, make: Callable[[Experiment], Callable[..., Any]], *inputs: Any
    ) -> Lifted:
        """The function that `make` gives of each program's experiment, as one."""
        return self._traced(
            what, lambda lanes: lift([make(self.lanes[lane]) for lane in lanes], *inputs)
        )

    def _traced(self, what: str, trace: Callable[[Sequence[int]], Any]) -> Any:
        """What `trace` gives for all programs; where it cannot, names the field that is why."""
        try:
            return trace(self.programs)
        except Exception as error:  # whatever a lane raises with what belongs to the first
            for lane in self.programs[1:]:
                fields = self._changed(lane)
                try:
                    trace([0, lane])
                except Exception as found:
                    check_shapes(self.lanes[lane])  # where it is wrong by itself, says so better
                    is_ours = isinstance(found, OtherProgram)
                    why = str(found) if is_ours else in_words(found, where=False)
                    said = f'changes {what} by more than numbers ({why})'
                    raise self._refusal(' and '.join(fields), said) from None
            if not isinstance(error, OtherProgram):
                raise
            raise JsslError(f'The settings of the sweep change {what}: {error}.') from None

    def _changed(self, lane: int) -> list[str]:
        """The fields in which a lane differs from the first, but for the seed."""
        first, other = self.settings[0], self.settings[lane]
        return [field for field in first if field != SEED and first[field] != other[field]]

    def _refusal(self, field: str, said: str) -> JsslError:
        """Why a field cannot vary, and how its values are tried in turn."""
        names = field.split(' and ')
        tried = dict.fromkeys(
            ' '.join(_typed(name, setting[name]) for name in names) for setting in self.settings
        )
        return JsslError(
            f'config.{field} {said}. Take it out of --sweep and run its values in turn, each with '
            f'a --workdir of its own: {", then ".join(tried)}.'
        )


def _typed(field: str, value: Any) -> str:
    """The argument that gives a field a value, as a shell takes it."""
    text = value if isinstance(value, str) and value.isidentifier() else repr(value)
    return shlex.quote(f'--config.{field}={text}')
