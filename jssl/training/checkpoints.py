"""Checkpoints of a run: saved in the background, checked and restored onto any number of devices.

The only module that knows Orbax. A checkpoint is `checkpoints/<step>/`: Orbax's folder and
`contents.json`, which lists the leaves of the train state and size and checksum of every file.
What is damaged is recognised by that list before Orbax reads it.
"""

import json
import logging
import os
import re
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax.traverse_util import unflatten_dict
from jax.experimental import multihost_utils

from jssl.data.identity import same
from jssl.errors import JsslError

CONTENTS = 'contents.json'
ITEM = 'train_state'
PARTIAL = '.orbax-checkpoint-tmp'  # ends the name of a folder that Orbax has not finished
ORBAX_ERRORS = (OSError, ValueError)  # tensorstore raises ValueError for what the disk refuses


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
        data: Mapping[str, Any] = MappingProxyType({}),
        report: Callable[[str], None] = print,
    ) -> None:
        """Opens `directory`, which is made if need be.

        Args:
          directory: of the checkpoints, shared by all processes.
          keep: how many remain; an older one goes once a newer one is complete.
          data: the identity of the images, whose numbers memories go by (`data.identity`); empty
            where it is not known.
          report: is told on process 0, in one line, of each checkpoint that cannot be read.

        Raises:
          JsslError: the directory cannot be made.
        """
        for logger in ('absl', 'asyncio'):
            logging.getLogger(logger).addFilter(_is_not_orbax)
        self.directory = Path(directory).absolute()
        self._report, self._data = report, dict(data)
        self._pending: tuple[int, dict[str, str]] | None = None
        self._partial_removed = False
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            async_options=ocp.AsyncOptions(post_finalization_callback=self._write_contents),
        )
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        except OSError as error:
            raise JsslError(
                f'Checkpoints cannot be kept in {self.directory}: {_one_line(error)}. '
                'Give a --workdir where files can be written.'
            ) from error

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
            self._report(str(failure))

    def save(self, step: int, train_state: Any) -> None:
        """Copies `train_state` to the host and writes it in the background.

        On return the buffers may be donated. A step that is saved already is not saved again. A
        save that still runs is waited for.

        Raises:
          JsslError: this save cannot begin or the one before has failed, for example because the
            disk is full. Earlier checkpoints are intact.
        """
        self.wait()
        if step in self._manager.all_steps():
            return
        self._remove_partial()
        self._pending = step, _describe(train_state)
        args = ocp.args.Composite(**{ITEM: ocp.args.StandardSave(train_state)})
        try:
            self._manager.save(step, args=args, force=True)
        except ORBAX_ERRORS as error:
            raise self._not_saved(error) from error

    def wait(self) -> None:
        """Returns when the last save is on disk.

        Raises:
          JsslError: it failed; see `save`.
        """
        if self._pending is None:
            return
        try:
            self._manager.wait_until_finished()
        except ORBAX_ERRORS as error:
            raise self._not_saved(error) from error
        self._pending = None

    def restore(self, target: Any, step: int | None = None) -> tuple[Any, int] | None:
        """The newest checkpoint that can be read, or that of `step`.

        Damaged ones that are newer are reported and renamed to `unreadable-<step>`.

        Args:
          target: tree of `jax.ShapeDtypeStruct` with shardings, which need not be those of saving.
          step: the only one to try.

        Returns:
          (train state, its step), or None when there is no checkpoint at all.

        Raises:
          JsslError: there are checkpoints but none can be read, or one is of another model.
        """
        self.wait()
        self._manager.reload()
        steps = sorted(self._manager.all_steps(), reverse=True)
        if step is not None and step not in steps:
            raise JsslError(
                f'There is no checkpoint of step {step} in {self.directory}, only of {steps}.'
            )
        candidates = steps if step is None else [step]
        for position, candidate in enumerate(candidates):
            if not self._is_damaged(candidate):
                train_state = self._read(candidate, target)
                self._move_aside(candidates[:position])
                return train_state, candidate
        if candidates:
            raise JsslError(
                f'No checkpoint in {self.directory} can be read (tried {candidates}). Put back a '
                'copy of one, or start again: give another --workdir or delete that folder.'
            )
        return None

    def latest_step(self) -> int | None:
        """The step of the newest checkpoint, None without any."""
        return self._manager.latest_step()

    def reached_preemption(self, step: int) -> bool:
        """Whether a process of this job was told to stop: true on all of them at the same `step`.

        Call it at every step. Always false without `jax.distributed`; see `signals.StopSignal`.
        """
        return self._manager.reached_preemption(step)

    def close(self) -> None:
        """Waits for the last save and ends the threads.

        Raises:
          JsslError: the last save failed and nobody was told yet.
        """
        try:
            self.wait()
        finally:
            self._manager.close()

    def _write_contents(self) -> None:
        """Lists what the finished folder holds; Orbax calls it just before the folder's rename."""
        if jax.process_index() != 0 or self._pending is None:
            return
        step, leaves = self._pending
        folder = self.directory / f'{step}{PARTIAL}'
        if not folder.is_dir():  # a file system without rename is written in place
            folder = self.directory / str(step)
        files = {
            str(path.relative_to(folder)): _fingerprint(path)
            for path in sorted((folder / ITEM).rglob('*'))
            if path.is_file()
        }
        contents = {'leaves': leaves, 'files': files, 'data': self._data}
        (folder / CONTENTS).write_text(json.dumps(contents, indent=1))

    def _remove_partial(self) -> None:
        """Removes what a killed process left half-written, once; readers alone remove nothing."""
        if not self._partial_removed and jax.process_index() == 0:
            for folder in self.directory.glob(f'*{PARTIAL}*'):
                shutil.rmtree(folder, ignore_errors=True)
        self._partial_removed = True

    def _is_damaged(self, step: int) -> bool:
        """Whether files of a checkpoint are not as written; process 0 looks, and reports it."""
        damage = None
        if jax.process_index() == 0:
            damage = _damage(self.directory / str(step))
            if damage is not None:
                self._report(f'Checkpoint {step} in {self.directory} is unreadable: {damage}.')
        if jax.process_count() == 1:
            return damage is not None
        return bool(multihost_utils.broadcast_one_to_all(np.asarray(damage is not None)))

    def _read(self, step: int, target: Any) -> Any:
        """The train state of a checkpoint whose files are complete."""
        folder = self.directory / str(step)
        contents = json.loads((folder / CONTENTS).read_text())
        if not same(contents.get('data', {}), self._data, stamps=False):
            raise JsslError(
                f'The checkpoint {folder} is of a run on other data: {contents["data"]["number"]} '
                f'samples there, {self._data["number"]} here, or other names. Give another '
                '--workdir, or the data that it was trained on.'
            )
        mismatch = _first_mismatch(contents['leaves'], _describe(target))
        if mismatch:
            raise JsslError(
                f'The checkpoint {folder} is of another model: {mismatch}. Give another '
                '--workdir, or the config that wrote it.'
            )
        args = ocp.args.Composite(**{ITEM: ocp.args.StandardRestore(target)})
        try:
            return self._manager.restore(step, args=args)[ITEM]
        except ORBAX_ERRORS as error:
            raise JsslError(
                f'The checkpoint {folder} is complete, but loading it failed: {_one_line(error)}. '
                'Give the devices and package versions that wrote it, or another --workdir.'
            ) from error

    def _move_aside(self, steps: list[int]) -> None:
        """Renames unreadable checkpoints, so that their steps can be saved again."""
        if steps and jax.process_index() == 0:
            for step in steps:
                name = f'unreadable-{step}'
                number = len(list(self.directory.glob(f'{name}*')))
                target = name if number == 0 else f'{name}-{number + 1}'
                (self.directory / str(step)).rename(self.directory / target)
        if steps and jax.process_count() > 1:
            multihost_utils.sync_global_devices('unreadable checkpoints moved aside')
        self._manager.reload()

    def _not_saved(self, error: Exception) -> JsslError:
        """The error that tells the user which checkpoint was not written and what to do."""
        step = self._pending[0] if self._pending else None
        self._pending = None
        self._partial_removed = False  # of which there is one more now
        self._manager.reload()
        latest = self.latest_step()
        intact = 'there is no earlier one' if latest is None else f'that of step {latest} is intact'
        return JsslError(
            f'The checkpoint of step {step} could not be written to {self.directory}: '
            f'{_one_line(error)}; {intact}. Make room there and repeat the command, which '
            'continues from the newest checkpoint, or give another --workdir.'
        )


