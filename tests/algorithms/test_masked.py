"""What holds for MAE, SimMIM and MaskFeat alike: masks, losses, and what they must not see."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.algorithm import Algorithm, Batch
from jssl.algorithms import MAE, MaskFeat, SimMIM
from jssl.necks import LinearNeck, SimMIMNeck
from jssl.target_generators import CLIPGenerator
from tests.algorithms import tiny_masked, tiny_models
from tests.checks import assert_trees_close, refused, well_scaled

BUILDERS: dict[str, Callable[..., Any]] = {
    'MAE': tiny_masked.tiny_mae,
    'MaskFeat': tiny_masked.tiny_maskfeat,
    'SimMIM': functools.partial(tiny_masked.tiny_simmim, drop_path_rate=0.3),
}
IMAGES = jax.random.normal(jax.random.key(0), (4, tiny_models.SIDE, tiny_models.SIDE, 3))


@functools.cache
def algorithm(name: str) -> Any:
    return BUILDERS[name]()


@functools.cache
def batch(name: str) -> Batch:
    views = {'views': (IMAGES,), 'index': jnp.arange(len(IMAGES))}
    return jax.jit(algorithm(name).draw)(jax.random.key(1), {}, views)


@functools.cache
def params(name: str) -> Any:
    return well_scaled(jax.eval_shape(algorithm(name).init, jax.random.key(0), batch(name)))[0]


@functools.cache
def compiled(name: str) -> Any:
    return jax.jit(jax.value_and_grad(algorithm(name).loss, has_aux=True))


def hidden(name: str) -> np.ndarray:
    """The masked pixels (B, H, W) of `batch`."""
    mask = np.asarray(batch(name)['mask']).reshape(
        len(IMAGES), tiny_models.SIDE // tiny_masked.PATCH, -1
    )
    return mask.repeat(tiny_masked.PATCH, axis=1).repeat(tiny_masked.PATCH, axis=2)


@pytest.mark.parametrize('name', BUILDERS)
def test_masks_hide_their_share_and_differ_between_images(name: str) -> None:
    mask = hidden(name)
    shares = {'MAE': 0.75, 'MaskFeat': 6 / 16, 'SimMIM': 0.75}  # of four cells three are 0.6 and up
    np.testing.assert_allclose(mask.mean(axis=(1, 2)), shares[name])
    assert len({image.tobytes() for image in mask}) > 1


@pytest.mark.parametrize('name', BUILDERS)
def test_the_loss_trains_every_parameter_but_the_fixed_tables(name: str) -> None:
    (loss, (state, metrics)), grads = compiled(name)(params(name), {}, batch(name))
    assert state == {}
    assert np.isfinite(loss)
    assert metrics.keys() == {'explained_variance'}
    for path, grad in jax.tree.leaves_with_path(grads):
        parameter = jax.tree_util.keystr(path, simple=True, separator='.')
        assert np.any(grad) != algorithm(name).is_frozen(parameter), parameter


@pytest.mark.parametrize('name', ['MAE', 'SimMIM'])
def test_nothing_hidden_reaches_the_reconstruction_and_all_visible_does(name: str) -> None:
    mask = hidden(name)
    predict = jax.jit(algorithm(name).predict)
    found = predict(params(name), {}, batch(name))
    np.testing.assert_array_equal(found.hidden, mask != 0)
    assert found.images.shape == IMAGES.shape

    def changed(where: np.ndarray) -> Any:
        images = jnp.where(where[..., None], -IMAGES, IMAGES)
        return predict(params(name), {}, {**batch(name), 'views': (images,)}).images

    np.testing.assert_array_equal(changed(mask != 0), found.images)
    assert np.any(changed(mask == 0) != found.images)


@pytest.mark.parametrize('name', BUILDERS)
def test_images_keep_their_masks_in_another_order(name: str) -> None:
    order = np.array([2, 0, 3, 1])
    moved = {
        key: jax.tree.map(lambda leaf: np.asarray(leaf)[order], value)
        for key, value in batch(name).items()
        if key != 'drop_path'
    }
    plain = {key: value for key, value in batch(name).items() if key != 'drop_path'}
    run = compiled(name)
    if name == 'SimMIM':  # without the noise that is drawn for a place in the batch
        still = tiny_masked.tiny_simmim(drop_path_rate=0.0)
        run = jax.jit(lambda *given: (still.loss(*given), None))
    one, other = (run(params(name), {}, inputs)[0][0] for inputs in (plain, moved))
    assert float(other) == pytest.approx(float(one), rel=1e-5)


@pytest.mark.parametrize('name', BUILDERS)
def test_bfloat16_compute_keeps_the_loss_in_float32(name: str) -> None:
    half = BUILDERS[name](dtype=jnp.bfloat16)
    loss, (_, metrics) = jax.eval_shape(half.loss, params(name), {}, batch(name))
    assert {leaf.dtype for leaf in jax.tree.leaves((loss, metrics))} == {jnp.dtype('float32')}


@pytest.mark.parametrize('name', BUILDERS)
def test_one_view_is_needed(name: str) -> None:
    two = {'views': (IMAGES, IMAGES)}
    with refused(name, 'one view', 'got 2', 'copies=1'):
        jax.eval_shape(algorithm(name).draw, jax.random.key(0), {}, two)


@pytest.mark.parametrize('name', BUILDERS)
def test_features_are_those_of_whole_images(name: str) -> None:
    features = jax.eval_shape(algorithm(name).extract_feat, params(name), {}, IMAGES)
    assert features.shape == (len(IMAGES), tiny_models.WIDTH)
    assert algorithm(name).with_neck
    assert algorithm(name).with_head
    assert algorithm(name).with_target_generator == (name == 'MaskFeat')


def test_drop_path_follows_the_key_in_the_batch() -> None:
    loss = lambda key: compiled('SimMIM')(  # noqa: E731
        params('SimMIM'), {}, {**batch('SimMIM'), 'drop_path': key}
    )[0][0]
    first, again, other = (float(loss(jax.random.key(seed))) for seed in (0, 0, 1))
    assert first == again != other
    assert 'drop_path' not in batch('MAE')


def test_mae_normalises_patches_and_says_so() -> None:
    model = tiny_masked.tiny_mae(norm_pix=True)
    assert 'norm_pix' in model.caveat
    assert not algorithm('MAE').caveat
    (loss, _), _ = compiled('MAE')(params('MAE'), {}, batch('MAE'))
    normalised, _ = jax.jit(model.loss)(params('MAE'), {}, batch('MAE'))
    assert float(normalised) != float(loss)
    found = jax.jit(model.predict)(params('MAE'), {}, batch('MAE'))
    patches = np.asarray(IMAGES).reshape(4, 4, 2, 4, 2, 3)
    painted = np.asarray(found.images).reshape(patches.shape)
    # A prediction times the deviation plus the mean: on average over predictions of mean 0.
    mean, std = patches.mean(axis=(2, 4, 5)), patches.std(axis=(2, 4, 5), ddof=1)
    plain = jax.jit(algorithm('MAE').predict)(params('MAE'), {}, batch('MAE')).images
    expected = (
        np.asarray(plain).reshape(patches.shape) * np.sqrt(std**2 + 1e-6)[:, :, None, :, None, None]
        + mean[:, :, None, :, None, None]
    )
    np.testing.assert_allclose(painted, expected, rtol=1e-3, atol=1e-4)


def test_mae_reconstructs_what_a_target_generator_makes() -> None:
    """PixMIM: with a generator that doubles the image, the loss is that of twice the pixels."""
    model = tiny_masked.tiny_mae(target_generator=lambda images: 2 * images)
    loss, _ = jax.jit(model.loss)(params('MAE'), {}, batch('MAE'))
    *ids, mask = model.mask(batch('MAE')['noise'])
    np.testing.assert_array_equal(mask, batch('MAE')['mask'])
    prediction = jax.jit(model.network.apply)({'params': params('MAE')}, IMAGES, *ids)
    patches = np.asarray(IMAGES).reshape(4, 4, 2, 4, 2, 3)
    target = 2 * patches.swapaxes(2, 3).reshape(4, 16, 12)
    error = np.mean((np.asarray(prediction) - target) ** 2, axis=-1)
    assert float(loss) == pytest.approx(error[np.asarray(batch('MAE')['mask'])].mean(), rel=1e-4)
    assert model.with_target_generator


def test_maskfeat_s_class_token_is_no_feature() -> None:
    found = jax.jit(algorithm('MaskFeat').extract_feat)(params('MaskFeat'), {}, IMAGES)
    backbone = algorithm('MaskFeat').backbone
    variables = {'params': params('MaskFeat')['backbone']}
    [(tokens, _)] = jax.jit(functools.partial(backbone.apply, train=False))(variables, IMAGES)
    np.testing.assert_allclose(found, np.mean(tokens, axis=(1, 2)), atol=1e-5)


def test_maskfeat_predicts_all_patches_without_drop_path() -> None:
    model, given = tiny_masked.tiny_maskfeat(), batch('MaskFeat')
    noisy = dataclasses.replace(model, backbone=model.backbone.clone(drop_path_rate=0.9))
    predicted = jax.jit(noisy.predict)(params('MaskFeat'), {}, given)
    assert predicted.shape == (len(IMAGES), 16, 9)
    apply = jax.jit(model.network.apply)
    plain = apply({'params': params('MaskFeat')}, IMAGES, mask=given['mask'])
    np.testing.assert_allclose(predicted, plain, atol=1e-5)


def test_maskfeat_predicts_the_patch_features_of_a_frozen_network() -> None:
    """The weights are state: nothing trains them, and a checkpoint has them."""
    sizes: dict[str, Any] = {'embed_dims': 8, 'num_layers': 1, 'num_heads': 2, 'out_channels': 9}
    clip = CLIPGenerator(img_size=tiny_models.SIDE, patch_size=tiny_masked.PATCH, **sizes)
    model = tiny_masked.tiny_maskfeat(target_generator=clip)
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch('MaskFeat'))
    values, state = well_scaled(shapes)
    assert set(state) == {'target_generator'}
    (loss, (after, _)), _ = jax.jit(jax.value_and_grad(model.loss, has_aux=True))(
        values, state, batch('MaskFeat')
    )
    assert_trees_close(after, state, rtol=0, atol=0)
    targets = jax.jit(clip.apply)({'params': state['target_generator']}, IMAGES).tokens[:, 1:]
    mask = np.asarray(batch('MaskFeat')['mask'])
    prediction = jax.jit(model.network.apply)({'params': values}, IMAGES, mask=mask)
    error = np.square(np.asarray(prediction) - targets).mean(axis=2)
    assert float(loss) == pytest.approx(error[mask.reshape(len(IMAGES), -1)].mean(), rel=1e-4)


def test_a_mask_of_a_user_s_own_makes_the_same_loss() -> None:
    """The loss is a function of the batch; integers do as well as booleans."""
    for name in ('SimMIM', 'MaskFeat'):
        given = {**batch(name), 'mask': np.asarray(batch(name)['mask'], 'int32')}
        (loss, _), grads = compiled(name)(params(name), {}, batch(name))
        (again, _), others = compiled(name)(params(name), {}, given)
        # another program, which may round otherwise
        assert float(again) == pytest.approx(float(loss), rel=1e-6)
        assert_trees_close(others, grads, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ('build', 'parts'),
    [
        (lambda: tiny_masked.tiny_simmim(mask_patch_size=3), ['mask_patch_size=3', 'patch_size=2']),
        (
            lambda: draw_shape(tiny_masked.tiny_simmim(), (8, 10)),
            ['8 x 10 px', 'mask_patch_size=4'],
        ),
        (lambda: draw_shape(tiny_masked.tiny_maskfeat(), (8, 10)), ['MaskFeat', '8 x 10 px']),
        (
            lambda: loss_shape('SimMIM', SimMIMNeck(tiny_models.WIDTH, 4)),
            ['(16, 16, 3)', 'encoder_stride'],
        ),
        (
            lambda: loss_shape('MaskFeat', LinearNeck(tiny_models.WIDTH, 5, with_avg_pool=False)),
            ['16 patches of 9', '16 of 5', 'neck.out_channels=9', 'patch_size'],
        ),
    ],
    ids=['cell', 'SimMIM', 'MaskFeat', "SimMIM's neck", "MaskFeat's neck"],
)
def test_sizes_that_do_not_fit_are_refused(build: Any, parts: list[str]) -> None:
    with refused(*parts):
        build()


def loss_shape(name: str, neck: Any) -> None:
    model = dataclasses.replace(algorithm(name), neck=neck)
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch(name))
    jax.eval_shape(model.loss, *shapes, batch(name))


def draw_shape(model: Algorithm, size: tuple[int, int]) -> None:
    images = jax.ShapeDtypeStruct((2, *size, 3), 'float32')
    jax.eval_shape(model.draw, jax.random.key(0), {}, {'views': (images,)})


def test_pixels_are_predicted_by_mae_and_simmim_alone() -> None:
    assert [model.predicts for model in (MAE, SimMIM, MaskFeat)] == ['pixels', 'pixels', 'features']
