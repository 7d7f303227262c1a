"""Every policy against part (6) of its algorithm's section: options, and what a sample shows."""

import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.augment.views import CenterView, FineTuneView, ImageAndTokens, Patches, View
from jssl.components import build
from jssl.data import Canvas
from jssl.recipes import policies
from tests.checks import refused
from tests.conftest import ROOT

STANDARD: dict[str, Any] = {'mean': (123.675, 116.28, 103.53), 'std': (58.395, 57.12, 57.375)}
CROP = {'size': 224, 'scale': (0.08, 1.0), 'ratio': (3 / 4, 4 / 3), 'antialias': True}
CROP |= {'interpolation': 'bilinear', 'flip': 0.5, 'rotate': 0.0}
LAST: dict[str, Any] = {'gray_weights': 'itu', 'gray_first': False, 'sigma': (0.1, 2.0)}
LAST |= {'solarize': 0.0, 'standardize': False}


def jitter(probability: float, *strengths: float) -> dict[str, float]:
    names = ('brightness', 'contrast', 'saturation', 'hue')
    return {'jitter': probability, **dict(zip(names, strengths, strict=True))}


def view(probability: float, /, *strengths: float, **own: Any) -> dict[str, Any]:
    """All options of a view that has the jitter given, and what else is its own."""
    rest = {**CROP, **LAST, **STANDARD, 'gray': 0.2, 'blur': 0.5}
    return {**rest, **jitter(probability, *strengths), **own}


STRONG = (0.8, 0.8, 0.8, 0.8, 0.2)
WEAK = (0.8, 0.4, 0.4, 0.4, 0.1)
ALWAYS = (1.0, 0.4, 0.4, 0.4, 0.4)
BYOL = (0.8, 0.4, 0.4, 0.2, 0.1)
FIRST: dict[str, Any] = {'blur': 1.0, 'solarize': 0.0}
SECOND: dict[str, Any] = {'blur': 0.1, 'solarize': 0.2}
BICUBIC: dict[str, Any] = {'interpolation': 'bicubic'}
FIFTH: dict[str, Any] = {'scale': (0.2, 1.0)}
OLD: dict[str, Any] = {'gray_weights': 'equal', 'antialias': False}
GRAY_FIRST: dict[str, Any] = {'gray_first': True, 'blur': 0.0}
PLAIN = {'jitter': 0.0, 'gray': 0.0, 'blur': 0.0}
TURNED = view(1.0, 0.4, 0.4, 1.0, 0.5, rotate=2.0, blur=0.0)


@pytest.mark.parametrize(
    ('policy', 'copies', 'options'),
    [
        (policies.simclr(), 2, view(*STRONG)),
        (policies.moco_v1(), 2, view(*ALWAYS, **FIFTH, **GRAY_FIRST, **OLD)),
        (policies.moco_v2(), 2, view(*WEAK, **FIFTH)),
        (policies.npid(), 1, view(*ALWAYS, **FIFTH, **GRAY_FIRST)),
        (policies.deepcluster(), 1, TURNED),
    ],
)
def test_copies_of_one_view_have_the_references_options(
    policy: Any, copies: int, options: dict[str, Any]
) -> None:
    built = build('view', policy)
    assert built.copies == copies
    assert vars(built.view) == options


@pytest.mark.parametrize(
    ('policy', 'shared'),
    [
        (policies.byol(), BICUBIC),
        (policies.moco_v3(), FIFTH),
        (policies.moco_v3(scale=(0.08, 1.0)), {}),
    ],
)
def test_pairs_have_the_references_options(policy: Any, shared: dict[str, Any]) -> None:
    built = build('view', policy)
    assert vars(built.first) == view(*BYOL, **shared, **FIRST)
    assert vars(built.second) == view(*BYOL, **shared, **SECOND)


def test_multi_crop_has_the_references_options() -> None:
    built = build('view', policies.swav())
    assert (built.large_copies, built.small_copies) == (2, 6)
    assert vars(built.large) == view(*STRONG, scale=(0.14, 1.0))
    assert vars(built.small) == view(*STRONG, size=96, scale=(0.05, 0.14))
    built = build('view', policies.msn())
    assert (built.large_copies, built.small_copies) == (2, 10)
    assert vars(built.large) == view(*WEAK, scale=(0.3, 1.0))
    assert vars(built.small) == view(*WEAK, size=96, scale=(0.05, 0.3))
    built = build('view', policies.dino())
    assert vars(built.first) == view(*BYOL, **BICUBIC, **FIRST, scale=(0.4, 1.0))
    assert vars(built.second) == view(*BYOL, **BICUBIC, **SECOND, scale=(0.4, 1.0))
    assert vars(built.local) == view(*BYOL, **BICUBIC, size=96, scale=(0.05, 0.4))


@pytest.mark.parametrize(
    ('policy', 'own'),
    [
        (policies.rotation_pred(), {}),
        (policies.mae(), BICUBIC | FIFTH),
        (policies.ijepa(), {'scale': (0.3, 1.0), 'flip': 0.0}),
        (policies.simmim(), {'size': 192, 'scale': (0.67, 1.0), 'antialias': False}),
        (policies.linear_probe(), {}),
    ],
)
def test_views_without_colour_have_the_references_options(policy: Any, own: dict[str, Any]) -> None:
    built = build('view', policy).view
    strengths = jitter(0.0, *STRONG[1:])  # of a stage that is off
    assert vars(built) == {**view(0.0, *STRONG[1:]), **PLAIN, **strengths, **own}


