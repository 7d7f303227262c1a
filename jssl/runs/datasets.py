"""The data of a run: noticed when they are no longer those that it began with."""

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jssl.data.loading.identity import Listing, describe_change, identity_in, same
from jssl.errors import JsslError
from jssl.processes import of_first, on_all

PLACES = ('path', 'root', 'data_dir')  # fields of a source that say where it is, not what
NAMED = 'path'  # of which the last part is a name


def told_data(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a config says of its data but for the paths of this machine, for files that others get.

    Examples:
      >>> told_data({'data': {'type': 'Folder', 'path': '/home/me/photos'}})
      {'type': 'Folder', 'path': 'photos'}
    """
    data = config.get('data')
    return _without_places(data) if isinstance(data, Mapping) else None


def _without_places(section: Mapping[str, Any]) -> dict[str, Any]:
    named = {NAMED: Path(section[NAMED]).name} if isinstance(section.get(NAMED), str) else {}
    kept = {key: value for key, value in section.items() if key not in PLACES}
    inner = {key: _without_places(v) if isinstance(v, Mapping) else v for key, v in kept.items()}
    return {key: value for key, value in inner.items() if value is not None} | named


def check_same_data(
    workdir: Path,
    stored: Mapping[str, Any],
    listings: Mapping[str, Listing],
    *,
    same_data: bool,
    report: Callable[[str], None],
) -> bool:
    """Refuses to go on with other data than those a run began with.

    Args:
      workdir: of the run.
      stored: the identity of each part, from its config.json; empty if that says none.
      listings: the parts as they are now.
      same_data: the user says that files with other times hold the same images.
      report: is told what was taken for the same.

    Returns:
      Whether everything is as it was; else config.json is to be brought up to date.

    Raises:
      JsslError: says what changed.
    """
    unchanged = True
    for part, listing in listings.items():
        before = identity_in(stored, part)
        if before is not None and same(before, listing.identity):
            continue
        unchanged = False
        if before is None:
            report(f'{workdir} does not say what config.{part} was; from here on it does.')
            continue
        words = describe_change(workdir, part, before, listing)
        only_stamps = same(before, listing.identity, stamps=False)
        if not (only_stamps and same_data):
            raise _changed(workdir, part, words, only_stamps)
        report(f'config.{part} is taken for the same as before: {words}.')
    return unchanged


def tell_changes(
    workdir: Path,
    stored: Mapping[str, Any],
    listings: Mapping[str, Listing],
    report: Callable[[str], None],
) -> None:
    """Says which data of a run, looked at again, are no longer what they were.

    Args:
      workdir: of the run.
      stored: the identity of each part, from its config.json.
      listings: the parts as they are now.
      report: is told in a line for each.
    """
    for part, listing in listings.items():
        before = identity_in(stored, part)
        if before is not None and not same(before, listing.identity):
            words = describe_change(workdir, part, before, listing)
            report(f'config.{part} is not what the run in {workdir} had: {words}.')


def check_job_agrees(listings: Mapping[str, Listing]) -> None:
    """Refuses a job whose hosts see different data; every process of it calls this.

    Each decodes its share of a batch by the numbers of samples: of other lists it would take other
    images, and some never.

    Raises:
      JsslError: on every process, with what this one sees.
    """
    names = {part: (item.number, item.identity['names']) for part, item in listings.items()}
    own = zlib.crc32(json.dumps(names).encode()) >> 1  # JAX carries 32 bits with a sign
    if not on_all(of_first(own) == own):
        seen = ', '.join(f'config.{part} {item.number:,}' for part, item in listings.items())
        raise JsslError(
            f'The processes of this job see different data; this one sees so many samples: {seen}. '
            'Give every host the same files, or a folder that all of them share.'
        )


def _changed(workdir: Path, part: str, words: str, only_stamps: bool) -> JsslError:
    copied = (
        ' If they are the same images, copied without their times, repeat the command with '
        '--same_data.'
    )
    return JsslError(
        f'config.{part} is not what the run in {workdir} began with: {words}. Put the data back, '
        f'or give another --workdir; --config.pretrained={workdir} begins there with its weights.'
        f'{copied if only_stamps else ""}'
    )
