"""What is wrong with the name, folder or split of a TFDS data set, seen from what there is."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jssl.counts import counted
from jssl.data.sources.tfds_features import FEATURES
from jssl.errors import JsslError

INFO = 'dataset_info.json'
PART = re.compile(r'(\w+)(\[-?\d*%?:-?\d*%?\])?', re.ASCII)


def no_split(splits: Mapping[str, Any], name: str, split: str) -> JsslError:
    """The error for a split that is not there, has no images, or not so many.

    Args:
      splits: those of the data set, as TFDS describes them.
      name: of the data set.
      split: what was asked for.
    """
    there = ', '.join(
        f'{key} ({counted(splits[key].num_examples, "image")})' for key in sorted(splits)
    )
    parts = [PART.fullmatch(part.strip()) for part in split.split('+')]
    if all(part and part[1] in splits for part in parts):
        return JsslError(
            f'split {split!r} of data set {name!r} has no images, or a part of it asks for more '
            f'than there are or ends before it begins; its splits are {there}.'
        )
    return JsslError(
        f'split {split!r} cannot be read from data set {name!r}; its splits are {there}, and parts '
        "of them such as 'train[:10%]'."
    )


def lacking(name: str, folder: str) -> Path | None:
    """The file that is missing of the two that describe a data set, if the other one is there.

    Args:
      name: of the data set.
      folder: where it was looked for.
    """
    here = Path(folder) / re.split('[/:]', name)[0]
    for place in sorted([*here.glob('*'), *here.glob('*/*')]):
        there = {place / file: (place / file).is_file() for file in (INFO, FEATURES)}
        if len(set(there.values())) == 2:
            return min(there, key=there.__getitem__)
    return None


def elsewhere(name: str, folder: str) -> str | None:
    """Where a data set is that is not where it was looked for; None if it is not nearby.

    Args:
      name: without configuration and version.
      folder: where it was looked for.

    Returns:
      The end of a sentence: a folder above or below, other versions, or another spelling.
    """
    if not re.fullmatch(r'\w+', name):
        return None
    here = Path(folder)
    below = sorted(path.parent for path in here.glob(f'*/{name}'))
    for place in (here.parent, here.parent.parent, *below):
        if _prepared(place / name):
            return f', but under {place}; set data_dir={str(place)!r}.'
    if names := _prepared(here / name):
        return f' in that version or configuration; give the name {" or ".join(map(repr, names))}.'
    same = [path.name for path in here.glob('*') if path.name.lower() == name.lower()]
    return f', but {same[0]!r} is; give that name.' if same else None


def _prepared(folder: Path) -> list[str]:
    """The names of what the folder of a data set holds, with configurations and versions."""
    found = sorted([*folder.glob(f'*/{INFO}'), *folder.glob(f'*/*/{INFO}')])
    places = [info.parent.relative_to(folder.parent) for info in found]
    return [f'{place.parent.as_posix()}:{place.name}' for place in places]
