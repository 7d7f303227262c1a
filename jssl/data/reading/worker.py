"""A process that decodes: told row by row which part of a batch in shared memory it fills."""

import contextlib
import mmap
import pickle
import signal
import traceback
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection

import numpy as np

from jssl.data.reading.batches import BadSample, fill, parts
from jssl.data.reading.decoding import quiet
from jssl.errors import JsslError


def main(pipe: int, memory: int) -> None:
    """Serves until the other end of the pipe is closed, by whatever means.

    Args:
      pipe: number of the open connection to the process that asks.
      memory: number of the open file that holds the batches.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # the run decides when it ends
        signal.signal(number, signal.SIG_IGN)
    connection: Connection = Connection(pipe)
    with contextlib.suppress(EOFError, ConnectionError), quiet():
        serve(connection, mmap.mmap(memory, 0))


def serve(connection: Connection, memory: mmap.mmap) -> None:
    """Takes the source, then fills rows of blocks as it is told; answers each message."""
    job = connection.recv_bytes()
    try:
        source, layout, threads = pickle.loads(job)
    except Exception as error:  # whatever importing and building a user's class raises
        connection.send(_not_taken(error))
        return
    blocks = np.frombuffer(memory, np.uint8).reshape(-1, layout.nbytes)
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        connection.send([])
        while True:
            block, rows = pickle.loads(connection.recv_bytes())
            batch = layout.over(blocks[block])
            tasks = [pool.submit(fill, source, batch, part) for part in parts(rows, threads)]
            connection.send(_answer(tasks))


def _answer(tasks: list[Future[list[BadSample]]]) -> list[BadSample] | Exception:
    """The broken samples found, or what goes wrong."""
    try:
        return [fault for task in tasks for fault in task.result()]
    except (JsslError, MemoryError) as error:
        return error
    except Exception:  # not of a sample, and of a type that may not be known on the other side
        return RuntimeError(f'a decode worker failed:\n{traceback.format_exc()}')


def _not_taken(error: Exception) -> JsslError:
    return JsslError(
        f'a decode worker cannot take the data source over: {type(error).__name__}: {error}; '
        'define its class in a module that can be imported, not in the program that is started, or '
        'set config.workers to 0 to decode in threads.'
    )
