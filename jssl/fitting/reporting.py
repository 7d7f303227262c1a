"""What the report shows of a run: its pictures, its neighbours, and what its numbers are of.

Importing it imports matplotlib, so `fit` does so at the end.
"""

import dataclasses
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.algorithm import Params, State
from jssl.augment.ops.normalize import denormalize
from jssl.data.sources import Source, has_labels
from jssl.errors import attempt
from jssl.evaluation import Extracted, evenly_spaced
from jssl.evaluation.features import EvalView
from jssl.evaluation.metrics import Scores
from jssl.fitting.evaluating import RunEvaluator, ShownBatches
from jssl.fitting.pictures import reconstruct
from jssl.interop.safetensors import has_backbone
from jssl.runs.metrics import Row
from jssl.training.experiment import Experiment
from jssl.training.step import make_views
from jssl.visualization.embedding import choose_queries, nearest
from jssl.visualization.features import Neighbors, Shown
from jssl.visualization.reconstructions import Reconstructions
from jssl.visualization.report import write_report
from jssl.visualization.results import PRE_TRAINING, Facts
from jssl.visualization.wording import Counts

PICTURED = 6  # images in the grid of views
DRAWS = 3  # times each of them is augmented
MAPPED = 2000  # test images on the map
QUERIES, NEIGHBORS = 10, 8
Both = tuple[Extracted | None, Extracted]


@dataclasses.dataclass(frozen=True)
class Known:
    """What there is to report.

    Attributes:
      rows: of the run's metrics.
      scores: the result.
      baselines: what it has to beat.
      config: what config.json holds.
      epochs: how many were trained.
      seconds: over all sessions.
      stopped_by: the callback that ended the run early.
      features: of the images that probes learn from and of the held-out ones.
      painted: reconstructions of a masked image model.
      missing: sentences about what there should have been.
    """

    rows: Sequence[Row]
    scores: Scores
    baselines: Mapping[str, Scores]
    config: Mapping[str, Any]
    epochs: float
    seconds: float
    stopped_by: str | None
    features: Both | None
    painted: Reconstructions | None
    missing: Sequence[str]


def report(
    experiment: Experiment,
    evaluator: RunEvaluator,
    path: Path,
    known: Known,
    tell: Callable[[str], None],
) -> Path:
    """Writes the report to `path`, in the run's directory; `tell` is told what cannot be made."""
    views = attempt('The picture of views', partial(picture_views, experiment), tell)
    neighbors, test = None, None
    if known.features is not None:
        test = known.features[1]
        show = partial(show_neighbors, evaluator, *known.features)
        neighbors = attempt('The picture of neighbours', show, tell)
    return write_report(
        path,
        title=f'{type(experiment.algorithm).__name__}: {path.parent.name}',
        metrics=known.rows,
        scores=known.scores,
        baselines=known.baselines,
        config=known.config,
        facts=facts(experiment, evaluator, path.parent, known),
        views=views,
        features=None if test is None else test.features[:MAPPED],
        labels=None if test is None or test.labels is None else test.labels[:MAPPED],
        label_names=label_names(experiment),
        neighbors=neighbors,
        reconstructions=known.painted,
        missing=known.missing,
        tell=tell,
    )


def label_names(experiment: Experiment) -> Sequence[str] | None:
    """The names of the classes, numbered as the scores number them."""
    sources = (experiment.probe_source, experiment.test_data)
    return next(filter(None, (getattr(source, 'label_names', None) for source in sources)), None)


def facts(experiment: Experiment, evaluator: RunEvaluator, directory: Path, known: Known) -> Facts:
    """What the report says of the run besides its numbers."""
    train, test = known.features or (None, None)
    return Facts(
        purpose=purpose(experiment),
        epochs=known.epochs,
        planned=experiment.epochs,
        seconds=known.seconds,
        counts=counts(evaluator, train, test, judged(experiment)),
        warning=evaluator.warning,
        stopped_by=known.stopped_by,
        commands=commands(experiment, directory),
    )


def purpose(experiment: Experiment) -> str:
    """What kind of run it is, in words."""
    if experiment.algorithm.predicts != 'classes':
        began = f', begun with the backbone of {experiment.pretrained}'
        return PRE_TRAINING + (began if experiment.pretrained else '')
    if getattr(experiment.algorithm, 'frozen_backbone', False):
        return f'linear probe: a classifier on the frozen backbone of {experiment.pretrained}'
    if experiment.pretrained:
        return f'fine-tuning with labels of the backbone of {experiment.pretrained}'
    return 'training with labels, from scratch'


