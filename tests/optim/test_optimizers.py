from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jssl.errors import JsslError
from jssl.optim.optimizers import LARS, SGD, AdamW, TrustRatioLARS, make_optimizer
from jssl.optim.schedules import Constant, MultiStep, WarmupCosine
from tests import golden
from tests.checks import structure

Tree = Mapping[str, np.ndarray]
SHAPES = {'conv': (2, 3), 'bn': (3,), 'bias': (4,)}


def arrays(seed: int, scale: float = 1.0) -> Tree:
    """A float64 tree of `SHAPES`."""
    rng = np.random.default_rng(seed)
    return {name: scale * rng.standard_normal(shape) for name, shape in SHAPES.items()}


def trajectory(
    optimizer: Any, params: Tree, gradients: Sequence[Tree], schedule: Any = None
) -> list[dict[str, Any]]:
    """The parameters after each gradient, by a jit-compiled update."""
    transformation = make_optimizer(
        optimizer, schedule or Constant(), steps_per_epoch=2, epochs=len(gradients)
    )
    params = jax.tree.map(jnp.asarray, params)
    state = jax.jit(transformation.init)(params)
    update = jax.jit(transformation.update)
    after = []
    for gradient in gradients:
        updates, state = update(jax.tree.map(jnp.asarray, gradient), state, params)
        params = optax.apply_updates(params, updates)
        after.append(jax.tree.map(np.asarray, params))
    return after


def torch_trajectory(
    make: Callable[..., Any],
    params: Tree,
    gradients: Sequence[Tree],
    rates: Sequence[float],
    clip: float | None = None,
) -> list[dict[str, Any]]:
    """The same by PyTorch in float64; `make` takes a dict of tensors."""
    torch = pytest.importorskip('torch')
    tensors = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in params.items()}
    optimizer = make(torch.optim, tensors)
    mults = [group.pop('lr_mult', 1.0) for group in optimizer.param_groups]
    after = []
    for gradient, rate in zip(gradients, rates, strict=True):
        for name, tensor in tensors.items():
            tensor.grad = torch.tensor(gradient[name])
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(tensors.values(), clip)
        for group, mult in zip(optimizer.param_groups, mults, strict=True):
            group['lr'] = rate * mult
        optimizer.step()
        after.append({name: value.detach().numpy().copy() for name, value in tensors.items()})
    return after


def assert_trees_close(found: Any, expected: Any, **tolerance: Any) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), found, expected)


@pytest.mark.parametrize('float64', [True, False])
@golden.each('part_lars')
def test_lars_against_the_reference(path: Path, float64: bool) -> None:
    bounds = {'rtol': 1e-12} if float64 else {'rtol': 1e-6, 'atol': 2e-7}
    with jax.enable_x64(float64), golden.whole(path, f'out{"" if float64 else "64"}/*') as saved:
        group = golden.plain(saved.meta['excluded_group'])
        assert group.pop('weight_decay') == 0
        keys = {name: {'decay_mult': 0.0, **group} for name in saved.meta['excluded']}
        compare_trajectories(saved, float64, bounds, LARS, custom_keys=keys)


@pytest.mark.parametrize('float64', [True, False])
@golden.each('part_vicreg_lars')
def test_the_other_lars_against_the_reference(path: Path, float64: bool) -> None:
    bounds = {'rtol': 1e-12, 'atol': 1e-15} if float64 else {'rtol': 1e-6, 'atol': 2e-7}
    with jax.enable_x64(float64), golden.whole(path, f'out{"" if float64 else "64"}/*') as saved:
        alone = {'decay_mult': 0.0, 'lars_exclude': True}
        compare_trajectories(saved, float64, bounds, TrustRatioLARS, vectors=alone, momentum=0.9)


