"""What the host does around a step, counted by JAX's profiler and not by what the code says."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

NAMES = ('puts', 'reads', 'waits')
# How the profiler calls these events; those of Python's functions end with the name.
PUTS = 'DevicePutWithSharding'  # what is given to a program from the host's memory, too
READS = 'np.asarray(jax.Array)'
WAITS = ' block_until_ready'


def counted(act: Callable[[], Any]) -> dict[str, int]:
    """Of what `act` does: arrays put on devices, arrays read back, and waits for a device.

    Args:
      act: starts work on the devices, in the thread that calls.

    Returns:
      `puts`, `reads` and `waits`: calls of `jax.block_until_ready`, which reads are not, although
      the host waits for them, too.
    """
    options = jax.profiler.ProfileOptions()
    options.host_tracer_level, options.python_tracer_level = 2, 1
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            act()
        (file,) = Path(folder).rglob('*.xplane.pb')
        return _counts(jax.profiler.ProfileData.from_file(str(file)))


def _counts(profile: Any) -> dict[str, int]:
    found = dict.fromkeys(NAMES, 0)
    for plane in profile.planes:
        for line in plane.lines if plane.name.startswith('/host:') else ():
            for event in line.events:
                if kind := _kind(event.name):
                    found[kind] += 1
    return found


def _kind(name: str) -> str:
    """Which of `NAMES` an event is; none for most."""
    if name.startswith('$') and name.endswith(WAITS):
        return 'waits'
    return {PUTS: 'puts', READS: 'reads'}.get(name, '')
