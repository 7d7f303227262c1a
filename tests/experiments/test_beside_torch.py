"""The PyTorch side computes what ours does, and what is measured of both is kept."""

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from configs import byol, dino, mae, swav
from jssl.algorithm import Algorithm, Run
from jssl.algorithms import BYOL, SimCLR
from jssl.backbones import ResNet
from jssl.components import build
from jssl.heads import ContrastiveHead
from jssl.interop.mmselfsup import export_state
from jssl.necks import NonLinearNeck
from jssl.precision import with_dtype
from tests.checks import refused, tiny_simclr, well_scaled

torch = pytest.importorskip('torch', reason='PyTorch is not installed (extra: bench)')

from experiments import beside_torch, torch_device  # noqa: E402  they import PyTorch
from experiments.twins.known import check  # noqa: E402
from experiments.twins.methods import TWINS  # noqa: E402
from experiments.twins.pairs import pair, to_tensor  # noqa: E402
from experiments.twins.sizes import METHODS, Case, make_case  # noqa: E402

RESNET = dict(
    type='ResNet', depth=10, base_channels=4, strides=(2,), out_indices=(1,), cifar_stem=True
)
ARCH = dict(embed_dims=16, num_layers=1, num_heads=2, feedforward_channels=32)
DECODER = dict(embed_dim=16, decoder_embed_dim=8, decoder_depth=1, decoder_num_heads=2)
DINO_HEAD = dict(out_channels=8, hid_channels=8, bottleneck=8, norm_last_layer=False)
VIT = dict(type='DINOViT', arch=ARCH, img_size=32, patch_size=8)


def bottlenecks() -> SimCLR:
    """One stage of bottlenecks behind the stem of ImageNet."""
    return SimCLR(
        backbone=ResNet(50, 4, strides=(2,), out_indices=(1,)),
        neck=NonLinearNeck(in_channels=16, hid_channels=8, out_channels=8),
        head=ContrastiveHead(temperature=0.5, loss_weight=0.25),
    )


def built(model: Mapping[str, Any]) -> Algorithm:
    """An algorithm that knows the length of its run."""
    return dataclasses.replace(build('model', model), run=Run(16, 4, 2))


MODELS = {
    'basic': (tiny_simclr(), (32, 32)),
    'bottleneck': (bottlenecks(), (32, 32)),
    'byol': (built(byol.model(RESNET, (4, 8, 8), 0.9)), (16, 16)),
    'swav': (
        built(swav.model(RESNET, (4, 8, 8), dict(num_prototypes=6, num_crops=(2, 1)))),
        (16, 16, 8),
    ),
    'mae': (built(mae.model(ARCH, size=16, patch=4, norm_pix=True, decoder=DECODER)), (16,)),
    'dino': (built(dino.model(VIT, 16, DINO_HEAD)), (32, 32, 16)),
}


@pytest.mark.parametrize(('algorithm', 'sides'), MODELS.values(), ids=MODELS)
def test_twin_has_our_loss_gradients_and_statistics(
    algorithm: Algorithm, sides: tuple[int, ...]
) -> None:
    draw = np.random.default_rng(0)
    with jax.enable_x64(True):
        views = [draw.normal(size=(4, side, side, 3)) for side in sides]
        batch: dict[str, Any] = {'views': tuple(map(jax.device_put, views))}
        batch |= {'index': np.arange(4), 'step': np.int32(0), 'noise': draw.random((4, 16))}
        shapes = jax.eval_shape(algorithm.init, jax.random.key(0), batch)
        params = jax.tree.map(lambda leaf: leaf.astype('float64'), well_scaled(shapes[0]))
        state = start(algorithm, params, shapes[1])
        step = jax.jit(jax.value_and_grad(algorithm.loss, has_aux=True))
        (loss, (after, _)), grads = step(params, state, batch)
        expected = export_state(grads, {'batch_stats': after.get('batch_stats', {})})
        twin = TWINS[type(algorithm)](algorithm).double()
        twin.load(params, state)
        twin = twin.double()
    twin.before(0)
    twin_loss = twin(
        tuple(map(to_tensor, views)), **{name: torch.tensor(batch[name]) for name in twin.draws}
    )
    twin_loss.backward()
    assert twin_loss.item() == pytest.approx(float(loss), rel=1e-9)
    assert_same_gradients(twin, expected)


def start(algorithm: Algorithm, params: Any, shapes: Any) -> Any:
    """A state for some parameters: statistics of some kind, a teacher that is a copy."""
    state = dict(well_scaled({'batch_stats': shapes.get('batch_stats', {})}))
    state = jax.tree.map(lambda leaf: leaf.astype('float64'), state)
    if 'teacher' in shapes:
        parts = {part: params[part] for part in shapes['teacher']['params']}
        stats = {part: state['batch_stats'][part] for part in shapes['teacher']['batch_stats']}
        state['teacher'] = {'params': parts, 'batch_stats': stats, 'steps': np.int32(0)}
    if 'center' in shapes:
        state['center'] = np.zeros(shapes['center'].shape)
    return state