def compare_trajectories(
    saved: golden.File,
    float64: bool,
    bounds: dict[str, float],
    make: Callable[..., object],
    **fields: Any,
) -> None:
    dtype = np.float64 if float64 else np.float32
    steps = len({key.split('/')[1] for key in saved.arrays if key.startswith('in/grad')})
    start, *gradients = (
        {name: value.astype(dtype) for name, value in saved.group(f'in/{part}').items()}
        for part in ('start', *(f'grad{step}' for step in range(steps)))
    )
    for number, settings in enumerate(saved.meta['settings']):
        optimizer = make(**{**fields, **golden.plain(settings)})
        for step, params in enumerate(trajectory(optimizer, start, gradients)):
            assert all(value.dtype == dtype for value in params.values())
            expected = saved.group(f'out{"64" * float64}/setting{number}/step{step}')
            assert_trees_close(params, expected, **bounds)


def test_golden_value_15() -> None:
    params = {'w': np.array([1.0, 2.0, -2.0]), 'plain': np.array([0.5])}
    gradients = [
        {'w': np.array([0.3, -0.1, 0.2]), 'plain': np.array([0.2])},
        {'w': np.array([0.1, 0.4, -0.2]), 'plain': np.array([0.2])},
    ]
    keys = {'plain': {'lars_exclude': True, 'decay_mult': 0.0}}
    with jax.enable_x64(True):
        optimizer = LARS(lr=1.0, momentum=0.9, weight_decay=0.01, custom_keys=keys)
        first, second = trajectory(optimizer, params, gradients)
    tolerance: dict[str, Any] = {'atol': 5e-9, 'rtol': 0}
    np.testing.assert_allclose(first['w'], [0.99769896, 2.00059382, -2.00133609], **tolerance)
    np.testing.assert_allclose(second['w'], [0.99495219, 1.99854719, -2.00118651], **tolerance)
    np.testing.assert_allclose([first['plain'][0], second['plain'][0]], [0.3, -0.08], **tolerance)


def test_lars_gives_tensors_of_zeros_the_plain_rate() -> None:
    params = {'zero': np.zeros(3, np.float32), 'idle': np.full(3, 2.0, np.float32)}
    gradient = {'zero': np.full(3, 0.5, np.float32), 'idle': np.zeros(3, np.float32)}
    (after,) = trajectory(LARS(lr=0.1, weight_decay=0.01), params, [gradient])
    np.testing.assert_allclose(after['zero'], -0.05, rtol=1e-6)
    np.testing.assert_allclose(after['idle'], 2.0 - 0.1 * 0.01 * 2.0, rtol=1e-6)


def test_lars_keeps_the_rate_in_the_momentum() -> None:
    params, gradient = {'w': np.ones(1, np.float32)}, {'w': np.ones(1, np.float32)}
    optimizer = LARS(lr=1.0, momentum=0.5, custom_keys={'w': {'lars_exclude': True}})
    drop = MultiStep(milestones=(1,), gamma=0.1)
    *_, second, third = trajectory(optimizer, params, [gradient] * 3, drop)
    # v is 1, then 1.5, then 0.75 + 0.1: the old part is not scaled down
    np.testing.assert_allclose(second['w'] - third['w'], 0.85, rtol=1e-6)


def test_sgd_with_groups_against_torch() -> None:
    params, gradients = arrays(0), [arrays(seed) for seed in range(1, 7)]
    keys = {'bn': {'decay_mult': 0.0, 'lr_mult': 0.5}, 'bias': {'momentum': 0.0, 'decay_mult': 5.0}}
    schedule = WarmupCosine(warmup_epochs=1, warmup_factor=0.1)
    rates = schedule(0.3, steps_per_epoch=2, epochs=6)(np.arange(6))

    def make(optim: Any, tensors: dict[str, Any]) -> Any:
        groups = [
            {'params': [tensors['conv']]},
            {'params': [tensors['bn']], 'weight_decay': 0.0, 'lr_mult': 0.5},
            {'params': [tensors['bias']], 'weight_decay': 0.05, 'momentum': 0.0},
        ]
        return optim.SGD(groups, lr=0.3, momentum=0.9, weight_decay=0.01)

    with jax.enable_x64(True):
        optimizer = SGD(lr=0.3, momentum=0.9, weight_decay=0.01, custom_keys=keys)
        found = trajectory(optimizer, params, gradients, schedule)
    expected = torch_trajectory(make, params, gradients, rates)
    assert_trees_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize('extra', [{'nesterov': True}, {'dampening': 0.3}], ids=str)
