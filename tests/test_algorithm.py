import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Algorithm, Run, TrainState, image_batch, interleaved, one_view
from tests.checks import applied, assert_trees_close, refused, tiny_simclr, well_scaled

IMAGES = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
BATCH = {'views': (IMAGES, IMAGES), 'index': jnp.arange(4)}


@dataclasses.dataclass(frozen=True)
class Nothing(Algorithm):
    """An algorithm that defines nothing."""


class Mean(nn.Module):
    """A user's backbone that carries no batch statistics."""

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True) -> tuple[jax.Array]:
        return (nn.Dense(3)(images),)


def test_what_a_subclass_must_define_is_named() -> None:
    with pytest.raises(NotImplementedError, match=r'Nothing must define init'):
        Nothing().init(jax.random.key(0), BATCH)
    with pytest.raises(NotImplementedError, match=r'Nothing must define loss'):
        Nothing().loss({}, {}, BATCH)


def test_the_optional_parts_change_nothing_by_default() -> None:
    params, state, key = {'w': 1}, {'queue': 2}, jax.random.key(0)
    assert Nothing().draw(key, state, BATCH) is BATCH
    assert Nothing().after_step(params, state, jnp.array(3)) == (params, state)
    assert Nothing().predicts is None
    assert Nothing().caveat == ''
    assert Nothing().diagnose({'loss': 0.0}) is None
    assert Nothing().refresh(params, state, jnp.zeros((4, 2)), key) == (params, state)
    assert not any(Nothing().refreshes(epoch) for epoch in range(3))
    assert Nothing().sampler_labels(state) is None


def test_what_nobody_said_is_asked_for_in_words_that_can_be_typed() -> None:
    with refused('Nothing predicts nothing', 'extract_feat'):
        Nothing().predict({}, {}, BATCH)
    with refused('Nothing depends on', 'dataclasses.replace(algorithm, run=jssl.Run(samples='):
        _ = Nothing().known_run
    run = Run(samples=10, steps_per_epoch=3, epochs=4)
    assert dataclasses.replace(Nothing(), run=run).known_run.steps == 12


def test_images_are_a_batch_of_one_view_outside_of_training() -> None:
    batch = image_batch(IMAGES)
    assert batch.keys() == {'views', 'index', 'step'}
    assert one_view(batch, 'Nothing') is IMAGES
    np.testing.assert_array_equal(batch['index'], range(4))
    assert int(batch['step']) == 0


def test_an_algorithm_tells_which_parts_it_has() -> None:
    algorithm = tiny_simclr()
    assert algorithm.with_neck
    assert algorithm.with_head
    assert not algorithm.with_target_generator
    assert not Nothing().with_neck
    assert not Nothing().with_head


def test_an_algorithm_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        tiny_simclr().head = None  # type: ignore[assignment, misc]


def test_extract_feat_pools_the_backbone_in_evaluation_mode() -> None:
    algorithm = tiny_simclr()
    params, state = well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), BATCH))
    extract = jax.jit(algorithm.extract_feat)
    features = extract(params, state, IMAGES)
    variables = {key: tree['backbone'] for key, tree in {'params': params, **state}.items()}
    maps = applied(algorithm.backbone, variables, IMAGES, train=False)[-1]
    assert features.shape == (4, 8)
    np.testing.assert_allclose(features, maps.mean((1, 2)), rtol=1e-5)
    others = IMAGES.at[1:].set(0)  # in training mode the rest of the batch would matter
    np.testing.assert_allclose(extract(params, state, others)[0], features[0], rtol=1e-5)


def test_extract_feat_of_a_backbone_without_batch_statistics() -> None:
    algorithm = dataclasses.replace(tiny_simclr(), backbone=Mean())
    params = {'backbone': {'Dense_0': {'kernel': jnp.eye(3), 'bias': jnp.zeros(3)}}}
    features = algorithm.extract_feat(params, {'batch_stats': {'neck': {}}}, IMAGES)
    np.testing.assert_allclose(features, IMAGES.mean((1, 2)), atol=1e-6)


@dataclasses.dataclass(frozen=True)
class Taught(Nothing):
    keeps = 'teacher'


def test_what_is_kept_is_the_student_s_or_the_teacher_s() -> None:
    params, stats = {'backbone': jnp.ones(1)}, {'backbone': jnp.ones(2)}
    slow = {'params': {'backbone': jnp.ones(3)}, 'batch_stats': {'backbone': jnp.ones(4)}}
    state = {'batch_stats': stats, 'teacher': slow}
    assert Nothing().kept(params, state) == (params, stats)
    assert Taught().kept(params, state) == (slow['params'], slow['batch_stats'])
    assert Nothing().kept(params, {}) == (params, {})
    assert Taught().kept(params, {'batch_stats': stats}) == ({}, {})


def test_an_encoder_is_its_backbone_and_its_neck() -> None:
    encoder = tiny_simclr().encoder
    variables = well_scaled(jax.eval_shape(encoder.init, jax.random.key(0), IMAGES))
    parts = [{key: tree[name] for key, tree in variables.items()} for name in ('backbone', 'neck')]

    @jax.jit
    def both(images: jax.Array) -> tuple[jax.Array, jax.Array]:
        features, _ = encoder.backbone.apply(parts[0], images, mutable=['batch_stats'])
        projections, _ = encoder.neck.apply(parts[1], features, mutable=['batch_stats'])
        return projections, encoder.apply(variables, images, mutable=['batch_stats'])[0]

    projections, whole = both(IMAGES)
    np.testing.assert_allclose(projections, whole, rtol=1e-5)


def test_a_train_state_is_a_tree_of_all_its_parts() -> None:
    state = TrainState(
        step=jnp.zeros((), 'int32'),
        params={'w': jnp.ones(2)},
        state={'queue': jnp.ones(3)},
        opt_state=(jnp.ones(4),),
        rng=jax.random.key(0),
    )
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [(), (2,), (3,), (4,), ()]
    doubled = jax.tree.map(lambda leaf: leaf * 2, dataclasses.replace(state, rng=jnp.ones(())))
    assert_trees_close(doubled.params, {'w': np.full(2, 2.0)})


def test_views_of_several_sizes_cannot_pass_through_the_network_together() -> None:
    views = jnp.zeros((2, 24, 24, 3)), jnp.zeros((2, 16, 24, 3))
    with refused('views of 16 x 24 and 24 x 24 pixels', 'config.views the same size'):
        interleaved(views)
