"""The parity certificate: how far jssl is from the reference's numbers, file by file.

    python -m experiments.parity                           # what is missing, then the page
    python -m experiments.parity --only mae_vit part_hog   # of these files alone
    python -m experiments.parity --page                    # of the rows that there are

Every file of reference numbers is measured in float64 and in float32, in a process of its own, and
its row is written as soon as it is there: who starts again goes on. A row is kept while the file
and the package are those that it was measured with. `JSSL_GOLDEN` names the folders, see
`tests/golden.py`.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.parity_page import draw, markdown
from tests import golden

ROOT = Path(__file__).resolve().parent.parent
MEASURE = [sys.executable, '-m', 'experiments.parity_measure']
Row = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """Measures what is missing and writes the page; returns 1 if a file could not be measured."""
    options = _options(argv)
    paths, rows = golden.files(), read_rows(options.rows)
    names = [path.stem for path in paths]
    if unknown := [name for name in options.only or () if name not in names]:
        print(f'no file {", ".join(unknown)} in {golden.FOLDERS}', file=sys.stderr)
        return 2
    failed = False
    for number, path in enumerate(() if options.page else paths, 1):
        if (options.only is not None and path.stem not in options.only) or reason(path):
            continue
        if not is_current(rows.get(key(path)), path):
            row = rows[key(path)] = measure(path)
            append(options.rows, row)
            said = row.get('failed') or row['errors']
            print(f'{number} of {len(paths)}: {key(path)}: {said}', flush=True)
        failed |= 'failed' in rows[key(path)]
    write_page(options, paths, rows)
    return int(failed)


def write_page(options: argparse.Namespace, paths: Sequence[Path], rows: dict[str, Row]) -> None:
    """The page and its picture: of every file its row, or why there is none."""
    listed = [known(path, rows.get(key(path))) for path in paths]
    options.write.parent.mkdir(parents=True, exist_ok=True)
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    options.write.write_text(markdown(listed, options.picture), encoding='utf-8')
    draw(listed, options.picture)


def known(path: Path, row: Row | None) -> Row:
    """What is known of a file: its row, if that is of this file, and why it has none."""
    why = reason(path)
    found = row if row is not None and not why and row['digest'] == digest(path) else {}
    return found | {'folder': path.parent.name, 'name': path.stem, 'reason': why}


def reason(path: Path) -> str | None:
    """Why a file is not measured, or None."""
    modules = golden.modules_of(path)
    if not modules:
        return 'jssl does not have this yet'
    if any(module.name.startswith('test_') for module in modules):
        return None
    return 'holds the spread of initial weights, which tests find within five standard errors'


def measure(path: Path) -> Row:
    """The row of a file, measured in a process of its own."""
    started = time.monotonic()
    row: Row = {'file': key(path), 'digest': digest(path), 'package': package(), 'commit': commit()}
    done = subprocess.run([*MEASURE, str(path)], cwd=ROOT, capture_output=True, text=True)
    row['seconds'] = round(time.monotonic() - started, 1)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        return row | {'failed': ''.join(last) or f'status {done.returncode}'}
    return row | json.loads(done.stdout.splitlines()[-1])


def key(path: Path) -> str:
    """What a file is called in the rows: its folder and its name."""
    return f'{path.parent.name}/{path.stem}'


def is_current(row: Row | None, path: Path) -> bool:
    """Whether a row is of this file and of this package."""
    return row is not None and (row['digest'], row['package']) == (digest(path), package())


def digest(path: Path) -> str:
    """A short digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def package() -> str:
    """The digest of jssl's files, which says whether a row is of another version."""
    found = hashlib.sha256()
    for file in sorted((ROOT / 'jssl').rglob('*.py')):
        found.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return found.hexdigest()[:16]


def commit() -> str:
    """The last commit that changed the package, with a plus where it was changed since."""
    last = _git('log', '-1', '--format=%h', '--abbrev=10', '--', 'jssl')
    return last + '+' * bool(_git('status', '--porcelain', '--', 'jssl'))


def _git(*arguments: str) -> str:
    done = subprocess.run(['git', *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def read_rows(path: Path) -> dict[str, Row]:
    """The rows by file, of each the last one."""
    if not path.exists():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()]
    return {row['file']: row for row in rows}


def append(path: Path, row: Row) -> None:
    """Adds a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a', encoding='utf-8') as file:
        file.write(f'{json.dumps(row)}\n')


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--only', nargs='+', metavar='NAME', help='names of files; default all')
    parser.add_argument('--page', action='store_true', help='measure nothing, write the page')
    parser.add_argument('--rows', type=Path, default=ROOT / 'runs/parity.jsonl')
    parser.add_argument('--write', type=Path, default=ROOT / 'docs/reference/parity.md')
    parser.add_argument('--picture', type=Path, default=ROOT / 'docs/images/parity.png')
    return parser.parse_args(argv)


if __name__ == '__main__':
    sys.exit(main())
