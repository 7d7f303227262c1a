"""Whether a run can go on from a checkpoint: of its data, its model and the orders of its data."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jssl.data.loading.identity import same
from jssl.errors import JsslError
from jssl.runs.contents import describe, first_mismatch, read_contents
from jssl.runs.orders import ORDERS


def why_foreign(
    folder: Path, target: Any, data: Mapping[str, Any], turns: int | None
) -> JsslError | None:
    """Why a run cannot go on from the checkpoint in `folder`, if it cannot.

    Args:
      folder: of the checkpoint, in the folder of a run's checkpoints.
      target: tree of what the run restores, in shapes.
      data: the identity of its images.
      turns: how often it is known to have taken another order of the data; None where no step
        follows.
    """
    contents = read_contents(folder)
    if not same(contents['data'], data, stamps=False):
        return JsslError(
            f'The checkpoint {folder} is of a run on other data: {contents["data"]["number"]} '
            f'samples there, {data["number"]} here, or other names. Give another '
            '--workdir, or the data that it was trained on.'
        )
    if mismatch := first_mismatch(contents['leaves'], describe(target)):
        return JsslError(
            f'The checkpoint {folder} is of another model: {mismatch}. Give another '
            '--workdir, or the config that wrote it.'
        )
    if turns is not None and turns < contents.get('turns', 0):
        return JsslError(
            f'The checkpoint {folder} is of a run that was rolled back {contents["turns"]} times, '
            f'of which {folder.parent.parent / ORDERS} names {turns}, so it is unknown in which '
            'order the run goes through its data. Put that file back, or give another --workdir.'
        )
    return None
