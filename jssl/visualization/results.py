"""The first sections of a report: what a run is, what it reached, and what that is worth."""

import dataclasses
from collections.abc import Mapping, Sequence
from html import escape

from jssl.durations import format_duration
from jssl.visualization.page import cards, section, table, terms, warning
from jssl.visualization.wording import RESULT, Counts, in_order, meanings, wording, written

Scores = Mapping[str, float]
PRE_TRAINING = 'pre-training'
RUN = 'this run'
HEADLINE = ('test_accuracy', 'knn', 'linear', 'rankme')
DECISIVE = ('knn', 'linear')  # in which a run must be above its baselines


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a report says of a run besides its numbers.

    Attributes:
      purpose: what kind of run it is, such as `PRE_TRAINING` or 'linear probe of runs/simclr'.
      epochs: how many were trained.
      planned: how many there were to be.
      seconds: over all sessions of the run.
      counts: how many images, neighbours and dimensions the scores are of.
      warning: what is wrong with the features, in a sentence.
      stopped_by: the callback that ended the run early.
      commands: what can be done next: sentences, and the commands that do it.
    """

    purpose: str = PRE_TRAINING
    epochs: float = 0
    planned: float = 0
    seconds: float = 0
    counts: Counts = Counts()  # noqa: RUF009  a frozen dataclass
    warning: str | None = None
    stopped_by: str | None = None
    commands: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def labelled(self) -> bool:
        """Whether it trains with labels: it has no untrained network to beat."""
        return not self.purpose.startswith(PRE_TRAINING)


def headline(scores: Scores, baselines: Mapping[str, Scores], facts: Facts) -> str:
    """What the run is, its decisive numbers, and what is wrong with them."""
    values = {wording(key).name: written(key, scores[key]) for key in HEADLINE if key in scores}
    values |= {'epochs': f'{facts.epochs:g}', 'time': format_duration(facts.seconds)}
    early = (
        f', stopped by {facts.stopped_by} after {facts.epochs:g} of {facts.planned:g} epochs'
        if facts.stopped_by
        else ''
    )
    kind = f'<p class="kind">{escape(facts.purpose)}{escape(early)}</p>\n'
    warnings = [facts.warning] if facts.warning else []
    if not facts.labelled:
        warnings += filter(None, [shortfall(scores, baselines, facts)])
    return kind + cards(values) + ''.join(map(warning, warnings))


def shortfall(scores: Scores, baselines: Mapping[str, Scores], facts: Facts) -> str:
    """What the run does not beat, and what to try; empty where it beats all."""
    found = {subject: _below(scores, beaten) for subject, beaten in baselines.items()}
    said = [f'{_the(subject)} ({numbers})' for subject, numbers in found.items() if numbers]
    if not said:
        return ''
    return (
        f'The features are no better than {" and ".join(said)}. What to try, in a new --workdir: '
        f'more epochs (--config.epochs={max(2, round(4 * facts.epochs))}), another learning rate '
        '(config.optimizer.lr), and a look at the views below: what differs along a row is what '
        'the network learns to ignore, and the classes must not hang on it.'
    )


def _below(scores: Scores, beaten: Scores) -> str:
    """The numbers that are no better, beside those that they do not beat, and then the others."""
    keys = [key for key in DECISIVE if key in scores and key in beaten]
    said = {
        key: f'{wording(key).name} {written(key, scores[key])} against {written(key, beaten[key])}'
        for key in keys
    }
    below = [said[key] for key in keys if scores[key] <= beaten[key]]
    above = [said[key] for key in keys if scores[key] > beaten[key]]
    better = f'; better: {", ".join(above)}' if above else ''
    return ', '.join(below) + better if below else ''


def _the(subject: str) -> str:
    return 'the untrained network' if subject == 'random network' else subject


def results_section(scores: Scores, baselines: Mapping[str, Scores], facts: Facts) -> str:
    """The scores beside those of what has to be beaten, and what each of them means."""
    rows = {RUN: scores} | {name: row for name, row in baselines.items() if row}
    keys = in_order(key for row in rows.values() for key in row)
    if not keys:
        return ''
    text = f'On {facts.counts.judged} images. '
    if not facts.labelled:
        text = (
            f'On {facts.counts.judged} images, with frozen features. Training has to beat the raw '
            'pixels and the untrained network: what lies above them is what it has learned.'
        )
    names = [wording(key).name for key in keys]
    cells = [_row(name, row, keys, names) for name, row in rows.items()]
    heading = 'Result beside the baselines' if len(rows) > 1 else 'Result'
    explained = terms(meanings(scores, facts.counts))
    return section(heading, text, table(['', *names], cells, 'results'), explained)


def _row(name: str, row: Scores, keys: Sequence[str], names: Sequence[str]) -> str:
    cells = ''.join(
        f'<td data-name="{escape(title)}">{_cell(key, row.get(key))}</td>'
        for key, title in zip(keys, names, strict=True)
    )
    style = 'result' if name == RUN else ''
    return f'<tr class="{style}"><th scope="row">{escape(name)}</th>{cells}</tr>\n'


def _cell(key: str, value: float | None) -> str:
    if value is None:
        return '&ndash;'
    text = escape(written(key, value))
    if wording(key).group != RESULT or not wording(key).form.endswith('%'):
        return text
    return f'{text}<span class="bar"><span style="width: {100 * value:.1f}%"></span></span>'


def next_section(commands: Mapping[str, str]) -> str:
    """What can be done with the run, as it is typed."""
    lines = ''.join(
        f'<dt>{escape(what)}</dt><dd><code>{_command(command)}</code></dd>\n'
        for what, command in commands.items()
    )
    text = 'Typed in the folder where the run was started.'
    return section('What next', text, f'<dl class="terms">\n{lines}</dl>\n') if lines else ''


def _command(line: str) -> str:
    """A command that breaks between its arguments before it breaks inside one."""
    return ' '.join(f'<span class="word">{escape(word)}</span>' for word in line.split(' '))
