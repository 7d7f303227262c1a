"""Pieces of a self-contained HTML page: no script, no address outside, readable light and dark."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from matplotlib.figure import Figure

from jssl.errors import attempt
from jssl.visualization.figures import DARK, LIGHT, Theme
from jssl.visualization.images import data_uri
from jssl.visualization.names import savable

STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --faint: #626a73; --line: #e1e4e8;
  --page: #ffffff; --card: #f6f8fa; --accent: #0072b2; --right: #0072b2; --wrong: #d55e00;
  --warn: #fff4e5; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --faint: #9da5ae; --line: #343a41;
  --page: #16191d; --card: #1f2429; --accent: #56b4e9; --right: #56b4e9; --wrong: #f0a43a;
  --warn: #3a2d17; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 2.5rem 1.25rem 3rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
.kind { font-size: 1.05rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .4rem; padding-top: 1.1rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.8rem 0 .6rem; }
h4 { font-size: .92rem; margin: 0 0 .2rem; font-weight: 600; }
p { max-width: 44rem; margin: .3rem 0 1rem; text-wrap: pretty; }
p, figcaption, footer { color: var(--faint); }
img { max-width: 100%; height: auto; display: block; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.4rem, 1fr)); gap: .8rem;
  margin: 1.6rem 0 0; padding: 0; }
.cards div { background: var(--card); border-radius: .6rem; padding: .8rem .9rem; }
.cards dt { color: var(--faint); font-size: .85rem; }
.cards dd { margin: 0; font-size: 1.35rem; font-weight: 650; line-height: 1.4; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
.warning { background: var(--warn); border-left: 4px solid var(--wrong); border-radius: .3rem;
  padding: .8rem 1rem; margin: 1.4rem 0 0; max-width: none; color: var(--ink); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.results { width: 100%; }
th, td { text-align: left; padding: .5rem 1.2rem .5rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; }
thead th { white-space: nowrap; color: var(--faint); font-weight: 500; font-size: .85rem; }
tbody th { font-weight: 500; white-space: nowrap; }
tr.result th, tr.result td { font-weight: 700; }
.bar { display: block; height: .35rem; border-radius: .2rem; background: var(--line);
  margin-top: .3rem; max-width: 11rem; min-width: 4rem; }
.bar span { display: block; height: 100%; border-radius: .2rem; background: var(--faint); }
tr.result .bar span { background: var(--accent); }
.terms { display: grid; grid-template-columns: minmax(8rem, auto) 1fr; gap: .35rem 1.4rem;
  margin: 1.1rem 0 0; font-size: .92rem; }
.terms dt { font-weight: 600; }
.terms dd { margin: 0; color: var(--faint); max-width: 46rem; text-wrap: pretty; }
code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  color: var(--ink); }
.panels { display: grid;
  grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr));
  gap: 1.6rem 2rem; align-items: end; }
figure { margin: 0; }
.panels img { width: 100%; }
.pixels { image-rendering: pixelated; }
.views { width: 100%; max-width: 800px; }
.map { max-width: 820px; }
.names { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; margin: .6rem 0 0; padding: 0;
  list-style: none; }
.neighbors { display: grid;
  grid-template-columns: minmax(0, 7.1rem) repeat(var(--columns), minmax(0, 6.4rem));
  gap: .45rem .4rem; align-items: start; margin: 0 0 1rem; }
.neighbors figure { text-align: center; min-width: 0; }
.neighbors img { width: 100%; border: 3px solid transparent; border-radius: .3rem; }
.neighbors .query { margin-right: .7rem; }
.neighbors .right img { border-color: var(--right); }
.neighbors .wrong img { border: 3px dashed var(--wrong); }
.neighbors figcaption { font-size: .78rem; line-height: 1.3; overflow-wrap: anywhere; }
.neighbors small { display: block; font-size: .68rem; color: var(--faint); font-weight: 400; }
.neighbors .wrong figcaption { color: var(--wrong); font-weight: 650; }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 500; }
pre { background: var(--card); border-radius: .6rem; padding: 1rem; margin: .4rem 0 1rem;
  white-space: pre-wrap; overflow-wrap: anywhere;
  font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.word { display: inline-block; max-width: 100%; vertical-align: top; }
.small { font-size: .9rem; }
footer { margin-top: 3rem; font-size: .85rem; }
@media (max-width: 640px) {
  main { padding: 1.5rem 1rem 2rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, th, td { display: block; }
  tr { padding: .6rem 0; border-bottom: 1px solid var(--line); }
  th, td { padding: .15rem 0; border: 0; overflow-wrap: anywhere; white-space: normal; }
  tbody th { font-weight: 650; white-space: normal; }
  .results td { display: grid; grid-template-columns: 9rem 1fr; }
  .results td::before { content: attr(data-name); color: var(--faint); font-weight: 400; }
  .results .bar { grid-column: 2; }
  .terms { grid-template-columns: minmax(0, 1fr); gap: .1rem; }
  .terms dd { margin: 0 0 .6rem; }
  .neighbors { grid-template-columns: repeat(4, minmax(0, 1fr)); margin-bottom: 1.6rem; }
  .neighbors .query { grid-column: 1 / -1; max-width: 6.4rem; }
}
@media print { h2 { break-after: avoid; } figure, .panels figure { break-inside: avoid; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML document; nothing in it hinders it from being saved as UTF-8."""
    return savable(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="generator" content="jssl">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n'
        f'{"".join(parts)}</main>\n</body>\n</html>\n'
    )