def test_the_other_momenta_of_sgd_against_torch(extra: dict[str, Any]) -> None:
    params, gradients = arrays(0), [arrays(seed) for seed in range(1, 5)]
    settings = {'lr': 0.1, 'momentum': 0.9, 'weight_decay': 0.01, **extra}
    keys = {'bias': {'momentum': 0.0}}  # nothing is kept, so nothing is dampened

    def make(optim: Any, tensors: dict[str, Any]) -> Any:
        groups = [
            {'params': [tensors['conv'], tensors['bn']]},
            {'params': [tensors['bias']], 'momentum': 0.0, 'nesterov': False},
        ]
        return optim.SGD(groups, **settings)

    with jax.enable_x64(True):
        found = trajectory(SGD(**settings, custom_keys=keys), params, gradients)
    expected = torch_trajectory(make, params, gradients, [0.1] * 4)
    assert_trees_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize('make', ['SGD', 'AdamW'])
def test_parameters_that_are_skipped_at_first_against_torch(make: str) -> None:
    params, gradients = arrays(0), [arrays(seed) for seed in range(1, 7)]
    settings = {'lr': 0.1, 'weight_decay': 0.2}
    extra = {'momentum': 0.9, 'dampening': 0.3} if make == 'SGD' else {}

    def of_torch(optim: Any, tensors: dict[str, Any]) -> Any:
        made = getattr(optim, make)(tensors.values(), **settings, **extra)
        step, count = made.step, iter(range(6))

        def skip() -> None:
            if next(count) < 4:
                tensors['conv'].grad = None
            step()

        made.step = skip
        return made

    keys = {'conv': {'frozen_epochs': 2}}  # of two steps each
    ours = {'SGD': SGD, 'AdamW': AdamW}[make](**settings, **extra, custom_keys=keys)
    with jax.enable_x64(True):
        found = trajectory(ours, params, gradients)
    expected = torch_trajectory(of_torch, params, gradients, [0.1] * 6)
    np.testing.assert_array_equal(found[3]['conv'], params['conv'])
    assert_trees_close(found, expected, rtol=1e-12, atol=1e-13)


def test_a_rate_of_0_at_first_lets_moments_gather() -> None:
    params, gradients = arrays(0), [arrays(seed) for seed in range(1, 5)]
    keys = {'conv': {'zero_lr_epochs': 1}}
    with jax.enable_x64(True):
        found = trajectory(AdamW(lr=0.1, custom_keys=keys), params, gradients)
        plain = trajectory(AdamW(lr=0.1, weight_decay=0), params, gradients)
        late = trajectory(AdamW(lr=0.1, weight_decay=0, custom_keys=keys), params, gradients)
    np.testing.assert_array_equal(found[1]['conv'], params['conv'])
    for step in (2, 3):  # the same directions as without
        np.testing.assert_allclose(
            late[step]['conv'] - late[step - 1]['conv'],
            plain[step]['conv'] - plain[step - 1]['conv'],
            rtol=1e-10,
        )
    np.testing.assert_array_equal(late[0]['bn'], plain[0]['bn'])


def test_a_fixed_rate_ignores_the_schedule_and_keeps_its_multiplier() -> None:
    params = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    gradients = [{name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}] * 3
    keys: dict[str, Any] = {'bn': {'fix_lr': True}, 'bias': {'fix_lr': True, 'lr_mult': 0.5}}
    schedule = WarmupCosine(warmup_epochs=1, warmup_factor=0.1)
    rates = schedule(0.2, steps_per_epoch=2, epochs=3)(np.arange(3))
    after = trajectory(SGD(lr=0.2, custom_keys=keys), params, gradients, schedule)
    np.testing.assert_allclose(after[-1]['conv'], -rates.sum(), rtol=1e-6)
    np.testing.assert_allclose(after[-1]['bn'], -0.6, rtol=1e-6)
    np.testing.assert_allclose(after[-1]['bias'], -0.3, rtol=1e-6)


