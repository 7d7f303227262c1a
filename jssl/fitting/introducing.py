"""What is checked of a run, and what it says of itself, before it begins."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from jssl.counts import counted
from jssl.data.reading.remarks import remarks
from jssl.errors import JsslError, show
from jssl.fitting.outcome import announce
from jssl.fitting.pretrained import check_weights, tell_changed_data
from jssl.runs.workdir import has_checkpoints
from jssl.training.callbacks import Callback, check_callbacks
from jssl.training.experiment import Experiment
from jssl.training.shapes import check_shapes

GROUP = 'bn_group_size'  # the field of a backbone, neck or head


def check_beforehand(
    experiment: Experiment, workdir: Path | str | None, callbacks: Sequence[Callback]
) -> None:
    """Raises a `JsslError` for what can be said before a directory is made."""
    if not isinstance(experiment, Experiment):
        raise JsslError(f'fit takes a jssl.Experiment and got {show(experiment)}.')
    check_callbacks(callbacks)
    if not has_checkpoints(workdir):  # a run that has begun needs them no more
        check_weights(experiment.pretrained, experiment.layout)
    check_shapes(experiment)


def introduce(
    experiment: Experiment,
    directory: Path,
    config: Mapping[str, Any],
    report: Callable[[str], None],
) -> None:
    """Says what is about to run, and what is remarkable about it."""
    report(f'{directory}: {_summary(experiment)}')
    report(share_of_a_device(experiment))
    tell_remarks(experiment, report)
    if experiment.pretrained:
        tell_changed_data(experiment.pretrained, config, experiment.listings, report)
    announce(experiment, report)


def _summary(experiment: Experiment) -> str:
    """What is about to run, in a line."""
    plan, mesh = experiment.plan, experiment.mesh
    where = 'kept on the device' if experiment.loader.resident else 'streamed'
    return (
        f'{type(experiment.algorithm).__name__}, {counted(len(experiment.data), "image")} {where}, '
        f'batch {experiment.batch_size}, {counted(experiment.epochs, "epoch")} = '
        f'{counted(plan.steps, "step")}, '
        f'{counted(mesh.size, f"{mesh.devices.flat[0].platform} device")}'
    )


def share_of_a_device(experiment: Experiment) -> str:
    """The images that a device has of a step, what batch norm goes by, and a rate that is scaled.

    Such as ``64 images a step on each of 64 devices of 8 processes; batch norm goes by groups of 32
    in the backbone and by all 4,096 elsewhere, whatever the devices``.
    """
    devices, processes = experiment.mesh.size, jax.process_count()
    each = f'{counted(experiment.batch_size // devices, "image")} a step'
    if devices > 1:
        each += f' on each of {devices} devices'
    if processes > 1:
        each += f' of {processes} processes'
    if experiment.accumulate > 1:
        each += f', in {experiment.accumulate} parts'
    return '; '.join([each, *_batch_norm(experiment), *_scaled_rate(experiment)])


def _batch_norm(experiment: Experiment) -> Iterator[str]:
    """By what batch norm goes, where there is any."""
    leaves = jax.tree_util.tree_leaves_with_path(experiment.state_shapes.state)
    normed = [name for path, _ in leaves if 'batch_stats' in (name := jax.tree_util.keystr(path))]
    if not normed:
        return
    batch, parts = experiment.batch_size, experiment.accumulate
    algorithm = experiment.algorithm
    fields = {field.name: getattr(algorithm, field.name) for field in dataclasses.fields(algorithm)}
    groups = {name: size for name, part in fields.items() if (size := getattr(part, GROUP, None))}
    if parts > 1 and any('backbone' in name for name in normed):
        groups.setdefault('backbone', batch // parts)
    by = [f'groups of {size:,} in the {name.replace("_", " ")}' for name, size in groups.items()]
    whole = f'all {batch:,}{" elsewhere" if by else ""}'
    yield f'batch norm goes by {" and by ".join([*by, whole])}, whatever the devices'


def _scaled_rate(experiment: Experiment) -> Iterator[str]:
    """What the rate is, where it was given for another batch."""
    given: Any = experiment.optimizer  # one of optax has none of these fields
    if (base := getattr(given, 'base_batch_size', None)) is not None:
        scaled = given.for_batch(experiment.batch_size).lr
        yield f'lr {scaled:g}, from {given.lr:g} for {base:,} images by the {given.batch_rule} rule'


def tell_remarks(experiment: Experiment, report: Callable[[str], None]) -> None:
    """Says once what is remarkable about the images of each part, none of which is an error."""
    side = getattr(experiment.eval_view, 'size', None)
    seen = side if isinstance(side, int) else math.inf  # a view of a user's own need not say it
    for part in experiment.listings:
        source = getattr(experiment, part)
        for line in remarks(source, experiment.canvas, experiment.channels, seen=seen):
            report(f'config.{part}: {line}')
