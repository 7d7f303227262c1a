"""Batches in parts: the loss, its gradient and the state of the whole batch, for every method."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.accumulation import accumulating
from jssl.algorithm import Algorithm, Params, State
from jssl.backbones import VisionTransformer
from jssl.layers.batch_norm import BatchNorm
from jssl.layers.drop_path import without_drop_path
from jssl.networks import evaluate, forward
from jssl.training.step import checked, make_views
from tests.algorithms.runs import (
    ALGORITHMS,
    advance,
    batch,
    first_state,
    placed,
    tiny,
    views_for,
)
from tests.algorithms.tiny_models import BATCH
from tests.checks import refused

PLAIN = ('BarlowTwins', 'DINO', 'MAE', 'MoCo', 'NPID', 'RelativeLoc', 'SimCLR', 'SwAV')
GROUP = 4  # images whose statistics a backbone shares: of a batch, whatever its parts


def settled(algorithm: Algorithm) -> Algorithm:
    """The algorithm with groups of batch norm that are within a part, and without drop path."""
    backbone: Any = getattr(algorithm, 'backbone')  # noqa: B009
    if getattr(backbone, 'bn_group_size', 0) is None:
        backbone = backbone.clone(bn_group_size=GROUP)
    changed: Any = {'backbone': without_drop_path(backbone)}
    return dataclasses.replace(algorithm, **changed)


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize(
    'name',  # the others: pytest -m slow tests/test_accumulation.py
    [name if name in PLAIN else pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS],
)
def test_two_parts_have_loss_gradient_and_state_of_the_whole(name: str) -> None:
    algorithm, start = settled(tiny(name)), first_state(name)
    seen = {**make_views(views_for(algorithm), jax.random.key(0), batch(0)), 'step': jnp.array(0)}

    @jax.jit
    def gradients(params: Params, state: State) -> list[Any]:
        drawn = algorithm.draw(jax.random.key(1), state, seen)
        gradient = jax.value_and_grad(checked(algorithm), has_aux=True)
        found = []
        for parts in (1, 2):
            with accumulating(parts, BATCH):
                found.append(gradient(params, state, drawn))
        return found

    check = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    jax.tree.map(check, *gradients(start.params, start.state))


@pytest.mark.usefixtures('float64')
def test_the_parts_are_the_same_on_any_number_of_devices() -> None:
    # Its backbone has groups of four images, which are within the parts.
    _, whole = advance('MoCo', 1, placed('MoCo', 1), range(2))
    _, halves = advance('MoCo', 8, placed('MoCo', 8), range(2), accumulate=2)
    np.testing.assert_allclose(halves, whole, rtol=1e-10)


class Bare(nn.Module):
    """A backbone that is told more than its images."""

    whole_options = ('shift',)

    @nn.compact
    def __call__(self, images: jax.Array, train: bool = True, **options: jax.Array) -> jax.Array:
        x = BatchNorm(affine=False)(images.mean((1, 2)), train)
        return x + options.get('shift', 0) + options.get('each', jnp.zeros(len(x)))[:, None]


IMAGES = jax.random.normal(jax.random.key(0), (6, 2, 2, 3))
STATS = {'BatchNorm_0': {'mean': jnp.zeros(3), 'var': jnp.ones(3)}}


def test_batch_norm_sees_a_part_and_records_the_mean_of_all() -> None:
    with accumulating(3, 6):
        outputs, stats = forward(Bare(), {}, STATS, IMAGES)
    means = IMAGES.mean((1, 2)).reshape(2, 3, 3)  # images 0 and 3 are the first part
    expected = (means - means.mean(0)) / jnp.sqrt(means.var(0) + 1e-5)
    np.testing.assert_allclose(outputs.reshape(2, 3, 3), expected, rtol=1e-3)
    running = 0.1 * IMAGES.mean((0, 1, 2))
    np.testing.assert_allclose(stats['BatchNorm_0']['mean'], running, rtol=1e-5)


def test_what_belongs_to_images_is_divided_with_them_and_the_rest_is_whole() -> None:
    options: Any = {'shift': jnp.arange(3.0), 'each': jnp.arange(6.0)}
    plain = evaluate(Bare(), {}, STATS, IMAGES, **options)
    with accumulating(2, 6):
        parts = evaluate(Bare(), {}, STATS, IMAGES, **options)
    np.testing.assert_allclose(parts, plain, rtol=1e-6)


@pytest.mark.parametrize(
    ('parts', 'options', 'words'),
    [
        (4, {}, ('config.accumulate=4', '6 images', 'set config.accumulate=3.')),
        (2, {'each': jnp.zeros(5)}, ('each of shape (5,)', '6 images', 'whole_options')),
    ],
)
def test_what_cannot_be_divided_is_refused(
    parts: int, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    with refused(*words), accumulating(parts, 6):
        evaluate(Bare(), {}, STATS, IMAGES, **options)


def test_parts_take_less_memory_and_leave_out_branches_of_their_own() -> None:
    size = {'embed_dims': 32, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 64}
    vit = VisionTransformer(size, img_size=16, patch_size=4, drop_path_rate=0.5)
    images = jnp.tile(IMAGES[:1, :1, :1], (32, 16, 16, 1))  # all equal
    params = jax.jit(vit.init, static_argnames='train')(jax.random.key(0), images, train=False)

    def compiled(parts: int) -> Any:
        def loss(params: Params, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            with accumulating(parts, 32):
                outputs, _ = forward(vit, params['params'], {}, images, drop_path=key)
            tokens = outputs[-1][1]
            return jnp.square(tokens).mean(), tokens

        return jax.jit(jax.grad(loss, has_aux=True)).lower(params, jax.random.key(1)).compile()

    whole, quarters = compiled(1), compiled(8)
    used = [program.memory_analysis().temp_size_in_bytes for program in (whole, quarters)]
    assert used[1] < used[0] / 3
    _, tokens = quarters(params, jax.random.key(1))
    first, second = tokens[::8], tokens[1::8]
    assert not np.allclose(first, second)