def judged(experiment: Experiment) -> str:
    """What the images are on which the features are looked at."""
    return 'training' if experiment.test_data is None else 'held-out'


def counts(
    evaluator: RunEvaluator,
    train: Extracted | None,
    test: Extracted | None,
    judged: str = 'held-out',
) -> Counts:
    """How many images the scores are of, and which ones."""
    if test is None:
        return Counts(judged=judged)
    frequent = 0 if test.labels is None else np.unique(test.labels, return_counts=True)[1].max()
    return Counts(
        test=len(test.features),
        learned=0 if train is None else len(train.features),
        neighbors=evaluator.neighbors,
        dimensions=test.features.shape[1],
        guessing=float(frequent / len(test.features)),
        judged=judged,
    )


def commands(experiment: Experiment, directory: Path) -> dict[str, str]:
    """What can be done with the run: sentences, and the commands."""
    if not has_backbone(experiment.state_shapes.params):
        return {}
    run, out = shlex.quote(str(directory)), shlex.quote(f'{directory.name}.safetensors')
    known = {
        'Features of your own images, in a folder called photos': (
            f'jssl embed {run} --data=folder:photos --out=features.npz'
        ),
        'The backbone in a file for others': f'jssl export {run} --out={out}',
    }
    if experiment.algorithm.predicts == 'classes' or not has_labels(experiment.probe_source):
        return known  # what follows needs labels, by which it classifies
    pretrained = f'--config.pretrained={run}'
    return known | {
        'A linear probe as in papers': f'jssl train eval/linear {pretrained}',
        'Fine-tuning with labels': f'jssl train eval/finetune {pretrained}',
    }


def show_neighbors(evaluator: RunEvaluator, train: Extracted | None, test: Extracted) -> Neighbors:
    """Held-out images beside those that kNN finds; without labels, beside others of them."""
    queries = choose_queries(len(test.features), test.labels, QUERIES)
    shown = show_images(evaluator, evaluator.held_out, queries, test.labels)
    if train is None:
        found = nearest(test.features[queries], test.features, NEIGHBORS, own=queries).ravel()
        others = show_images(evaluator, evaluator.held_out, found, test.labels)
        return Neighbors(shown, others, len(test.features) - 1, 'others of these images')
    found = nearest(test.features[queries], train.features, NEIGHBORS).ravel()
    others = show_images(evaluator, evaluator.probed, found, train.labels)
    where = 'labelled images, those that kNN searches'
    return Neighbors(shown, others, len(train.features), where)


def show_images(
    evaluator: RunEvaluator, of: ShownBatches, chosen: np.ndarray, labels: np.ndarray | None
) -> Shown:
    """Some of the images that were evaluated, as the evaluation sees them."""
    view = evaluator.experiment.eval_view
    batches = dataclasses.replace(of.batches, rows=of.batch_rows[chosen], batch_size=len(chosen))
    see = evaluator.experiment.jit_once(jax.vmap(view))
    images = see(next(iter(batches))['canvas'])
    names = [name_in(of.source, int(row)) for row in of.rows[chosen]]
    return Shown(to_levels(images, view), names, None if labels is None else labels[chosen])


def name_in(source: Source, row: int) -> str:
    """The file of an image, or its number."""
    try:
        return str(getattr(source, 'name_of')(row))  # noqa: B009  a source need not have it
    except Exception:  # it has none, or knows no name for this one
        return f'image {row}'


def picture_views(experiment: Experiment) -> np.ndarray:
    """Some training images beside their views: uint8 (PICTURED, 1 + views, h, w, C)."""
    rows = experiment.arrays if experiment.arrays is not None else experiment.loader[0]
    chosen = evenly_spaced(len(rows['canvas'].size), PICTURED)
    canvas = jax.tree.map(lambda array: jnp.asarray(array[chosen]), rows['canvas'])
    originals = experiment.jit_once(jax.vmap(experiment.eval_view))(canvas)
    pictures, draw = [originals], experiment.jit_once(partial(make_views, experiment.views))
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


def to_levels(images: jax.Array, view: EvalView) -> np.ndarray:
    """Normalised images -> uint8, by the view's `mean` and `std`, or by range if it has none."""
    mean, std = getattr(view, 'mean', None), getattr(view, 'std', None)
    if mean is not None and std is not None:
        levels = denormalize(images, mean, std)
    else:
        values = np.asarray(images, np.float32)
        levels = 255 * (values - values.min()) / max(np.ptp(values), 1e-6)
    return np.rint(levels).astype(np.uint8)
