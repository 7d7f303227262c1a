"""A job of several processes, one on each host: how a command line joins it."""

import argparse

import jax

from jssl.cli.parser import Parser
from jssl.errors import JsslError


def add_job(parser: Parser) -> None:
    """The arguments by which a process finds the others."""
    group = parser.add_argument_group('a job of several processes, one on each host')
    group.add_argument(
        '--distributed',
        action='store_true',
        help='give it on every host of a TPU pod, SLURM, Open MPI or Kubernetes: JAX finds the '
        'others by itself',
    )
    group.add_argument(
        '--coordinator', help='host:port of process 0, on a cluster that JAX does not know'
    )
    group.add_argument(
        '--processes', type=int, help='how many processes take part; goes with --coordinator'
    )
    group.add_argument(
        '--process', type=int, help='the number of this one, from 0; goes with --coordinator'
    )


def connect(options: argparse.Namespace) -> None:
    """Joins the other processes of a distributed job.

    Raises:
      JsslError: when they are not found.
    """
    if not options.distributed and options.coordinator is None:
        return
    where = options.coordinator
    if where is not None and not where.rpartition(':')[2].isdecimal():
        raise JsslError(
            f'--coordinator={where} must name host and port of process 0, such as '
            f'--coordinator={where.partition(":")[0] or "localhost"}:1234.'
        )
    try:
        jax.distributed.initialize(options.coordinator, options.processes, options.process)
    except (ValueError, RuntimeError) as error:
        raise JsslError(
            f'The other processes were not found: {error} Name them with --coordinator=host:port, '
            '--processes and --process, or leave --distributed out for a run of one process.'
        ) from error
