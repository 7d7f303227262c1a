"""What the processes of one job agree on."""

import contextlib
from collections.abc import Callable, Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from jssl.errors import JsslError, in_words


def of_first(number: int) -> int:
    """The `number` that process 0 passes, on every process; each of them calls it."""
    if jax.process_count() == 1:
        return number
    with _broken():
        return int(multihost_utils.broadcast_one_to_all(np.asarray(number)))


def on_all(verdict: bool) -> bool:
    """Whether every process of the job passes true; each of them calls it."""
    if jax.process_count() == 1:
        return verdict
    with _broken():
        return bool(np.all(multihost_utils.process_allgather(np.asarray(verdict))))


@contextlib.contextmanager
def _broken() -> Iterator[None]:
    """A lost connection is JAX's error, also where NumPy takes the number and raises its own."""
    try:
        yield
    except ValueError as error:
        raise jax.errors.JaxRuntimeError(str(error)) from error


def on_first(act: Callable[[], None], otherwise: str) -> None:
    """Process 0 of the job acts; each of them calls it, so that none goes on where it fails.

    Raises:
      JsslError: what `act` raised, and on the other processes one that says `otherwise`.
    """
    refusal: JsslError | None = None
    if jax.process_index() == 0:
        try:
            act()
        except JsslError as error:
            refusal = error
    if of_first(refusal is not None):
        raise refusal or JsslError(otherwise)


def broken_off(error: Exception, last: str) -> JsslError:
    """What a process of several says that JAX cannot compute with any more.

    Args:
      error: of JAX.
      last: sign of life, in words.
    """
    return JsslError(
        f'Process {jax.process_index()} of {jax.process_count()} cannot go on after "{last}": '
        f'{in_words(error)}. Mostly another process has ended; its own last lines say why. The '
        'same command on every host continues from the newest checkpoint.'
    )
