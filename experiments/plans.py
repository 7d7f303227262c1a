"""The page of plans: what each recipe for ImageNet takes of eight H200 and of 64 chips of v5e.

    python -m experiments.plans                                     # what is missing, then the page
    python -m experiments.plans --only simclr:imagenet --on 8xh200 --again
    python -m experiments.plans --page                              # of the rows that there are

A recipe takes minutes on a machine. Its row is added to experiments/plans.jsonl when it is there:
who starts again makes what is missing. docs/guides/plan.md says what is read and what it means.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.parity import append, commit
from jssl.cli.configs import load, shipped
from jssl.errors import JsslError

ROOT = Path(__file__).resolve().parent.parent
FIRST = (  # the most used
    *('simclr:imagenet', 'moco:imagenet', 'mocov3:imagenet-vit-small', 'byol:imagenet'),
    *('swav:imagenet', 'dino:imagenet', 'dinov2:imagenet', 'mae:imagenet'),
    *('mae:imagenet-large-1600e', 'simmim:imagenet', 'barlow_twins:imagenet', 'vicreg:imagenet'),
    *('mocov3:imagenet', 'simsiam:imagenet', 'ibot:imagenet', 'dinov3:imagenet'),
    *('ijepa:imagenet', 'lejepa:imagenet'),
)
# Deep networks, whose blocks are compiled as a loop: minutes in place of up to an hour.
DEEP = ('dinov2:imagenet', 'dinov3:imagenet', 'ijepa:imagenet', 'mae:imagenet-large-1600e')
LOOPED = {  # by machine
    '8xh200': DEEP,
    'v5e-64': (
        *DEEP,
        *('mocov3:imagenet-vit-small', 'dino:imagenet', 'mae:imagenet', 'ibot:imagenet'),
        *('lejepa:imagenet', 'maskfeat:imagenet', 'msn:imagenet'),
    ),
}
LOOP = ('--config.model.backbone.scan_layers=True', '--config.optimizer.layer_decay_rate=None')
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Makes what is missing of the rows and writes the page; the exit status is 1 if one failed."""
    options = _options(argv)
    failed = False
    for name, on in [] if options.page else _wanted(options):
        row = plan(name, on)
        print(row.get('failed') or f'{name} on {on}: {row["seconds"]:.0f} s', flush=True)
        if 'failed' in row:
            failed = True
        else:
            append(options.rows, row)
    options.write.write_text(page(read_rows(options.rows)), encoding='utf-8')
    return int(failed)


def recipes() -> list[str]:
    """The recipes for ImageNet that are planned: those of `FIRST`, then one of each config."""
    found = [f'{name}:imagenet' for name in shipped() if '/' not in name and _has(name)]
    return list(dict.fromkeys((*FIRST, *found)))


def _has(name: str) -> bool:
    try:
        load(f'{name}:imagenet')
    except JsslError:
        return False
    return True


