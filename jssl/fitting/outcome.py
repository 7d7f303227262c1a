"""What a run leaves behind: weights for others, a report for people, a table on the terminal."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Params, State, TrainState
from jssl.augment.ops.normalize import denormalize
from jssl.durations import format_duration
from jssl.errors import attempt
from jssl.evaluation import Extracted, evenly_spaced
from jssl.evaluation.features import EvalView
from jssl.evaluation.metrics import Scores
from jssl.fitting.evaluating import RunEvaluator, in_words
from jssl.fitting.pictures import reconstruct
from jssl.fitting.pretrained import WEIGHTS
from jssl.interop.safetensors import has_backbone, save_backbone, save_parameters
from jssl.runs.describe import describe
from jssl.runs.metrics import BASELINE, EVALUATION, STOPPED, Row, metrics_of, of_kind
from jssl.runs.progress import Progress
from jssl.training.experiment import Experiment
from jssl.training.sharding import replicated
from jssl.training.step import make_views
from jssl.visualization.reconstructions import Reconstructions

REPORT = 'report.html'
PARAMETERS = 'parameters.safetensors'  # of an algorithm without a part called backbone
PICTURED = 6  # images in the grid of views
DRAWS = 3  # times each of them is augmented
SHOWN_IMAGES = 2000  # test images the report may show


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What `fit` returns.

    Attributes:
      train_state: after the last step.
      scores: of the last evaluation (`knn`, `linear`, `feature_std`, `rankme`, as far as there are
        any).
      baselines: scores of raw pixels and of the untrained network.
      workdir: the run's directory.
      files: weights and report, as far as they could be written.
      missing: sentences about all that could not be made, pictures too.
      unwritten: whether weights or report are among it.
      stopped_by: the callback that ended the run early, None where none did.
    """

    train_state: TrainState
    scores: Scores
    baselines: dict[str, Scores]
    workdir: Path
    files: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()
    unwritten: bool = False
    stopped_by: str | None = None


def announce(experiment: Experiment, report: Callable[[str], None]) -> None:
    """Says before the training what the run will not leave behind."""
    if not has_backbone(experiment.state_shapes.params):
        report(
            f'{type(experiment.algorithm).__name__} has no parameters called backbone: all that it '
            f'has are written in the end, under their own names, as {PARAMETERS}'
        )


def conclude(
    experiment: Experiment,
    evaluator: RunEvaluator,
    train_state: TrainState,
    rows: list[Row],
    directory: Path,
    config: Mapping[str, Any],
    started: float,
    progress: Progress,
) -> Outcome:
    """Writes weights and report and shows the table; every process calls it, the first one writes.

    None of them costs another one: of what fails a sentence says why, here and in the report.

    Args:
      experiment: what was carried out.
      evaluator: who evaluated it.
      train_state: after the last step.
      rows: of the run's metrics; empty in all processes but the first.
      directory: of the run.
      config: what its config.json holds.
      started: when, on the monotonic clock.
      progress: where the table is shown.
    """
    missing: list[str] = []

    def tell(sentence: str) -> None:
        missing.append(sentence)
        progress.print(sentence)

    gather = jax.jit(lambda tree: tree, out_shardings=replicated(experiment.mesh))
    params, state = gather((train_state.params, train_state.state))
    files: list[Path | None] = []
    if jax.process_index() == 0:
        write = partial(export, experiment, params, state, directory, int(train_state.step))
        files.append(attempt('The file of weights', write, tell))
    extract = partial(evaluator.features, int(train_state.step), train_state)
    extracted = attempt('What the report says of the features', extract, tell)
    if jax.process_index() != 0:
        return Outcome(train_state, {}, {}, directory)
    paint = partial(picture_reconstructions, experiment, *jax.device_get((params, state)))
    painted = attempt('The picture of reconstructions', paint, tell)
    outcome = Outcome(
        train_state,
        final_scores(rows),
        baseline_scores(rows),
        directory,
        stopped_by=next((row['subject'] for row in of_kind(rows, STOPPED)), None),
    )
    known = {
        'metrics': rows,
        'summary': outcome.scores | facts(experiment, evaluator, painted, started, progress),
        'baselines': outcome.baselines,
        'config': config,
        'reconstructions': painted,
        'missing': missing,
    }
    write = partial(report, experiment, evaluator, directory, extracted, known, tell)
    files.insert(0, attempt('The report', write, tell))
    written = tuple(path for path in files if path is not None)
    outcome = dataclasses.replace(
        outcome, files=written, missing=tuple(missing), unwritten=len(written) < len(files)
    )
    show_table(outcome, time.monotonic() - started, progress)
    return outcome


def facts(
    experiment: Experiment,
    evaluator: RunEvaluator,
    painted: 'Reconstructions | None',
    started: float,
    progress: Progress,
) -> dict[str, Any]:
    """What the report says besides scores; reconstructions are told on the terminal too."""
    found: dict[str, Any] = {'epochs': experiment.epochs, 'seconds': time.monotonic() - started}
    if warning := evaluator.warning:
        found['warning'] = warning
    if painted is not None:
        found |= {'psnr': painted.psnr, 'mean_psnr': painted.mean_psnr}
        progress.print(f'{"reconstructions":<16} {painted.summary}')
    return found


