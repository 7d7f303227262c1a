import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.core import FrozenDict

from jssl.algorithm import Batch, Run, TrainState
from jssl.algorithms import ImageClassifier
from jssl.augment.ops.mixing import cutmix, mixup
from jssl.backbones import VisionTransformer
from jssl.heads import LinearClsHead, MultiClsHead
from jssl.layers.batch_norm import BatchNorm
from jssl.losses import CrossEntropyLoss, classification_loss
from jssl.necks import ClsBatchNormNeck
from jssl.optim.optimizers import AdamW, make_optimizer
from jssl.optim.schedules import Constant
from jssl.training import sharding
from jssl.training.step import make_train_step
from tests.algorithms import runs, tiny_models
from tests.checks import assert_trees_close, refused, well_scaled, widened

CLASSES = 6
LABELS = jnp.arange(tiny_models.BATCH) % CLASSES
RUN = Run(samples=48, steps_per_epoch=3, epochs=4, classes=CLASSES)
HEAD = LinearClsHead(CLASSES, init_std=0.5)
VIT: Any = FrozenDict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16)  # hashable
KEY = jax.random.key(3)


def classifier(backbone: nn.Module | None = None, **fields: Any) -> ImageClassifier:
    return ImageClassifier(**({'backbone': backbone or tiny_models.Stem(), 'head': HEAD} | fields))


PLAIN = classifier()
FROZEN = classifier(neck=ClsBatchNormNeck(), frozen_backbone=True)


def batch() -> Batch:
    return {**runs.seen(copies=1), 'label': LABELS}


@functools.cache
def start(algorithm: ImageClassifier) -> tuple[Any, Any]:
    return well_scaled(jax.eval_shape(algorithm.init, KEY, batch()))


@functools.cache
def differentiated(algorithm: ImageClassifier) -> Any:
    return jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))


def run(algorithm: ImageClassifier, seen: Batch | None = None) -> Any:
    """Loss, (state, metrics) and gradients of a batch, after `draw`."""
    params, state = start(algorithm)
    drawn = algorithm.draw(KEY, state, batch() if seen is None else seen)
    (loss, aux), grads = differentiated(algorithm)(params, state, drawn)
    return loss, *aux, grads


def test_the_loss_is_the_cross_entropy_of_the_logits_in_training_mode() -> None:
    params, state = start(PLAIN)
    loss, after, metrics, grads = run(PLAIN)
    apply = functools.partial(PLAIN.network.apply, mutable=['batch_stats'])
    logits, updates = jax.jit(apply)({'params': params, **state}, batch()['views'][0])
    assert float(loss) == pytest.approx(float(classification_loss(logits, LABELS)), rel=1e-5)
    assert_trees_close(after['batch_stats'], updates['batch_stats'], rtol=1e-5)
    best = np.argsort(-np.asarray(logits), axis=1)
    assert float(metrics['top1']) == pytest.approx(float((best[:, 0] == LABELS).mean()))
    hits = (best[:, :5] == np.asarray(LABELS)[:, None]).any(axis=1)
    assert float(metrics['top5']) == pytest.approx(float(hits.mean()))
    assert all(np.any(leaf) for leaf in jax.tree.leaves(grads))


def test_labels_decide_and_their_order_with_the_images_does_not() -> None:
    order = np.random.default_rng(0).permutation(tiny_models.BATCH)
    view = batch()['views'][0]
    loss = float(run(PLAIN)[0])
    moved = {**batch(), 'views': (view[order],), 'label': LABELS[order]}
    assert float(run(PLAIN, moved)[0]) == pytest.approx(loss, rel=1e-5)
    assert float(run(PLAIN, {**batch(), 'label': LABELS[order]})[0]) != pytest.approx(loss)


def test_a_frozen_backbone_keeps_parameters_statistics_and_has_no_gradient() -> None:
    params, state = start(FROZEN)
    _, after, _, grads = run(FROZEN)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(grads['backbone']))
    assert np.any(grads['head']['fc']['kernel'])
    before = state['batch_stats']
    assert_trees_close(after['batch_stats']['backbone'], before['backbone'], rtol=0)
    assert np.any(after['batch_stats']['neck']['bn']['mean'] != before['neck']['bn']['mean'])
    optimizer = make_optimizer(
        AdamW(lr=0.1, weight_decay=0.5),
        Constant(),
        steps_per_epoch=1,
        epochs=1,
        is_frozen=FROZEN.is_frozen,
    )
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(updates['backbone']))
    assert np.all(updates['head']['fc']['kernel'])