def read_parts(directory: Path | str, *names: tuple[str, ...]) -> tuple[Any, int]:
    """Parts of the newest intact checkpoint of a run, for another run to begin with.

    Args:
      directory: `checkpoints` of a run; nothing in it is changed, so the run may be going on.
      names: where each part is, such as ``('params', 'backbone')``; one that the train state does
        not have is left out.

    Returns:
      The train state as nested dicts with these parts alone, in NumPy arrays, and its step.

    Raises:
      JsslError: there is no checkpoint that can be read.
    """
    folders = [path for path in Path(directory).glob('*') if path.name.isdecimal()]
    intact = (path for path in sorted(folders, key=_step, reverse=True) if _damage(path) is None)
    folder = next(intact, None)
    if folder is None:
        raise JsslError(
            f'There is no checkpoint that can be read in {directory}; give the directory of a run '
            'that has saved one, or a file of weights.'
        )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        stored = checkpointer.metadata(folder / ITEM).item_metadata.tree
        leaves = jax.tree_util.tree_leaves_with_path(stored)
        paths = {tuple(str(getattr(e, 'key', e)) for e in path): leaf for path, leaf in leaves}
        chosen = {path: leaf for path, leaf in paths.items() if _within(path, names)}
        shapes = {p: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for p, leaf in chosen.items()}
        args = ocp.args.PyTreeRestore(
            item=unflatten_dict(shapes),
            restore_args=unflatten_dict({p: ocp.RestoreArgs(np.ndarray) for p in chosen}),
            partial_restore=True,
        )
        return checkpointer.restore(folder / ITEM, args=args), _step(folder)


