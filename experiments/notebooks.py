"""The notebooks of three tutorials, made of their pages, and run.

    pip install -e '.[docs]'
    python -m experiments.notebooks          # writes docs/notebooks/*.ipynb
    python -m experiments.notebooks --run    # runs them too; CI does

A page stays the source: its Python is the cells, and all else the text between them.
"""

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).resolve().parent.parent / 'docs'
FOLDER = DOCS / 'notebooks'
PAGES = ('model', 'memory', 'loop')
SIBLING = re.compile(r'\]\((\w+\.md)')  # a link to another page of the tutorials
LONGEST = 300  # seconds of a cell


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the notebooks, and runs them if asked; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--run', action='store_true', help='run each, in a folder of its own')
    options = parser.parse_args(argv)
    FOLDER.mkdir(exist_ok=True)
    for page in PAGES:
        notebook = made((DOCS / 'tutorials' / f'{page}.md').read_text(encoding='utf-8'))
        nbformat.write(notebook, FOLDER / f'{page}.ipynb')
        print(FOLDER / f'{page}.ipynb', flush=True)
        if options.run:
            run(notebook)
    return 0


def made(text: str) -> Any:
    """The notebook of a page; without outputs, and the same each time."""
    text = SIBLING.sub(r'](../tutorials/\1', text)
    text = text.replace('```bash\n', '```console\n')  # which would become cells that train
    notebook = jupytext.reads(text, fmt='md')
    kernel = {'name': 'python3', 'display_name': 'Python 3', 'language': 'python'}
    notebook.metadata = nbformat.from_dict({'kernelspec': kernel})
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f'cell-{number}', nbformat.from_dict({})
    notebook.nbformat_minor = 5
    nbformat.validate(notebook)
    return notebook


def run(notebook: Any) -> None:
    """Runs all cells in a folder that is thrown away; raises what a cell raises."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        resources = {'metadata': {'path': folder}}
        client = NotebookClient(
            notebook, timeout=LONGEST, startup_timeout=LONGEST, resources=resources
        )
        client.execute()
    print(f'  ran in {time.monotonic() - started:.0f} s', flush=True)


if __name__ == '__main__':
    sys.exit(main())
