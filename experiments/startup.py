"""Where the seconds of a run go, from the command to the report.

    python -m experiments.startup                        # of the README's first command
    python -m experiments.startup mae --config.epochs=2

It runs the command itself, in directories that are thrown away: once with nothing kept of earlier
runs, and once more until the first step is done, with the programs that the first has kept. Nothing
is written anew for it: the functions in `PARTS` are timed where the run calls them, imports where
Python makes them, and tracing and compiling as JAX tells of them.
"""

import argparse
import builtins
import functools
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from experiments.reporting import processor, show_json
from jssl.compilation_cache import FOLDER, LONG, SECONDS

COMMAND = ['simclr']
PARTS = {  # where a run calls a function -> the part of the run that it is
    'jssl.cli.train:settle': 'config',
    'jssl.cli.train:experiment': 'building',
    'jssl.fitting.introducing:check_shapes': 'shapes checked',
    'jssl.fitting.fit:open_workdir': 'directory',
    'jssl.fitting.fit:begin': 'start',
    'jssl.fitting.fit:run_loop': 'loop',
    'jssl.fitting.fit:conclude': 'conclusion',
    'jssl.training.experiment:Experiment.make_state': 'first state',
    'jssl.fitting.evaluating:RunEvaluator.baselines': 'baselines',
    'jssl.fitting.evaluating:RunEvaluator.evaluate': 'evaluation',
    'jssl.evaluation.evaluator:raw_pixels': 'raw pixels',
    'jssl.evaluation.evaluator:Evaluator.features': 'features',
    'jssl.evaluation.evaluator:feature_statistics': 'spread',
    'jssl.evaluation.knn:KNN.__call__': 'kNN',
    'jssl.evaluation.linear:Linear.__call__': 'linear probe',
    'jssl.runs.checkpoints:Checkpoints.save': 'checkpoints',
    'jssl.runs.checkpoints:Checkpoints.wait': 'checkpoints',
    'jssl.runs.checkpoints:Checkpoints.close': 'checkpoints',
    'jssl.runs.metrics:MetricsWriter.write': 'metrics',
    'jssl.fitting.outcome:export': 'weights',
    'jssl.fitting.reporting:report': 'report',
    'jssl.fitting.reporting:picture_views': 'views',
    'jssl.fitting.reporting:show_neighbors': 'neighbours',
    'jssl.visualization.features:project': 't-SNE',
    'jssl.visualization.report:curves_section': 'curves',
}
STEP = 'jssl.fitting.fit:telling'  # gives the step that the loop calls
RUNNING, IMPORTS, TRACING, COMPILING = KINDS = ('running', 'imports', 'tracing', 'compiling')
EVENTS = {
    '/jax/core/compile/jaxpr_trace_duration': TRACING,
    '/jax/core/compile/jaxpr_to_mlir_module_duration': TRACING,
    '/jax/core/compile/backend_compile_duration': COMPILING,  # or reading what was kept
}


class Ledger:
    """Seconds of the main thread by part and kind, each counted once, where it is innermost.

    Attributes:
      since: when the program was started, as `time.time` tells it.
      wall, cpu: seconds by (path of the part, kind); the CPU's of all threads meanwhile.
      first_step: seconds from the start until the first step is done; None before.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self.wall: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.cpu: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.first_step: float | None = None
        self._spans = [('', RUNNING)]
        self._last = since, 0.0

    def begin(self, part: str = '', kind: str = RUNNING) -> None:
        """A part of what is going on begins, or another kind of work for it."""
        self._charge()
        *outer, last = self._spans[-1][0].split('/')
        inner = part if part != last else ''  # one that calls itself is no part of its own
        self._spans.append(('/'.join(filter(None, (*outer, last, inner))), kind))

    def end(self) -> None:
        """What began last ends."""
        self._charge()
        self._spans.pop()

    def _charge(self) -> None:
        now = time.time(), time.process_time()
        span = self._spans[-1]
        self.wall[span] += now[0] - self._last[0]
        self.cpu[span] += now[1] - self._last[1]
        self._last = now

    @contextmanager
    def span(self, **what: str) -> Iterator[None]:
        """From `begin` to `end`, in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.begin(**what)
        try:
            yield
        finally:
            self.end()

    def told(self) -> dict[str, Any]:
        """What was found, by part, for a file."""
        self._charge()
        parts = dict.fromkeys(path for path, _ in self.wall)
        return {
            'first_step': self.first_step,
            'parts': {
                path: {kind: self.wall[path, kind] for kind in KINDS}
                | {'cpu': sum(self.cpu[path, kind] for kind in KINDS)}
                for path in parts
            },
        }