def section(heading: str, text: str, *content: str) -> str:
    """A heading, a sentence that says how to read what follows, and what follows (HTML)."""
    paragraph = f'<p>{escape(text)}</p>\n' if text else ''
    return f'<section>\n<h2>{escape(heading)}</h2>\n{paragraph}{"".join(content)}</section>\n'


def warning(text: str) -> str:
    """A sentence that stands out."""
    return f'<p class="warning">{escape(text)}</p>\n'


def part(what: str, make: Callable[[], str], tell: Callable[[str], None]) -> str:
    """A part of the page, or a sentence in its place, which `tell` is told too."""
    said: list[str] = []
    made = attempt(what, make, said.append)
    for sentence in said:
        tell(sentence)
    return ''.join(map(warning, said)) if made is None else made


def terms(values: Mapping[str, str]) -> str:
    """What each name means."""
    items = ''.join(
        f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>\n' for name, value in values.items()
    )
    return f'<dl class="terms">\n{items}</dl>\n' if items else ''


def cards(values: Mapping[str, str]) -> str:
    """The headline numbers."""
    items = [
        f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n'
        for name, value in values.items()
    ]
    return f'<dl class="cards">\n{"".join(items)}</dl>\n'


def image(uri: str, description: str, style: str = '') -> str:
    """An image with the words that stand for it where it cannot be seen."""
    return f'<img class="{style}" src="{uri}" alt="{escape(description)}">\n'


def themed_image(
    draw: Callable[[Theme], Figure], encode: Callable[[Figure], bytes], kind: str, description: str
) -> str:
    """A plot drawn twice, of which the browser shows the one that fits the page's colours.

    Args:
      draw: makes the figure in given colours.
      encode: the figure -> the file's content.
      kind: its media type.
      description: the words that stand for the plot.
    """
    light, dark = (data_uri(kind, encode(draw(theme))) for theme in (LIGHT, DARK))
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    return f'<picture>{source}{image(light, description)}</picture>\n'


def table(head: Sequence[str], rows: Iterable[str], style: str = '') -> str:
    """A table from column titles and finished rows (HTML)."""
    titles = ''.join(f'<th scope="col">{escape(title)}</th>' for title in head)
    return (
        f'<table class="{style}"><thead><tr>{titles}</tr></thead>\n'
        f'<tbody>{"".join(rows)}</tbody></table>\n'
    )


def pairs(values: Mapping[str, Any]) -> str:
    """A table of names and values."""
    rows = [
        f'<tr><th scope="row">{escape(str(name))}</th><td>{escape(str(value))}</td></tr>\n'
        for name, value in values.items()
    ]
    return f'<table class="small"><tbody>{"".join(rows)}</tbody></table>\n'


def name_of_file(name: str) -> str:
    """A name that is too long for its place breaks after a separator before it breaks elsewhere."""
    return re.sub('([/_.-])', r'\1<wbr>', escape(name))


def folded(heading: str, content: str) -> str:
    """Something long that opens on a click."""
    return f'<details>\n<summary>{escape(heading)}</summary>\n{content}</details>\n'