@pytest.mark.parametrize('make', [SGD, LARS, AdamW])
@pytest.mark.parametrize('final', [0.4, 0.0])
def test_weight_decay_moves_to_its_final_value_on_half_a_cosine(
    make: Callable[..., Any], final: float
) -> None:
    params = {'w': np.array([1.0]), 'bias': np.array([1.0])}
    idle = [{'w': np.zeros(1), 'bias': np.zeros(1)}] * 4
    keys = {'bias': {'decay_mult': 0.5}}
    curve = WarmupCosine(min_lr=final)
    optimizer = make(lr=0.1, weight_decay=0.04, decay_schedule=curve, custom_keys=keys)
    steps = 8  # of which `trajectory` takes the first four: two an epoch, one a gradient
    decay = final + (0.04 - final) * (1 + np.cos(np.pi * np.arange(4) / steps)) / 2
    with jax.enable_x64(True):
        after = trajectory(optimizer, params, idle)
    np.testing.assert_allclose([p['w'][0] for p in after], np.cumprod(1 - 0.1 * decay))
    np.testing.assert_allclose([p['bias'][0] for p in after], np.cumprod(1 - 0.05 * decay))


def test_adamw_with_groups_and_clipping_against_torch() -> None:
    params, gradients = arrays(0), [arrays(seed, 0.1 * seed) for seed in range(1, 7)]
    keys = {'bn': {'decay_mult': 0.0}, 'bias': {'decay_mult': 0.0, 'lr_mult': 2.0}}

    def make(optim: Any, tensors: dict[str, Any]) -> Any:
        groups = [
            {'params': [tensors['conv']]},
            {'params': [tensors['bn']], 'weight_decay': 0.0},
            {'params': [tensors['bias']], 'weight_decay': 0.0, 'lr_mult': 2.0},
        ]
        return optim.AdamW(groups, lr=0.1, betas=(0.9, 0.95), weight_decay=0.2)

    options: dict[str, Any] = {
        'lr': 0.1,
        'betas': (0.9, 0.95),
        'weight_decay': 0.2,
        'clip': 1.0,
        'custom_keys': keys,
    }
    expected = torch_trajectory(make, params, gradients, [0.1] * 6, clip=1.0)
    with jax.enable_x64(True):
        found = trajectory(AdamW(**options), params, gradients)
    assert_trees_close(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    'optimizer',
    [SGD(lr=0.1, momentum=0.9, clip=1.0), LARS(lr=0.1, momentum=0.9), AdamW(lr=0.1)],
    ids=lambda optimizer: type(optimizer).__name__,
)
def test_a_donated_jit_compiled_step(optimizer: Any) -> None:
    transformation = make_optimizer(optimizer, WarmupCosine(), steps_per_epoch=4, epochs=2)
    params = jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), arrays(0))
    gradient = jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), arrays(1))
    state = transformation.init(params)
    shapes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert shapes <= {(), *SHAPES.values()}

    def step(params: Any, state: Any, gradient: Any) -> tuple[Any, Any]:
        updates, state = transformation.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    expected, expected_state = step(params, state, gradient)
    donated = [leaf for leaf in jax.tree.leaves((params, state)) if leaf.ndim]
    found = jax.jit(step, donate_argnums=(0, 1))(params, state, gradient)
    assert all(leaf.is_deleted() for leaf in donated)
    assert structure(found[1]) == structure(state)
    assert_trees_close(found, (expected, expected_state), rtol=1e-6, atol=1e-7)