def export(
    experiment: Experiment, params: Params, state: State, directory: Path, steps: int
) -> Path:
    """Writes the backbone, or all parameters where no part of them is called so."""
    about = describe(
        getattr(experiment.algorithm, 'backbone', None),
        experiment.eval_view,
        experiment.canvas,
        experiment.channels,
        algorithm=type(experiment.algorithm).__name__,
        steps=steps,
        epochs=experiment.epochs,
        batch_size=experiment.batch_size,
        images=len(experiment.data),
    )
    if has_backbone(params):
        save_backbone(directory / WEIGHTS, params, state, metadata=about)
        return directory / WEIGHTS
    save_parameters(directory / PARAMETERS, params, metadata=about)
    return directory / PARAMETERS


def report(
    experiment: Experiment,
    evaluator: RunEvaluator,
    directory: Path,
    extracted: tuple[Extracted | None, Extracted] | None,
    known: Mapping[str, Any],
    tell: Callable[[str], None],
) -> Path:
    """Writes report.html with what is `known`, with features and labels, and with pictures."""
    from jssl.visualization.report import write_report

    views = attempt('The picture of views', partial(picture_views, experiment), tell)
    images = attempt('What shows test images', partial(picture_tests, experiment, evaluator), tell)
    features, labels = extracted[1] if extracted else (None, None)
    return write_report(
        directory / REPORT,
        title=f'{type(experiment.algorithm).__name__}: {directory.name}',
        views=views,
        test_images=images,
        features=None if features is None else features[:SHOWN_IMAGES],
        labels=None if labels is None else labels[:SHOWN_IMAGES],
        label_names=getattr(experiment.test_data, 'label_names', None),
        tell=tell,
        **known,
    )


def final_scores(rows: Sequence[Row]) -> Scores:
    """The last evaluation of a run."""
    found = of_kind(rows, EVALUATION)
    return metrics_of(found[-1]) if found else {}


def baseline_scores(rows: Sequence[Row]) -> dict[str, Scores]:
    """What raw pixels and the untrained network score, as measured before the first step."""
    return {row['subject']: metrics_of(row) for row in of_kind(rows, BASELINE)}


def picture_views(experiment: Experiment) -> np.ndarray:
    """Some training images beside their views: uint8 (PICTURED, 1 + views, h, w, C)."""
    rows = experiment.arrays if experiment.arrays is not None else experiment.loader[0]
    chosen = evenly_spaced(len(rows['canvas'].size), PICTURED)
    canvas = jax.tree.map(lambda array: jnp.asarray(array[chosen]), rows['canvas'])
    see = jax.jit(jax.vmap(experiment.eval_view))
    originals = see(canvas)
    pictures, draw = [originals], jax.jit(partial(make_views, experiment.views))
    for key in jax.random.split(jax.random.key(experiment.runtime.seed), DRAWS):
        pictures += draw(key, {'canvas': canvas, 'index': jnp.asarray(chosen)}).get('views', ())
    shape = originals.shape
    same = [jax.image.resize(images, shape, 'nearest') for images in pictures]
    return np.stack([to_levels(images, experiment.eval_view) for images in same], axis=1)


def picture_reconstructions(
    experiment: Experiment, params: Params, state: State
) -> Reconstructions | None:
    """What the network makes of held-out images, where its algorithm predicts pixels."""
    if experiment.algorithm.predicts != 'pixels':
        return None
    return reconstruct(experiment, params, state)


def picture_tests(experiment: Experiment, evaluator: RunEvaluator) -> np.ndarray:
    """The first test images as the evaluation sees them: uint8 (N, h, w, C)."""
    view, found = jax.jit(jax.vmap(experiment.eval_view)), []
    for batch in evaluator.test_batches:
        images = view(batch['canvas'])
        found.append(to_levels(images, experiment.eval_view))
        if sum(map(len, found)) >= SHOWN_IMAGES:
            break
    return np.concatenate(found)[:SHOWN_IMAGES]


def to_levels(images: jax.Array, view: EvalView) -> np.ndarray:
    """Normalised images -> uint8, by the view's `mean` and `std`, or by range if it has none."""
    mean, std = getattr(view, 'mean', None), getattr(view, 'std', None)
    if mean is not None and std is not None:
        levels = denormalize(images, mean, std)
    else:
        values = np.asarray(images, np.float32)
        levels = 255 * (values - values.min()) / max(np.ptp(values), 1e-6)
    return np.rint(levels).astype(np.uint8)


def show_table(outcome: Outcome, seconds: float, progress: Progress) -> None:
    """The result beside the baselines, and where everything is."""
    rows = {**outcome.baselines, 'this run': outcome.scores}
    for name, scores in rows.items():
        progress.print(f'  {name:<16} {in_words(scores)}')
    progress.print(f'  took {format_duration(seconds)}')
    for file in outcome.files:
        progress.print(f'  {file}')
