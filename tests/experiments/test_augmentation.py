"""The benchmark of the input path: its report, its images, and that Pillow's chain is the same."""

import io
import json
import random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments import augmentation, pillow_views
from jssl.components import build
from jssl.data import Canvas
from jssl.recipes import policies


def test_report_compares_canvas_decoding_and_views(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ['--images=1', '--blocks=3', '--size=16', '--device-batch=2', '--policy=mae']
    assert augmentation.main([*sizes, '--json']) == 0
    said = capsys.readouterr().out
    assert 'of bare decoding' in said
    numbers = json.loads(said.splitlines()[-1])
    rates = {name: found['median'] for name, found in numbers['host'].items()}
    assert rates['decode'] > rates['simclr'] > rates['swav'] > 0
    for name, found in numbers['canvas_over'].items():
        assert 0 < found['lowest'] <= found['median'] <= found['highest'], name
    assert numbers['canvas_over']['swav']['median'] > numbers['canvas_over']['simclr']['lowest']
    assert numbers['views'] == 2
    assert numbers['view_ms']['lowest'] > 0
    assert 80 < numbers['kilobytes'] < 130


def test_an_unknown_policy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert augmentation.main(['--images=1', '--blocks=1', '--policy=simcrl']) == 2
    said = capsys.readouterr().err.strip()
    assert "Did you mean 'simclr'" in said
    assert '\n' not in said


def test_every_policy_can_be_named() -> None:
    views = {
        name for name, value in vars(policies).items() if callable(value) and name[0].islower()
    }
    assert set(augmentation.POLICIES) == views - {'linear_probe', 'evaluation'}


def test_images_are_the_same_every_time() -> None:
    first, second = pillow_views.synthetic_jpegs(2)
    assert pillow_views.synthetic_jpegs(1) == [first]
    assert first != second
    assert Image.open(io.BytesIO(first)).size == (500, 375)


def test_pillows_pipelines_give_the_views_of_the_policies() -> None:
    """Sizes and, over many draws, the mean and deviation of the levels of ours."""
    random.seed(0)
    [jpeg] = pillow_views.synthetic_jpegs(1)
    swav = pillow_views.swav_views(jpeg)
    assert [view.shape for view in swav] == [(3, 224, 224)] * 2 + [(3, 96, 96)] * 6
    assert [view.shape for view in pillow_views.simclr_views(jpeg)] == [(3, 224, 224)] * 2
    picture = pillow_views.bare_decode(jpeg).resize((50, 38))
    theirs = np.stack([pillow_views.draw_view(picture, 12, (0.2, 1.0)) for _ in range(1500)])
    pixels = jnp.zeros((50, 50, 3), jnp.uint8).at[:38].set(np.asarray(picture))
    policy = build('view', policies.simclr(12, scale=(0.2, 1.0)))
    keys = jax.random.split(jax.random.key(0), 750)
    canvas = Canvas(pixels, jnp.array([38, 50]))
    ours = np.concatenate(jax.jit(jax.vmap(policy, (0, None)))(keys, canvas)['views'])
    assert ours.dtype == theirs.dtype == np.float32
    for statistic in (np.mean, np.std):
        found, expected = statistic(ours, axis=(0, 1, 2)), statistic(theirs, axis=(0, 2, 3))
        np.testing.assert_allclose(found, expected, atol=0.08)