def test_the_floor_of_the_schedule_is_not_multiplied_by_a_group() -> None:
    params = {name: np.zeros(shape, np.float32) for name, shape in SHAPES.items()}
    gradient = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    optimizer = SGD(lr=1.0, custom_keys={'bn': {'lr_mult': 0.1}})
    transformation = make_optimizer(
        optimizer, WarmupCosine(min_lr=0.05), steps_per_epoch=4, epochs=1
    )
    state = transformation.init(params)
    for _ in range(4):
        updates, state = transformation.update(gradient, state, params)
    fall = (1 + np.cos(np.pi * 3 / 4)) / 2
    np.testing.assert_allclose(updates['conv'], -(0.05 + 0.95 * fall), rtol=1e-6)
    np.testing.assert_allclose(updates['bn'], -(0.05 + 0.05 * fall), rtol=1e-6)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda: SGD(lr=-0.1), 'SGD.lr=-0.1'),
        (lambda: SGD(lr='0.1'), "SGD.lr='0.1'"),  # type: ignore[arg-type]
        (lambda: SGD(lr=0.1, momentum=1.5), 'SGD.momentum=1.5'),
        (lambda: LARS(lr=0.1, weight_decay=-1e-6), 'LARS.weight_decay=-1e-06'),
        (lambda: LARS(lr=0.1, eta=-1.0), 'LARS.eta=-1.0'),
        (lambda: LARS(lr=0.1, dampening=1.0), 'LARS.dampening=1.0'),
        (lambda: LARS(lr=0.1, nesterov=True), 'nesterov=True needs a momentum.*momentum=0.9'),
        (lambda: SGD(lr=0.1, momentum=0.9, dampening=0.1, nesterov=True), 'dampening 0.1'),
        (lambda: SGD(lr=0.1, decay_schedule=3), 'decay_schedule=3'),  # type: ignore[arg-type]
        (lambda: AdamW(lr=0.1, clip=1.0, clip_by='row'), "clip_by='row'.*'all', 'part', 'tensor'"),  # type: ignore[arg-type]
        (lambda: SGD(lr=0.1, base_batch_size=0), 'SGD.base_batch_size=0'),
        (lambda: SGD(lr=0.1, batch_rule='sqrt'), "batch_rule='sqrt'.*base_batch_size=256"),
        (lambda: SGD(lr=0.1, batch_rule='root'), "batch_rule='root'.*'linear', 'sqrt'.*=sqrt"),  # type: ignore[arg-type]
        (lambda: AdamW(lr=0.1, vectors={'decay': 0}), "optimizer.vectors.*'decay_mult'"),
        (lambda: SGD(lr=0.1, custom_keys={'bn': {'frozen_epochs': -1}}), 'frozen_epochs=-1'),
        (lambda: AdamW(lr=0.1, betas=(0.9, 1.0)), r'AdamW.betas=\(0.9, 1.0\)'),
        (lambda: AdamW(lr=0.1, clip=0), 'AdamW.clip=0.*None'),
        (lambda: AdamW(lr=0.1, clip=-3.0), 'AdamW.clip=-3.0'),
        (lambda: AdamW(lr=0.1, custom_keys={'bn': {'lars_exclude': True}}), "'lars_exclude'"),
        (lambda: SGD(lr=0.1, custom_keys={'bn': {'lr_mul': 2}}), "Did you mean 'lr_mult'"),
    ],
)
def test_bad_fields(make: Callable[[], object], message: str) -> None:
    with pytest.raises(JsslError, match=message):
        make()


def test_a_rate_for_another_batch_is_scaled_or_refused() -> None:
    sgd = SGD(lr=0.3, base_batch_size=256, momentum=0.9)
    assert sgd.for_batch(4096) == SGD(lr=0.3 * 16, momentum=0.9)
    assert sgd.for_batch(64).lr == pytest.approx(0.3 / 4)
    adamw = AdamW(lr=1e-3, base_batch_size=256, batch_rule='sqrt')
    assert adamw.for_batch(1024).lr == pytest.approx(2e-3)
    assert SGD(lr=0.3).for_batch(1024) == SGD(lr=0.3)
    with pytest.raises(JsslError, match=r'base_batch_size=256 .*optimizer\.for_batch\(512\)'):
        make_optimizer(sgd, Constant(), steps_per_epoch=4, epochs=2)


def test_what_does_not_fit_the_run_or_the_parameters_fails_before_the_first_step() -> None:
    with pytest.raises(JsslError, match='warmup_epochs'):
        make_optimizer(SGD(lr=0.1), Constant(warmup_epochs=5), steps_per_epoch=4, epochs=2)
    optimizer = AdamW(lr=0.1, custom_keys={'bnn': {'decay_mult': 0.0}})
    transformation = make_optimizer(optimizer, Constant(), steps_per_epoch=4, epochs=2)
    with pytest.raises(JsslError, match="'bnn'"):
        transformation.init(arrays(0))