def assert_same_gradients(twin: Any, expected: Mapping[str, np.ndarray]) -> None:
    """The student's gradients and batch statistics."""
    found = {name: value.grad for name, value in twin.named_parameters() if value.requires_grad}
    found |= {name: value for name, value in twin.named_buffers() if 'running' in name}
    found = {name: value for name, value in found.items() if not name.startswith('teacher')}
    fixed = {name for name, value in twin.named_parameters() if not value.requires_grad}
    assert found.keys() == expected.keys() - fixed
    for name, value in found.items():
        np.testing.assert_allclose(value.numpy(), expected[name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize('model', ['byol', 'dino'])
def test_both_take_the_same_steps(model: str) -> None:
    algorithm, sides = MODELS[model]
    ours, theirs, first = pair(Case(algorithm, sides, batch=8))
    later = [(float(ours()), float(theirs())) for _ in range(3)]
    assert later[-1][0] < first[0] - 0.001  # the steps change something
    for our_loss, their_loss in later:
        assert our_loss == pytest.approx(their_loss, rel=1e-3)


def tiny_mae(method: str, size: str, image: None, batch: None, dtype: str) -> Case:
    """What `make_case` gives, in seconds."""
    algorithm, sides = MODELS['mae']
    return Case(with_dtype(algorithm, dtype), sides, batch=2)


def test_what_was_measured_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_device, 'use_cores', lambda count: None)  # of the whole process
    monkeypatch.setattr(beside_torch, 'make_case', tiny_mae)
    results = tmp_path / 'kept' / 'results.jsonl'
    small = ['mae', '--repeats=2', '--steps=1', f'--results={results}']
    for dtype in ('float32', 'bfloat16'):
        assert beside_torch.main([*small, f'--dtype={dtype}', '--json']) == 0
    said = capsys.readouterr().out.splitlines()
    kept = [json.loads(line) for line in results.read_text().splitlines()]
    assert [row['dtype'] for row in kept] == ['float32', 'bfloat16']
    row = kept[0]
    assert json.loads(said[-1]) == kept[1]
    assert said[0].startswith('mae embedded, batch 2, views: 1 of 16 px, float32')
    assert row['losses'][0] == pytest.approx(row['losses'][1], rel=1e-4)
    low, high = row['ratio_range']
    assert 0 < low <= row['ratio'] <= high
    for name in ('jax', 'torch'):
        assert row[f'{name}_images_per_second'] * row[f'{name}_ms'] == pytest.approx(2 * 1000)
        assert row['versions'][name]
    assert row['git_commit']


def test_every_size_has_a_twin_and_views_that_fit_it() -> None:
    for method, (_, sizes) in METHODS.items():
        for size in sizes:
            case = make_case(method, size, None, None)
            check(case.algorithm)
            patch = getattr(case.algorithm.backbone, 'patch_size', 1)  # type: ignore[attr-defined]
            assert not any(side % patch for side in case.sides)
    assert make_case('dino', 'small', 64, 2).sides == (64, 64, *(16,) * 8)
    assert make_case('swav', 'resnet50', 64, None).sides == (64, 64, *(27,) * 6)


def test_what_cannot_be_compared_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = tiny_simclr()
    for change in (dict(bn_group_size=4), dict(strides=(1, 2))):
        other = dataclasses.replace(algorithm, backbone=algorithm.backbone.clone(**change))
        with refused('bn_group_size=4' if 'bn_group_size' in change else 'out_indices'):
            TWINS[SimCLR](other)
    other_neck = built(byol.model(dict(RESNET, type='ResNetSobel'), (4, 8, 8), 0.9))
    with refused('model.backbone=ResNetSobel'):
        TWINS[BYOL](other_neck)
    assert beside_torch.main(['simclr', '--threads=100000']) == 2
    assert '--threads=100000' in capsys.readouterr().err
    monkeypatch.setattr(torch_device, 'use_cores', lambda count: None)
    assert beside_torch.main(['mae', '--size=smal']) == 2
    assert "Did you mean 'small'" in capsys.readouterr().err


def test_a_busy_machine_is_told_of() -> None:
    numbers = beside_torch.summary(np.array([[[2.0, 3.0], [1.0, 0.5]]] * 3), batch_size=4)
    options = argparse.Namespace(method='mae', size='small', threads=2)
    case = Case(MODELS['mae'][0], (16,), 4)
    numbers |= beside_torch.setting(options, case, 'cpu', 'float32') | {'losses': [1.0, 1.0]}
    rows = beside_torch.table(numbers)
    assert 'other jobs held the cores' in rows['beware']
    assert rows['time, jax / torch'] == '2.00 (2.00 to 2.00)'
    assert rows['CPU time, jax / torch'] == '6.00'
