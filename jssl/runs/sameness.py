"""Whether a config is that of a run: by all that its numbers depend on."""

import json
import zlib
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax

from jssl.errors import JsslError
from jssl.processes import of_first, on_all
from jssl.runs.datasets import PLACES

EPOCHS = 'epochs'  # the field of the config
KEEPS = 'keeps'  # in config.json: whose backbone is the result, 'student' or 'teacher'
RUN = 'run'  # in config.json: a name drawn when the run began, by which its checkpoints are known
# Fields of the config that change no number of a run, the devices but by rounding; of a section
# those that do not.
FREE = {
    **dict.fromkeys(('threads', 'workers', 'stall_minutes', 'log_every', 'mesh')),
    'checkpoint': ('keep', 'keep_every', 'keep_best'),
}


def check_same(
    workdir: Path,
    stored: Mapping[str, Any],
    given: Mapping[str, Any],
    defaults: Mapping[str, Any],
    may_lengthen: bool,
    report: Callable[[str], None],
) -> bool:
    """Refuses another config; reports other versions and places.

    Args:
      workdir: of the run, for messages.
      stored: what its config.json holds.
      given: what it would hold now.
      defaults: what fields have that a config does not give.
      may_lengthen: whether another number of epochs is none of its business.
      report: is told on process 0, in one line, of other versions and places.

    Returns:
      Whether the epochs are others.

    Raises:
      JsslError: names every field that differs.
    """
    parts = set(stored.get('data', {})) & set(given['data'])  # known by what they are
    configs = [_filled(record['config'], defaults) for record in (stored, given)]
    decisive = [_decisive(config, parts) for config in configs]
    longer = may_lengthen and len({config.pop(EPOCHS, None) for config in decisive}) > 1
    changed = _differences(*decisive)
    if changed:
        raise JsslError(
            f'{workdir} holds a run of another config (stored → given): {"; ".join(changed)}. '
            'Give another --workdir, or the stored values to resume that run.'
        )
    known = ('config', KEEPS, 'data', RUN)
    rest = [{k: v for k, v in record.items() if k not in known} for record in (stored, given)]
    places = [{part: record['config'].get(part) for part in parts} for record in (stored, given)]
    changed = _differences(*places) + _differences(*rest)
    if changed and jax.process_index() == 0:
        report(f'The run in {workdir} began elsewhere (then → now): {"; ".join(changed)}.')
    return longer


def check_unchanged(workdir: Path, stored: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Refuses to repeat steps of a run whose config.json was changed since it saved a checkpoint.

    Args:
      workdir: of the run, for messages.
      stored: what its config.json holds.
      saved: the config that the checkpoint was saved with.

    Raises:
      JsslError: names every field that differs.
    """
    parts = stored.get('data', {})
    decisive = [_decisive(config, parts) for config in (saved, stored['config'])]
    for config in decisive:
        config.pop(EPOCHS, None)  # a run may have been lengthened since
    if changed := _differences(*decisive):
        raise JsslError(
            f'config.json in {workdir} was changed since the run saved its checkpoints (then → '
            f'now): {"; ".join(changed)}. Its steps were taken with the former values: put them '
            'back into that file.'
        )


def check_job_has_one_command(
    workdir: Path, config: Mapping[str, Any], parts: Container[str]
) -> None:
    """Refuses a job whose processes are given other configs or directories; each of them calls it.

    Each would compute its share of another step, or wait for a checkpoint that is saved elsewhere.
    A directory may lie at another place on each host, so that its own name alone is compared.

    Args:
      workdir: of the run.
      config: of the run.
      parts: those of the data, which may lie at other places.

    Raises:
      JsslError: on every process, with the directory and the fields of this one.
    """
    together = {key: config.get(key) for key in ('mesh', 'log_every', 'checkpoint')}
    given = [workdir.absolute().name, _decisive(config, parts), together]
    own = zlib.crc32(json.dumps(given, sort_keys=True).encode()) >> 1  # as JAX carries it
    if not on_all(of_first(own) == own):
        raise JsslError(
            f'The processes of this job are given different commands; this one has '
            f'--workdir={workdir}. Give every process the same arguments, all but --process.'
        )


def _decisive(config: Mapping[str, Any], parts: Container[str]) -> dict[str, Any]:
    """What a run's numbers depend on: another machine may need other `FREE` settings, and have
    the `parts`, which are compared by what they hold, at other `PLACES`."""
    left_out = {key: PLACES if key in parts else FREE.get(key) or () for key in config}
    return {
        key: {field: inner for field, inner in value.items() if field not in left_out.get(key, ())}
        if isinstance(value, Mapping)
        else value
        for key, value in config.items()
        if FREE.get(key, ()) is not None
    }


def _filled(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A config with the fields that it does not give, within sections too."""
    filled = {**defaults, **config}
    for key, section in defaults.items():
        if isinstance(section, Mapping) and isinstance(filled[key], Mapping):
            filled[key] = {**section, **filled[key]}
    return filled


def _differences(stored: Any, given: Any) -> list[str]:
    """``field: stored → given`` for every field in which two JSON values differ."""
    before, after = dict(_fields(stored)), dict(_fields(given))
    return [
        f'{field}: {_show(before, field)} → {_show(after, field)}'
        for field in dict.fromkeys((*before, *after))
        if field not in before or field not in after or before[field] != after[field]
    ]


def _show(fields: Mapping[str, Any], field: str) -> str:
    return json.dumps(fields[field], ensure_ascii=False) if field in fields else 'absent'


def _fields(value: Any, prefix: str = '') -> Iterator[tuple[str, Any]]:
    """The leaves of a JSON value with their dotted names, such as ``model.backbone.depth``."""
    if not value or not isinstance(value, dict | list):
        yield prefix, value
        return
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _fields(child, f'{prefix}.{key}' if prefix else str(key))