def test_other_policies_have_the_references_options() -> None:
    patches = Patches(292, 255, 64, 0.66, False, (124.0, 117.0, 104.0), (59.0, 58.0, 58.0))
    assert build('view', policies.relative_loc()) == patches
    crop: dict[str, Any] = {'scale': (0.08, 1.0), 'ratio': (3 / 4, 4 / 3), 'flip': 0.5}
    statistics: dict[str, Any] = {'mean': (124.0, 117.0, 104.0), 'std': (59.0, 58.0, 58.0)}
    samplers: dict[str, Any] = {'interpolation': 'bicubic', 'token_interpolation': 'lanczos'}
    expected = ImageAndTokens(224, 112, **crop, **samplers, **statistics)
    assert build('view', policies.cae()) == expected
    fine_tune = FineTuneView(224, **crop, **BICUBIC, **STANDARD, operations=2, level=9.0)
    assert build('view', policies.fine_tune()).view == fine_tune
    assert (fine_tune.level_std, fine_tune.erase, fine_tune.area) == (0.5, 0.25, (0.02, 1 / 3))
    assert build('view', policies.evaluation()) == CenterView(224, 256, 'bilinear', **STANDARD)


SIZES = {'simclr', 'moco_v1', 'moco_v2', 'byol', 'moco_v3', 'npid', 'deepcluster', 'rotation_pred'}
SIZES |= {'mae', 'simmim', 'linear_probe', 'fine_tune', 'swav', 'cae'}


@pytest.mark.parametrize('name', sorted(SIZES))
def test_fields_are_set_in_all_views_of_a_policy(name: str) -> None:
    """The size by position, others by keyword; every policy can be traced in a small size."""
    own = {'swav': {'small_size': 8}, 'cae': {'token_size': 8}}.get(name, {})
    built = build('view', getattr(policies, name)(16, flip=0.25, **own))
    parts = [part for part in vars(built).values() if isinstance(part, View | FineTuneView)]
    assert {part.flip for part in parts or [built]} == {0.25}
    pixels = jax.ShapeDtypeStruct((20, 20, 3), jnp.uint8)
    canvas = Canvas(pixels, jax.ShapeDtypeStruct((2,), jnp.int32))
    views = jax.eval_shape(built, jax.random.key(0), canvas)['views']
    large = 1 if name == 'cae' else 2 if name == 'swav' else len(views)
    assert {view.shape for view in views[:large]} == {(16, 16, 3)}
    assert {view.shape for view in views[large:]} <= {(8, 8, 3)}


def test_a_field_that_a_view_lacks_is_refused() -> None:
    with refused('config.view.second.blurr', "Did you mean 'blur'"):
        build('view', {**policies.byol(), 'second': policies.byol(blurr=1.0)['second']})


def test_a_fifth_of_byols_second_views_is_solarized() -> None:
    """And none of the first. The other stages keep a white image above 0.6 * 255 = 153."""
    built = build('view', policies.byol(size=4, mean=[0.0] * 3, std=[1.0] * 3))
    canvas = Canvas(jnp.full((6, 6, 3), 255, jnp.uint8), jnp.array([6, 6]))
    keys = jax.random.split(jax.random.key(0), 2000)
    first, second = jax.jit(jax.vmap(built, (0, None)))(keys, canvas)['views']
    assert np.min(first) > 150
    dark = np.asarray(second).max(axis=(1, 2, 3)) < 128
    assert abs(dark.mean() - 0.2) < 0.03
    assert np.min(second[~dark]) > 150


def test_deepclusters_views_turn_by_at_most_two_degrees() -> None:
    """Black triangles at the corners of a white image, no larger than that angle leaves open."""
    colors = {'jitter': 0.0, 'gray': 0.0, 'mean': [0.0] * 3, 'std': [1.0] * 3}
    built = build('view', policies.deepcluster(size=64, **colors))
    canvas = Canvas(jnp.full((64, 64, 3), 255, jnp.uint8), jnp.array([64, 64]))
    keys = jax.random.split(jax.random.key(1), 200)
    views = np.asarray(jax.jit(jax.vmap(built, (0, None)))(keys, canvas)['views'][0])
    black = (views == 0).all(axis=-1)
    assert (black | (views == 255).all(axis=-1)).all()
    border = np.ones((64, 64), bool)
    border[2:-2, 2:-2] = False  # 64 sin 2° / 2 is 1.1 pixels
    assert not black[:, ~border].any()
    assert (black.any(axis=(1, 2))).mean() > 0.3


def test_the_example_of_the_docs_is_a_policy() -> None:
    """docs/guides/views.md: a policy of one's own, and every function that its table names."""
    page = (ROOT / 'docs' / 'guides/views.md').read_text()
    code = next(
        block for block in re.findall(r'```python\n(.*?)```', page, re.S) if 'class' in block
    )
    names: dict[str, Any] = {'__name__': 'example'}
    exec(compile(code, 'docs/guides/views.md', 'exec'), names)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    canvas = Canvas(jnp.asarray(pixels), jnp.array([20, 20]))
    whole, crop = jax.jit(names['TwoCrops'](size=12))(jax.random.key(0), canvas)['views']
    expected = CenterView(size=12, resize=12)(canvas)
    np.testing.assert_allclose(whole, expected, atol=1.01 / 57)  # one level
    assert crop.shape == whole.shape == (12, 12, 3)
    table = page[page.index('| function of') : page.index('Masks are no views')]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r'`(\w+)`', row[:30])}
    functions = {name for name, value in vars(policies).items() if callable(value)}
    assert named == {name for name in functions if name[0].islower()}