def test_a_frozen_backbone_uses_its_running_statistics() -> None:
    algorithm = classifier(frozen_backbone=True)
    params, state = start(algorithm)
    logits = jax.jit(algorithm.predict)(params, state, batch())
    expected = float(classification_loss(logits, LABELS))
    assert float(run(algorithm)[0]) == pytest.approx(expected, rel=1e-5)
    assert float(run(PLAIN)[0]) != pytest.approx(expected)  # those of the batch


def test_predictions_are_those_of_evaluation_mode() -> None:
    params, state = start(PLAIN)
    images = batch()['views'][0]
    predict = jax.jit(PLAIN.predict)
    logits = predict(params, state, {'views': (images,)})
    assert logits.shape == (tiny_models.BATCH, CLASSES)
    np.testing.assert_allclose(
        predict(params, state, {'views': (images[:8],)}), logits[:8], rtol=1e-5
    )
    features = PLAIN.extract_feat(params, state, images)
    head = params['head']['fc']
    np.testing.assert_allclose(features @ head['kernel'] + head['bias'], logits, rtol=1e-4)


def test_mixup_and_cutmix_are_drawn_and_their_targets_trained_on() -> None:
    _, state = start(PLAIN)
    mixed = PLAIN.draw(KEY, state, batch())
    assert 'target' not in mixed
    key, (view,) = jax.random.split(KEY)[1], batch()['views']
    hot = jax.nn.one_hot(LABELS, CLASSES)
    for field, operation in (('mixup', mixup), ('cutmix', cutmix)):
        mixing: dict[str, Any] = {field: 0.7}
        drawn = classifier(**mixing).draw(KEY, state, batch())
        images, targets = operation(key, view, hot, 0.7)
        np.testing.assert_array_equal(drawn['views'][0], images)
        np.testing.assert_array_equal(drawn['target'], targets)
    both = classifier(mixup=0.8, cutmix=1.0)
    drawn = both.draw(KEY, state, batch())
    np.testing.assert_allclose(drawn['target'].sum(1), 1, rtol=1e-6)
    params, state = start(both)
    apply = functools.partial(both.network.apply, mutable=['batch_stats'])
    logits, _ = jax.jit(apply)({'params': params, **state}, drawn['views'][0])
    expected = float(classification_loss(logits, drawn['target']))
    assert float(run(both)[0]) == pytest.approx(expected, rel=1e-5)


def test_a_head_of_several_stages_adds_their_losses() -> None:
    head = MultiClsHead(in_indices=(3, 4), num_classes=CLASSES, init_std=0.1)
    algorithm = classifier(TwoStages(), head=head)
    loss, _, metrics, _ = run(algorithm)
    assert metrics.keys() == {f'{n}.{i}' for n in ('loss', 'top1', 'top5') for i in (1, 2)}
    assert float(loss) == pytest.approx(float(metrics['loss.1'] + metrics['loss.2']), rel=1e-6)
    logits = jax.eval_shape(algorithm.predict, *start(algorithm), batch())
    assert logits.shape == (tiny_models.BATCH, 2, CLASSES)


class TwoStages(nn.Module):
    """A backbone of two outputs."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array, jax.Array]:
        x = nn.relu(BatchNorm()(nn.Conv(4, (3, 3), strides=2)(images), train))
        return x, nn.Conv(8, (3, 3))(x)


def test_drop_path_is_random_by_the_key_in_the_batch_alone() -> None:
    vit = VisionTransformer(VIT, img_size=8, patch_size=4, avg_token=True, drop_path_rate=0.5)
    algorithm = classifier(vit)
    params, state = start(algorithm)
    found = [
        float(differentiated(algorithm)(params, state, algorithm.draw(key, state, batch()))[0][0])
        for key in (KEY, KEY, jax.random.key(4))
    ]
    assert found[0] == found[1] != found[2]
    assert algorithm.get_layer_depth('backbone.layers.1.ln1.scale') == (2, 4)
    assert algorithm.get_layer_depth('head.fc.kernel') == (3, 4)
    with refused('drop_path_rate', 'draw'):
        algorithm.loss(params, state, batch())


@dataclasses.dataclass(frozen=True)
class Margin:
    """A user's own loss."""

    width: float = 1.0

    def __call__(self, logits: jax.Array, targets: jax.Array) -> jax.Array:
        picked = jnp.take_along_axis(logits, targets[:, None], axis=1)
        return jnp.maximum(0, self.width + logits - picked).mean()