def plan(name: str, on: str) -> Row:
    """The row of a recipe on a machine, made in a process of its own."""
    start = time.monotonic()
    more = list(LOOP) if name in LOOPED.get(on, DEEP) else []
    command = [sys.executable, '-m', 'jssl', 'plan', name, f'--on={on}', '--quick', '--json', *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    row: Row = {'recipe': name, 'arguments': more, 'commit': commit()}
    row['seconds'] = round(time.monotonic() - start, 1)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        return row | {'failed': f'{name} on {on}: {"".join(last) or done.returncode}'}
    return row | json.loads(done.stdout.splitlines()[-1])


def read_rows(path: Path) -> dict[tuple[str, str], Row]:
    """The rows by recipe and machine, of each the last one."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    return {(row['recipe'], row['on']): row for row in rows}


def page(rows: Mapping[tuple[str, str], Row]) -> str:
    """The page, a table for each machine, with the recipes in their order."""
    order = recipes()
    tables = [HEAD]
    for on in LOOPED:
        found = [row for name in order if (row := rows.get((name, on)))]
        lines = [f'| {" | ".join(cells(row).values())} |' for row in found]
        if found:
            names = cells(found[0])
            head = [f'| {" | ".join(names)} |', '|---' * len(names) + '|']
            tables.append('\n'.join([f'## {on}', '', *head, *lines]))
    return '\n\n'.join([*tables, SHOWN]) + '\n'


HEAD = """# The recipes for ImageNet, planned

Made by `python -m experiments.plans`; [the page of the command](../guides/plan.md) says what the
numbers are and what they are not.

Bounds, and no measurements: a step takes at least so long, a device gives at most so many images.
An image is one of the batch, whatever its views. Memory is that of a device; hours are those of
all steps at the bound; the commit is that of the package that was compiled. Where a plan does not
fit, `jssl plan` with the same name says what to type.

A star marks deep networks whose blocks are compiled as a loop (`scan_layers`), in minutes in place
of up to an hour. A loop moves more: `mae:imagenet` on eight H200 303 GB in place of 217,
`mocov3:imagenet-vit-small` 742 in place of 411, and takes up to 1.6 times the memory. So these rows
are the bounds of runs with the loop; without it they are higher."""


SHOWN = """## What the programs show

Most steps are bound by the memory, not by arithmetic. No step here waits for its host, and none
copies a queue or a bank.

Mended:

- **MoCo and DenseCL** norm groups of the batch, in an order that is drawn. XLA put the ordered
  images together on every device, which then encoded all of them. A device of eight H200 moved
  49.7 GB a step of `moco:imagenet`, now 23.2; the bound of a step was 10.4 ms, now 4.8. Each still
  gathered the images of all keys, 147 MiB; groups now exchange equal parts, an all-to-all of 9 MiB,
  and the messages of a step take 0.24 ms, before 0.52.
- **CAE**'s tokenizer computed in a float32 that tensor cores do not have: 193 of the 222 ms of
  arithmetic on eight H200. [Now 26 of 55](../guides/accelerators.md).
- **DINOv2 and DINOv3** picked masked patches out of the whole batch, an all-gather of 76 MiB on
  eight devices. They are now picked among [neighbours](../algorithms/dinov2.md).

Left:

- **DenseCL** has 6 % of its products, **iBOT** 4 % and **NPID** 3 % in float32 on tensor cores:
  similarities of cells and queue, the last layer of all patches, the bank.
- **ResNets** send over a hundred small messages a step, the statistics of their batch norms."""


def cells(row: Row) -> dict[str, str]:
    """A row of the page, by the names of its columns."""
    memory, bound = row['memory'], row.get('roofline')
    total = '?' if memory['total'] is None else f'{memory["total"] / 2**30:.1f}'
    found = {
        'recipe': f'`{row["recipe"]}`{"*" * bool(row["arguments"])}',
        'batch': f'{row["batch_size"]:,}',
        'parameters': f'{row["parameters"] / 1e6:.1f} M',
        'GFLOP an image': f'{row["operations"]["image"] / 1e9:.1f}',
        'GiB': f'{total} of {memory["limit"] / 2**30:.0f}{"" if memory["fits"] else ", too much"}',
    }
    made = {'commit': row['commit']}
    if bound is None:
        return found | dict.fromkeys(BOUNDS, '?') | made
    values = (
        f'{row["moved"] / 1e9:.1f}',
        f'{row["kernels"]:,}',
        f'{1e3 * bound["seconds"]:.0f}',
        *(f'{1e3 * bound[name]:.0f}' for name in ('arithmetic', 'memory', 'messages')),
        bound['binds'],
        f'{bound["device_images_per_second"]:,.0f}',
        f'{bound["utilisation"]:.0%}',
        f'{bound["hours"]:,.0f}',
    )
    return found | dict(zip(BOUNDS, values, strict=True)) | made


BOUNDS = (
    *('GB moved', 'kernels', 'step, ms', 'arithmetic', 'memory', 'messages', 'binds'),
    *('images/s a device', 'of peak', 'hours'),
)


def _wanted(options: argparse.Namespace) -> list[tuple[str, str]]:
    """The recipes and machines that have no row, or are to have another."""
    known = {} if options.again else read_rows(options.rows)
    pairs = [(name, on) for on in options.on for name in options.only or recipes()]
    return [pair for pair in pairs if pair not in known]


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--only', nargs='+', metavar='RECIPE', help='default all')
    parser.add_argument('--on', nargs='+', metavar='MACHINE', default=tuple(LOOPED))
    parser.add_argument('--again', action='store_true', help='make rows that there are anew')
    parser.add_argument('--page', action='store_true', help='compile nothing, write the page')
    parser.add_argument('--rows', type=Path, default=ROOT / 'experiments/plans.jsonl')
    parser.add_argument('--write', type=Path, default=ROOT / 'docs/reference/plans.md')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())