def _step(folder: Path) -> int:
    return int(folder.name)


def _within(path: tuple[str, ...], names: tuple[tuple[str, ...], ...]) -> bool:
    return any(path[: len(name)] == name for name in names)


def _is_not_orbax(record: logging.LogRecord) -> bool:
    """Orbax reports every save in many lines; what goes wrong reaches us as an exception."""
    return 'orbax' not in record.pathname and 'orbax' not in record.getMessage()


def _one_line(error: Exception) -> str:
    """What went wrong; of tensorstore's long texts only the operating system's reason."""
    code = re.search(r"os_error_code='(\d+)'", str(error))
    text = os.strerror(int(code.group(1))) if code else ' '.join(str(error).split())
    return text if len(text) <= 300 else f'{text[:300]}...'


def _describe(tree: Any) -> dict[str, str]:
    """Each leaf's path and what it is, such as ``"params['head']['bias']": 'float32[8]'``."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path).lstrip('.'): f'{leaf.dtype}{list(leaf.shape)}'
        for path, leaf in leaves
    }


def _first_mismatch(stored: Mapping[str, str], wanted: Mapping[str, str]) -> str | None:
    """Says in which leaf two descriptions differ, if they do."""
    for leaf in (*wanted, *stored):
        there, here = stored.get(leaf, 'absent'), wanted.get(leaf, 'absent')
        if there != here:
            return f'{leaf} is {there} there and {here} in this run'
    return None


def _fingerprint(path: Path) -> list[int]:
    """A file's size in bytes and its CRC-32."""
    size, checksum = 0, 0
    with path.open('rb') as file:
        while block := file.read(1 << 20):
            size, checksum = size + len(block), zlib.crc32(block, checksum)
    return [size, checksum]


def _damage(folder: Path) -> str | None:
    """Which file of a checkpoint is not as it was written, None when all are."""
    try:
        contents = json.loads((folder / CONTENTS).read_text())
        for name, expected in contents['files'].items():
            found = _fingerprint(folder / name)
            if found[0] != expected[0]:
                return f'{name} has {found[0]} of {expected[0]} bytes'
            if found != expected:
                return f'{name} has been altered'
    except FileNotFoundError as error:
        return f'{Path(error.filename).relative_to(folder)} is missing'
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f'{CONTENTS} cannot be read ({_one_line(error)})'
    return None