class Hooks:
    """Has a ledger hear of what a run does."""

    def __init__(self, ledger: Ledger, until: Callable[[], None] | None) -> None:
        """Imports are heard of from here on, all else once it is imported.

        Args:
          ledger: hears of it.
          until: is called when the first step is done, None for nothing.
        """
        self._ledger, self._until = ledger, until
        self._pending = {**PARTS, STEP: ''}
        self._importing = False
        self._listening = False
        builtins.__import__ = self._heard(builtins.__import__)
        importlib.import_module = self._heard(importlib.import_module)

    def _heard(self, load: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(load)
        def import_it(name: str, *arguments: Any, **options: Any) -> Any:
            if self._importing or name in sys.modules or not _in_main_thread():
                return load(name, *arguments, **options)
            self._importing = True
            try:
                with self._ledger.span(kind=IMPORTS):
                    return load(name, *arguments, **options)
            finally:
                self._importing = False
                self._attach()

        return import_it

    def _attach(self) -> None:
        """Times what has been imported by now."""
        if 'jax' in sys.modules and not self._listening:
            self._listen()
        for place in [place for place in self._pending if _is_imported(place)]:
            part = self._pending.pop(place)
            timed = functools.partial(self._timed, part)
            _replace(place, self._first_step if place == STEP else timed)

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self._ledger.span(part=part):
                return function(*arguments, **options)

        return timed

    def _first_step(self, telling: Callable[..., Any]) -> Callable[..., Any]:
        """Waits for the first step, so that it can be said when it is done."""

        def told(*arguments: Any) -> Callable[..., Any]:
            step = telling(*arguments)

            def take(*given: Any) -> Any:
                made = step(*given)
                if self._ledger.first_step is None:
                    importlib.import_module('jax').block_until_ready(made)
                    self._ledger.first_step = time.time() - self._ledger.since
                    if self._until is not None:
                        self._until()
                return made

            return take

        return told

    def _listen(self) -> None:
        """JAX tells when it begins and when it ends to trace and to compile."""
        monitoring = importlib.import_module('jax.monitoring')
        self._listening = True
        monitoring.register_scalar_listener(self._begun)
        monitoring.register_event_duration_secs_listener(self._ended)

    def _begun(self, event: str, *_: Any, **__: Any) -> None:
        if event in EVENTS and _in_main_thread():
            self._ledger.begin(kind=EVENTS[event])

    def _ended(self, event: str, *_: Any, **__: Any) -> None:
        if event in EVENTS and _in_main_thread():
            self._ledger.end()


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _is_imported(place: str) -> bool:
    """Whether the module of a function is there, to its last line."""
    module = sys.modules.get(place.partition(':')[0])
    return module is not None and not getattr(module.__spec__, '_initializing', False)


def _replace(place: str, change: Callable[[Any], Any]) -> None:
    """Puts ``change(function)`` where a function is, such as `module:Class.method`."""
    module, _, names = place.partition(':')
    *owners, name = names.split('.')
    owner = functools.reduce(getattr, owners, sys.modules[module])
    setattr(owner, name, change(getattr(owner, name)))


def run_inside(options: argparse.Namespace, rest: Sequence[str]) -> int:
    """Carries out `jssl train` in this process, timed; what was found is written to a file."""
    ledger = Ledger(options.since)

    def tell() -> None:
        options.inside.write_text(json.dumps(ledger.told()))

    def tell_and_end() -> NoReturn:
        tell()
        os._exit(0)

    Hooks(ledger, tell_and_end if options.until_first_step else None)
    sys.argv[1:] = rest
    try:
        runpy.run_module('jssl.main', run_name='__main__', alter_sys=True)
    except SystemExit as end:
        tell()
        return int(end.code or 0)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command twice and shows where its seconds went; 2 where it fails."""
    options, rest = parser().parse_known_args(argv)
    if options.inside is not None:
        return run_inside(options, rest)
    with tempfile.TemporaryDirectory() as folder:
        first = start(rest or COMMAND, Path(folder), 'first')
        again = first and start(rest or COMMAND, Path(folder), 'second', '--until-first-step')
    if not first or not again:
        return 2
    print('\n'.join(table('First start, nothing kept of earlier ones', first)))
    print('\n'.join(table('The same command started again, until its first step is done', again)))
    print(f'host {processor()}, {os.cpu_count()} cores')
    if options.json:
        show_json({'first': first, 'second': again})
    return 0


def parser() -> argparse.ArgumentParser:
    """The arguments of the command line besides those of `jssl train`."""
    result = argparse.ArgumentParser(
        'experiments.startup',
        description=f'{__doc__}\nAll other arguments are those of jssl train.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument('--json', action='store_true', help='end with one line of JSON')
    result.add_argument('--inside', type=Path, help=argparse.SUPPRESS)  # what follows is for itself
    result.add_argument('--since', type=float, help=argparse.SUPPRESS)
    result.add_argument('--until-first-step', action='store_true', help=argparse.SUPPRESS)
    return result


def start(command: Sequence[str], folder: Path, name: str, *more: str) -> dict[str, Any] | None:
    """What one start of the command took; None where it fails."""
    found = folder / f'{name}.json'
    environment = {**os.environ, FOLDER: str(folder / 'programs')}
    environment.setdefault(LONG, SECONDS)
    since = time.time()
    inside = [f'--inside={found}', f'--since={since}', *more]
    workdir = f'--workdir={folder / name}'
    arguments = [sys.executable, '-m', 'experiments.startup', *inside, *command, workdir]
    status = subprocess.run(arguments, env=environment).returncode
    if status or not found.exists():
        return None
    return json.loads(found.read_text()) | {'seconds': time.time() - since}


def table(title: str, found: dict[str, Any]) -> list[str]:
    """The lines that a person reads."""
    parts = found['parts']
    heads = (*('wall s', 'CPU s'), *KINDS)
    lines = ['', title, f'  {"":<30}' + ''.join(f'{head:>11}' for head in heads)]
    for path in in_order(parts):
        row = parts[path]
        numbers = (sum(row[kind] for kind in KINDS), row['cpu'], *(row[kind] for kind in KINDS))
        depth, name = path.count('/'), path.rpartition('/')[2] or 'all else'
        lines.append(f'  {"  " * depth + name:<30}' + ''.join(f'{n:>11.2f}' for n in numbers))
    totals = [sum(row[kind] for row in parts.values()) for kind in KINDS]
    cpu = sum(row['cpu'] for row in parts.values())
    lines.append(
        f'  {"together":<30}' + ''.join(f'{n:>11.2f}' for n in (sum(totals), cpu, *totals))
    )
    lines.append(f'  seconds to the end of the first step: {found["first_step"]:.1f}')
    return lines


def in_order(parts: Iterable[str]) -> list[str]:
    """Paths as they came first, those of one part together behind it."""
    came = {path: number for number, path in enumerate(parts)}

    def key(path: str) -> list[int]:
        names = path.split('/')
        return [came['/'.join(names[:length])] for length in range(1, len(names) + 1)]

    return sorted(came, key=key)


if __name__ == '__main__':
    sys.exit(main())
