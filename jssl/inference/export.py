"""Weights of a trained network in a file for others, with the page that describes them."""

from pathlib import Path
from typing import NamedTuple

from jssl.errors import JsslError
from jssl.inference.card import write_card
from jssl.inference.pretrained import Frozen, Pretrained
from jssl.interop.exporters import find, packed, use, write


class Exported(NamedTuple):
    """The files that were written."""

    weights: Path
    card: Path


def export(
    network: Pretrained, out: Path | str, *, to: str | None = None, whole: bool = False
) -> Exported:
    """Writes weights, and beside them a page that says what they are.

    Args:
      network: of `jssl.load`.
      out: path of the file.
      to: the format, a module of `jssl.interop.exporters`; None goes by the ending of `out`.
      whole: all that the algorithm has, in place of its backbone alone.

    Raises:
      JsslError: there is no such format, more is asked for than there is, or no place to write.
    """
    if whole and isinstance(network.algorithm, Frozen):
        raise JsslError(
            'a file of weights has its backbone alone; for the whole algorithm name the directory '
            'of a run, with its checkpoints.'
        )
    parcel = packed(network.algorithm, network.params, network.state, network.metadata, whole)
    path = write(out, parcel, to)
    try:
        arrays = not getattr(find(path, to), 'PROGRAM', False)
        card = write_card(path, network, use=use(path, parcel, to), whole=whole, arrays=arrays)
        return Exported(path, card)
    except OSError as error:
        raise JsslError(
            f'{path} is written, and the page beside it cannot be: {error.strerror}.'
        ) from error
