"""Checkpoints of a run: saved in the background, checked and restored onto any number of devices.

The only module that knows Orbax. A checkpoint is `checkpoints/<step>/`: Orbax's folder, and a list
of its files, by which `jssl.runs.contents` recognises what is damaged before Orbax reads it.
Whatever is wrong with one, the one before is taken and the user told.
"""

import contextlib
import logging
import shutil
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from flax.traverse_util import unflatten_dict

from jssl.errors import JsslError
from jssl.processes import of_first, on_all, on_first
from jssl.runs.belonging import why_foreign
from jssl.runs.contents import (
    describe,
    first_mismatch,
    intact,
    move_aside,
    not_loaded,
    one_line,
    read_beside,
    read_contents,
    steps_in,
    unusable,
    write_beside,
    write_contents,
)

ITEM = 'train_state'
PARTIAL = '.orbax-checkpoint-tmp'  # ends the name of a folder that Orbax has not finished
SAVE_ERRORS = (OSError, ValueError, RuntimeError)  # of Orbax, tensorstore and JAX's barriers
NONE = -1  # instead of a step


class Checkpoints:
    """The newest `keep` checkpoints of a run; every process of a job calls every method.

    Attributes:
      directory: where they are.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        keep: int = 3,
        kept: Callable[[Sequence[int]], Container[int]] = lambda steps: (),
        data: Mapping[str, Any] = MappingProxyType({}),
        run: str = '',
        config: Mapping[str, Any] = MappingProxyType({}),
        turns: Callable[[], int] | None = None,
        check: Callable[[], None] = lambda: None,
        report: Callable[[str], None] = print,
        saved: Callable[[int, Path], None] = lambda step, path: None,
    ) -> None:
        """Opens `directory`, which is made if need be.

        Args:
          directory: of the checkpoints, shared by all processes.
          keep: how many remain; an older one goes once a newer one is complete.
          kept: of the steps that are saved, those that remain besides, such as `Keeping`.
          data: the identity of the images, whose numbers memories go by (`data.identity`); empty
            where it is not known.
          run: the name of the run: checkpoints of another one are not read; empty for none.
          config: of the run, kept with each checkpoint, see `config_of`; empty for none.
          turns: how often the run has taken another order of the data, see `jssl.runs.orders`; a
            checkpoint of more is refused. None where no step follows.
          check: raises a `JsslError` where the directory is no longer this run's; asked before
            anything is written or removed.
          report: is told on process 0, in one line, of each checkpoint that cannot be read.
          saved: is told on process 0 of each checkpoint that is complete, by step and folder.

        Raises:
          JsslError: the directory cannot be made.
        """
        for logger in ('absl', 'asyncio'):
            logging.getLogger(logger).addFilter(_is_not_orbax)
        self.directory = Path(directory).absolute()
        self._keep, self._kept, self._report, self._data = keep, kept, report, dict(data)
        self._run, self._check, self._told = run, check, saved
        self._turns, self._config = turns, dict(config)
        self._pending: tuple[int, dict[str, str]] | None = None
        self._beside: dict[str, np.ndarray] = {}
        self._unreadable: tuple[int, ...] = ()  # until the next save
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(self.directory, error) from error
        # Not Orbax's manager: it reads what lies there, and ends at the first odd file.
        self._saver = ocp.AsyncCheckpointer(
            ocp.CompositeCheckpointHandler(),
            async_options=ocp.AsyncOptions(post_finalization_callback=self._list_contents),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes; of a save that fails while something else ends the run, it only tells."""
        try:
            self.close()
        except JsslError as failure:
            if error is None:
                raise
            if str(failure) != str(error):
                self._report(str(failure))

    def save(
        self, step: int, train_state: Any, beside: Mapping[str, np.ndarray] = MappingProxyType({})
    ) -> None:
        """Copies `train_state` to the host and writes it in the background.

        On return the buffers may be donated. A step that is saved already is not saved again. A
        save that still runs is waited for. Arrays `beside` the state decide no step.

        Raises:
          JsslError: this save cannot begin or the one before has failed, for example because the
            disk is full; earlier checkpoints are intact. Or the directory is another's by now.
        """
        self.wait()
        if of_first(step in self._saved()):
            return
        on_first(self._make_way, f'Process 0 of this job could not write to {self.directory}.')
        self._unreadable = ()
        self._pending, self._beside = (step, describe(train_state)), dict(beside)
        args = ocp.args.Composite(**{ITEM: ocp.args.StandardSave(train_state)})
        try:
            self._saver.save(self.directory / str(step), args=args)
        except SAVE_ERRORS as error:
            raise self._not_saved(error) from error

    def wait(self) -> None:
        """Returns when the last save is on disk, and the oldest checkpoint has made room for it.

        Raises:
          JsslError: it failed; see `save`.
        """
        if self._pending is None:
            return
        try:
            self._saver.wait_until_finished()
        except SAVE_ERRORS as error:
            raise self._not_saved(error) from error
        step, self._pending = self._pending[0], None
        if jax.process_index() == 0:  # not agreed upon: another error may have ended it elsewhere
            self._clear()
            self._told(step, self.directory / str(step))

    def restore(
        self, target: Any, step: int | None = None, *, before: int | None = None
    ) -> tuple[Any, int] | None:
        """The newest checkpoint that can be read, or that of `step`.

        Damaged ones that are newer are reported. Reading changes nothing in the directory; the next
        save renames them to `unreadable-<step>`.

        Args:
          target: tree of `jax.ShapeDtypeStruct` with shardings, which need not be those of saving.
          step: the only one to try.
          before: only those of earlier steps than this one; None takes all.

        Returns:
          (train state, its step), or None when there is no such checkpoint at all.

        Raises:
          JsslError: there are checkpoints but none can be read, or one is of another model.
        """
        self.wait()
        steps = self._steps()
        if step is not None and step not in steps:
            raise JsslError(
                f'There is no checkpoint of step {step} in {self.directory}, only of {steps}.'
            )
        candidates = steps if step is None else [step]
        candidates = [number for number in candidates if before is None or number < before]
        # The first process looks, so that all of a job read the same.
        whole = intact(
            self.directory, candidates if jax.process_index() == 0 else (), self._tell, self._run
        )
        while (chosen := of_first(next(whole, NONE))) != NONE:
            found = self._read(chosen, target)
            if found is not None:
                damaged = (other for other in candidates if other > chosen)
                self._unreadable = (*dict.fromkeys((*self._unreadable, *damaged)),)
                return found, chosen
        if of_first(len(candidates)):
            raise JsslError(
                f'No checkpoint in {self.directory} can be read (tried {candidates}). Put back a '
                'copy of one, or start again: give another --workdir or delete that folder.'
            )
        return None

    def is_whole(self, step: int) -> bool:
        """Whether the checkpoint of a step is as it was written; tells what is wrong with it."""
        return any(intact(self.directory, [step], self._tell, self._run))

    def beside(self, step: int) -> dict[str, np.ndarray]:
        """What was saved beside the state of a checkpoint that was restored."""
        return read_beside(self.directory / str(step) / ITEM)

    def config_of(self, step: int) -> dict[str, Any]:
        """The config of the run when it saved a checkpoint; empty where that does not say it.

        Raises:
          Damaged: the checkpoint's list of what it holds is not as it was written.
        """
        return dict(read_contents(self.directory / str(step)).get('config', {}))

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint that is not known to be damaged, None without any."""
        return next(iter(self._saved()), None)

    @property
    def steps(self) -> list[int]:
        """Of all checkpoints that are not known to be damaged, newest first."""
        return self._saved()

    def reached_preemption(self, step: int) -> bool:
        """Whether a process of this job was told to stop: true on all of them at the same `step`.

        Call it at every step. Always false without `jax.distributed`; see `signals.StopSignal`.
        """
        return bool(ocp.utils.reached_preemption(step))

    def close(self) -> None:
        """Waits for the last save and ends the threads.

        Raises:
          JsslError: the last save failed and nobody was told yet.
        """
        try:
            self.wait()
        finally:
            self._saver.close()

    def _steps(self) -> list[int]:
        """Of all that looks like a checkpoint, newest first."""
        try:
            return steps_in(self.directory)
        except OSError as error:
            raise unusable(self.directory, error) from error

    def _saved(self) -> list[int]:
        """As `_steps`, without what is known to be damaged."""
        return [step for step in self._steps() if step not in self._unreadable]

    def _list_contents(self) -> None:
        """Lists what the finished folder holds; Orbax calls it just before the folder's rename,
        which an error here prevents."""
        if jax.process_index() != 0 or self._pending is None:
            return
        self._check()
        step, leaves = self._pending
        folder = self.directory / f'{step}{PARTIAL}'
        if not folder.is_dir():  # a file system without rename is written in place
            folder = self.directory / str(step)
        write_beside(folder / ITEM, self._beside)
        turns = self._turns() if self._turns else 0
        known: dict[str, Any] = {'data': self._data, 'run': self._run, 'turns': turns}
        write_contents(folder, ITEM, step=step, leaves=leaves, config=self._config, **known)

    def _make_way(self) -> None:
        """Removes what a killed process left half-written, and renames unreadable checkpoints, so
        that their steps can be saved again."""
        self._check()
        self._remove_partial()
        try:
            for step in self._unreadable:
                move_aside(self.directory / str(step))
        except OSError as error:
            raise unusable(self.directory, error) from error

    def _clear(self) -> None:
        """Removes the oldest checkpoints, and what a save that failed has gone on writing."""
        self._check()
        saved = self._saved()
        kept = self._kept(saved)
        for step in saved[self._keep :]:
            if step not in kept:
                shutil.rmtree(self.directory / str(step), ignore_errors=True)
        self._remove_partial()

    def _remove_partial(self) -> None:
        """Removes what is half-written, while nothing is being saved."""
        for folder in self.directory.glob(f'*{PARTIAL}*'):
            shutil.rmtree(folder, ignore_errors=True)

    def _read(self, step: int, target: Any) -> Any | None:
        """The train state of a checkpoint whose files are complete, None when Orbax fails at it."""
        folder, found, refusal = self.directory / str(step), None, None
        try:
            turns = self._turns() if self._turns else None
            refusal = why_foreign(folder, target, self._data, turns)
            found = None if refusal else _load(folder, target)
        except Exception as error:  # whatever it raises, there may be one before that can be read
            self._tell(not_loaded(folder, error))
        if refusal:
            raise refusal
        return found if on_all(found is not None) else None

    def _tell(self, line: str) -> None:
        if jax.process_index() == 0:
            self._report(line)

    def _not_saved(self, error: Exception) -> JsslError:
        """The error that tells the user which checkpoint was not written and what to do."""
        step = self._pending[0] if self._pending else None
        self._pending = None
        self._check()  # which says better what is wrong
        latest = self.latest_step()
        intact = 'there is no earlier one' if latest is None else f'that of step {latest} is intact'
        return JsslError(
            f'The checkpoint of step {step} could not be written to {self.directory}: '
            f'{one_line(error)}; {intact}. Make room there and repeat the command, which '
            'continues from the newest checkpoint, or give another --workdir.'
        )


def _load(folder: Path, target: Any) -> Any:
    """The train state as Orbax reads it; raises whatever it raises, and for other leaves."""
    args = ocp.args.StandardRestore(target)
    with contextlib.closing(ocp.StandardCheckpointHandler()) as handler:
        found = handler.restore(epath.Path(folder / ITEM), args=args)
    if mismatch := first_mismatch(describe(found), describe(target)):
        raise ValueError(mismatch)
    return found


def read_parts(
    directory: Path | str, *names: tuple[str, ...], report: Callable[[str], None] = print
) -> tuple[Any, int]:
    """Parts of the newest checkpoint of a run that can be read, for another run to begin with.

    Args:
      directory: `checkpoints` of a run; nothing in it is changed, so the run may be going on.
      names: where each part is, such as ``('params', 'backbone')``; one that the train state does
        not have is left out.
      report: is told, in one line, of each checkpoint that cannot be read.

    Returns:
      The train state as nested dicts with these parts alone, in NumPy arrays, and its step.

    Raises:
      JsslError: there is no checkpoint that can be read.
    """
    directory = Path(directory).absolute()  # Orbax reads no other paths
    with contextlib.suppress(OSError):
        for step in intact(directory, steps_in(directory), report):
            folder = directory / str(step)
            try:
                return _read_parts(folder, names), step
            except Exception as error:  # as in `Checkpoints`
                report(not_loaded(folder, error))
    raise JsslError(
        f'There is no checkpoint that can be read in {directory}; give the directory of a run '
        'that has saved one, or a file of weights.'
    )


def _read_parts(folder: Path, names: tuple[tuple[str, ...], ...]) -> Any:
    """Parts of one checkpoint."""
    with contextlib.closing(ocp.PyTreeCheckpointHandler()) as handler:
        stored = handler.metadata(epath.Path(folder / ITEM)).tree
        leaves = jax.tree_util.tree_leaves_with_path(stored)
        paths = {tuple(str(getattr(e, 'key', e)) for e in path): leaf for path, leaf in leaves}
        wanted = (path for path in paths if any(path[: len(name)] == name for name in names))
        chosen = {path: paths[path] for path in wanted}
        if not chosen:
            return {}  # where Orbax would find fault with the file
        shapes = {p: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for p, leaf in chosen.items()}
        args = ocp.args.PyTreeRestore(
            item=unflatten_dict(shapes),
            restore_args=unflatten_dict({p: ocp.RestoreArgs(np.ndarray) for p in chosen}),
            partial_restore=True,
        )
        return handler.restore(epath.Path(folder / ITEM), args=args)


def _is_not_orbax(record: logging.LogRecord) -> bool:
    """Orbax reports every save in many lines; what goes wrong reaches us as an exception."""
    return 'orbax' not in record.pathname and 'orbax' not in record.getMessage()
