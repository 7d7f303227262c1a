"""MSN: a whole step as NumPy computes it, who sees what, and PMSN's prior."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf, log_softmax, softmax

from jssl.algorithms import MSN
from jssl.backbones import DINOViT
from jssl.layers.position_embedding import resize_positions
from tests.algorithms import runs, tiny_masked, tiny_models
from tests.checks import assert_trees_close, refused, well_scaled, widened

IMAGES, PATCH, WIDTH = 6, tiny_masked.PATCH, tiny_models.WIDTH
MOMENTUM = 0.9 + 0.1 * 3 / (1.25 * runs.RUN.steps)


def msn(**fields: Any) -> MSN:
    return dataclasses.replace(tiny_masked.tiny_msn(**fields), run=runs.RUN)


@functools.cache
def program(rounds: int = 3, exponent: float | None = None) -> Any:
    """(params, parameters of the teacher, state, batch) -> loss, and gradients of both."""
    model = msn(sinkhorn_iterations=rounds, prior_exponent=exponent)

    def loss(params: Any, slow: Any, state: Any, drawn: Any) -> Any:
        teacher = {**state['teacher'], 'params': slow}
        return model.loss(params, {**state, 'teacher': teacher}, drawn)

    return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))


def run(started: tuple[Any, Any], drawn: Any, **settings: Any) -> Any:
    params, state = started
    return program(**settings)(params, state['teacher']['params'], state, drawn)


def batch() -> dict[str, Any]:
    draw, sides = np.random.default_rng(0), (8, 8, 4, 4)
    views = tuple(jnp.asarray(draw.standard_normal((IMAGES, s, s, 3))) for s in sides)
    return {'views': views, 'index': jnp.arange(IMAGES), 'step': jnp.array(3)}


@pytest.fixture(scope='module')
def wide() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope='module')
def started(wide: None) -> tuple[Any, Any]:
    """A student, and a teacher that is another network."""
    shapes = jax.eval_shape(tiny_masked.tiny_msn().init, jax.random.key(0), batch())
    params, state = widened(well_scaled(shapes))
    params = jax.tree.map(lambda leaf: 2 * leaf, params)
    params['head']['last_layer']['weight_g'] = jnp.ones((1, 12))
    state['teacher']['params']['head']['last_layer']['weight_g'] = jnp.ones((1, 12))
    return params, state


def normalized(x: np.ndarray, axis: int, epsilon: float) -> np.ndarray:
    centred = x - x.mean(axis, keepdims=True)
    return centred / np.sqrt(centred.var(axis, keepdims=True) + epsilon)


def dense(x: np.ndarray, layer: Any) -> Any:
    return x @ layer['kernel'] + layer['bias']


def gelu(x: np.ndarray) -> Any:
    return x * (1 + erf(x / np.sqrt(2))) / 2


def layer_norm(x: np.ndarray, layer: Any) -> Any:
    return normalized(x, -1, 1e-6) * layer['scale'] + layer['bias']


def attention(x: np.ndarray, layer: Any, heads: int = 2) -> Any:
    joint = dense(x, layer['qkv']).reshape(*x.shape[:2], 3, heads, -1)
    query, key, value = np.moveaxis(joint, (2, 3), (0, 2))
    weights = softmax(query @ key.swapaxes(-1, -2) / np.sqrt(WIDTH // heads), axis=-1)
    return dense((weights @ value).swapaxes(1, 2).reshape(x.shape), layer['proj'])


def class_token(params: Any, images: Any, ids_keep: Any = None) -> Any:
    """The vision transformer with one block."""
    grid, images = images.shape[1] // PATCH, np.asarray(images)
    pixels = images.reshape(len(images), grid, PATCH, grid, PATCH, 3).swapaxes(2, 3)
    patches = pixels.reshape(len(images), grid * grid, -1)
    projection, table = params['patch_embed']['projection'], params['pos_embed']
    x = patches @ projection['kernel'].reshape(-1, WIDTH) + projection['bias']
    positions = np.asarray(resize_positions(table, (grid, grid), extra_tokens=1))
    x = x + positions[:, 1:]
    if ids_keep is not None:
        x = np.take_along_axis(x, ids_keep[..., None], axis=1)
    first = np.broadcast_to(params['cls_token'] + positions[:, :1], (len(images), 1, WIDTH))
    x, block = np.concatenate([first, x], axis=1), params['layers.0']
    x = x + attention(layer_norm(x, block['ln1']), block['attn'])
    hidden = gelu(dense(layer_norm(x, block['ln2']), block['ffn']['layers.0.0']))
    return layer_norm(x + dense(hidden, block['ffn']['layers.1']), params['ln1'])[:, 0]


def cosines(params: Any, x: Any, prototypes: Any) -> Any:
    """What the head makes of class tokens, its batch norms over all rows that it gets."""
    for linear, norm in (('mlp.0', 'mlp.1'), ('mlp.3', 'mlp.4')):
        x = normalized(dense(x, params[linear]), 0, 1e-5)
        x = gelu(x * params[norm]['scale'] + params[norm]['bias'])
    x = dense(x, params['mlp.6'])
    unit = prototypes / np.linalg.norm(prototypes, axis=0)
    return x / np.linalg.norm(x, axis=1, keepdims=True) @ unit


def balanced(p: np.ndarray, rounds: int) -> np.ndarray:
    for _ in range(rounds):
        p = p / p.sum(0)
        p = p / p.sum(1, keepdims=True)
    return p


def targets_of(params: Any, teacher: Any, image: Any, rounds: int) -> Any:
    prototypes = params['head']['last_layer']['weight_v']
    tokens = class_token(teacher['backbone'], image)
    p = softmax(cosines(teacher['head'], tokens, prototypes) / 0.1, axis=1) ** 4
    return balanced(p / p.sum(1, keepdims=True), rounds)


def loss_of(params: Any, targets: Any, anchors: Any, ids_keep: Any, exponent: Any) -> Any:
    prototypes = params['head']['last_layer']['weight_v']
    whole, *small = anchors
    tokens = class_token(params['backbone'], whole, ids_keep[:, 0])
    focal = np.concatenate([class_token(params['backbone'], image) for image in small])
    logits = [cosines(params['head'], rows, prototypes) / 0.1 for rows in (tokens, focal)]
    logs = log_softmax(np.concatenate(logits), axis=1)
    mean = np.exp(logs).mean(0)
    agreement = -(np.tile(targets, (3, 1)) * logs).sum(1).mean()
    if exponent is None:
        return agreement + np.log(12) + (mean * np.log(mean)).sum()
    prior = np.arange(1, 13.0) ** -exponent
    prior /= prior.sum()
    return agreement + (prior * np.log(prior / mean)).sum()


@pytest.mark.parametrize(('rounds', 'exponent'), [(3, None), (0, 0.25)], ids=['MSN', 'PMSN'])
def test_a_step_is_numpy_s(started: tuple[Any, Any], rounds: int, exponent: float | None) -> None:
    """Loss; its gradient, along one direction; the teacher after the step."""
    (params, state), model = jax.device_get(started), msn()
    drawn = model.draw(jax.random.key(1), state, batch())
    targets = targets_of(params, state['teacher']['params'], drawn['views'][0], rounds)
    given = targets, drawn['views'][1:], np.asarray(drawn['ids_keep']), exponent
    found = run(started, drawn, rounds=rounds, exponent=exponent)
    (loss, (left, _)), (grads, of_teacher) = jax.device_get(found)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_teacher))
    assert float(loss) == pytest.approx(loss_of(params, *given), rel=1e-9)

    draw = np.random.default_rng(2)
    ahead = jax.tree.map(lambda leaf: draw.standard_normal(leaf.shape), params)
    ahead['head']['last_layer']['weight_g'][:] = 0  # it is not trained
    moved = [jax.tree.map(lambda a, b, h=h: a + h * b, params, ahead) for h in (1e-5, -1e-5)]
    slope = (loss_of(moved[0], *given) - loss_of(moved[1], *given)) / 2e-5
    products = jax.tree.map(lambda g, d: float(np.sum(g * d)), grads, ahead)
    assert sum(jax.tree.leaves(products)) == pytest.approx(slope, rel=1e-6)

    after = jax.tree.map(lambda p, g: p - 0.1 * g, params, grads)
    _, end = jax.jit(model.after_step)(after, left, drawn['step'])
    old = state['teacher']['params']
    expected = jax.tree.map(lambda a, b: MOMENTUM * a + (1 - MOMENTUM) * b, old, after)
    assert_trees_close(end['teacher']['params'], expected, rtol=1e-12)
    assert_trees_close(end['teacher']['batch_stats'], left['teacher']['batch_stats'], rtol=0)


def test_the_masked_anchor_alone_lacks_patches(started: tuple[Any, Any]) -> None:
    drawn = msn().draw(jax.random.key(1), {}, batch())
    ids = np.asarray(drawn['ids_keep'])
    assert ids.shape == (IMAGES, 1, 8)
    assert len({tuple(sorted(row)) for row in ids[:, 0]}) > 1
    hidden = next(patch for patch in range(16) if patch not in ids[0, 0])
    row, column = 2 * (hidden // 4), 2 * (hidden % 4)
    plain = run(started, drawn)[0][0]
    for place, seen in ((0, True), (1, False), (2, True)):
        views = list(drawn['views'])
        corner = (row, column) if place < 2 else (0, 0)
        views[place] = views[place].at[0, corner[0], corner[1]].add(1.0)
        assert (run(started, {**drawn, 'views': tuple(views)})[0][0] != plain) == seen


def test_no_patch_is_left_out_where_none_is_to_be() -> None:
    draw = msn(mask_ratio=0.0).draw
    assert jax.eval_shape(draw, jax.random.key(0), {}, batch())['ids_keep'].shape[-1] == 16


def test_features_are_the_teacher_s(started: tuple[Any, Any]) -> None:
    params, state = jax.device_get(started)
    images = batch()['views'][0]
    expected = class_token(state['teacher']['params']['backbone'], images)
    np.testing.assert_allclose(msn().extract_feat(params, state, images), expected, rtol=1e-9)


def test_drop_path_is_the_student_s_alone() -> None:
    backbone = DINOViT(tiny_masked.VIT, img_size=8, patch_size=2, drop_path_rate=0.5)
    model = dataclasses.replace(msn(), backbone=backbone)
    assert 'drop_path' in jax.eval_shape(model.draw, jax.random.key(0), {}, batch())
    assert model.teacher.backbone.drop_path_rate == 0


def test_a_collapse_shows_in_the_targets(started: tuple[Any, Any]) -> None:
    """One image over and over has one target, which Sinkhorn makes the uniform one."""
    drawn = msn().draw(jax.random.key(1), {}, batch())
    whole, *anchors = drawn['views']
    same = {**drawn, 'views': (jnp.broadcast_to(whole[:1], whole.shape), *anchors)}
    plain, healthy = (
        run(started, given, rounds=0, exponent=0.25)[0][1][1] for given in (same, drawn)
    )
    assert plain['prototypes_used'] == 1 < healthy['prototypes_used']
    assert 'faster teacher' in str(msn().diagnose(plain))
    assert msn().diagnose(healthy) is None
    uniform = run(started, same)[0][1][1]['teacher_entropy']
    assert float(uniform) == pytest.approx(np.log(12), rel=1e-6)
    assert healthy['teacher_entropy'] < uniform


def test_what_cannot_be_trained_is_refused() -> None:
    head = tiny_masked.tiny_msn().head
    with refused('Stem gives none', 'VisionTransformer'):
        MSN(tiny_models.STEM, head)
    with refused('config.model.head.norm_last_layer=False', 'True'):
        dataclasses.replace(msn(), head=head.clone(norm_last_layer=False))
    with refused('MSN looks at single tokens', 'avg_token=True', 'set it to False'):
        dataclasses.replace(msn(), backbone=msn().backbone.clone(avg_token=True))
    small = {'views': batch()['views'][1:]}
    with refused('MSN needs two global crops of one size'):
        msn().init(jax.random.key(0), small)