def test_the_head_s_loss_is_what_is_minimised() -> None:
    loss, _, metrics, _ = run(classifier(head=HEAD.clone(loss=Margin(2.0))))
    other = run(classifier(head=HEAD.clone(loss=CrossEntropyLoss(loss_weight=3.0))))
    assert float(other[0]) == pytest.approx(3 * float(run(PLAIN)[0]), rel=1e-5)
    assert float(loss) != pytest.approx(float(run(PLAIN)[0]))
    assert float(metrics['top1']) == float(run(PLAIN)[2]['top1'])


def test_the_data_say_how_many_classes_there_are() -> None:
    open_head = LinearClsHead()
    assert classifier(head=open_head, run=RUN).network.head.num_classes == CLASSES
    unknown = dataclasses.replace(RUN, classes=None)
    assert classifier(run=unknown).network.head is HEAD
    assert classifier(head=LinearClsHead(9), run=RUN).network.head.num_classes == 9
    with refused('num_classes=4', '6 classes', 'config.model.head.num_classes=6'):
        classifier(head=LinearClsHead(4), run=RUN)
    with refused('num_classes is not set', 'config.model.head.num_classes'):
        jax.eval_shape(classifier(head=open_head, run=unknown).init, KEY, batch())


def test_what_cannot_be_trained_is_refused() -> None:
    with refused('one view', 'got 2', 'copies=1'):
        jax.eval_shape(PLAIN.init, KEY, {**runs.seen(copies=2), 'label': LABELS})
    with refused('learns from labels', 'config.data'):
        PLAIN.loss(*start(PLAIN), runs.seen(copies=1))
    with refused('ImageClassifier.mixup=-0.1', 'at least 0'):
        classifier(mixup=-0.1)


def test_bfloat16_compute_keeps_the_loss_in_float32() -> None:
    head = HEAD.clone(dtype=jnp.bfloat16)
    loss, state, _, _ = run(classifier(tiny_models.Stem(dtype=jnp.bfloat16), head=head))
    assert {leaf.dtype for leaf in jax.tree.leaves((loss, state))} == {jnp.dtype('float32')}
    assert float(loss) == pytest.approx(float(run(PLAIN)[0]), rel=0.05)


def labelled(step: int) -> dict[str, Any]:
    rows = runs.batch(step)
    return rows | {'label': rows['index'] % CLASSES}


def losses(algorithm: ImageClassifier, devices: int) -> list[float]:
    """Those of four steps on so many devices, in float64."""
    mesh, optimizer = sharding.make_mesh(devices=devices), optax.sgd(0.05)
    params, stats = jax.tree.map(jnp.copy, widened(start(algorithm)))
    opt_state = optimizer.init(params)
    state = TrainState(jnp.zeros((), 'int32'), params, stats, opt_state, jax.random.key(5))
    shardings = sharding.state_shardings(state, mesh)
    views = functools.partial(runs.tinted, copies=1)
    step = make_train_step(algorithm, views, optimizer, shardings=shardings)
    state, found = jax.device_put(state, shardings), []
    for number in range(4):
        rows = runs.batch(number)
        rows['label'] = rows['index'] % CLASSES
        state, metrics = step(state, sharding.put_batch(rows, mesh))
        found.append(float(metrics['loss']))
    return found


@pytest.mark.usefixtures('float64')
def test_eight_devices_give_the_losses_of_one() -> None:
    algorithm = classifier(mixup=0.8, cutmix=1.0)
    one, eight = losses(algorithm, 1), losses(algorithm, 8)
    np.testing.assert_allclose(eight, one, rtol=1e-10)
    assert len(set(one)) == 4
