"""A step of ours and the same step in PyTorch, from the same weights on the same views."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from numpy.typing import NDArray

from experiments.twins.methods import TWINS, Twin
from experiments.twins.sizes import Case
from jssl.algorithm import Batch, TrainState
from jssl.errors import JsslError
from jssl.optim.optimizers import AdamW, make_optimizer
from jssl.optim.schedules import Constant
from jssl.training.step import drawn, init_train_state, make_train_step

Run = Callable[[], Any]  # one step; its loss before the update, a scalar array
OPTIMIZER = AdamW(lr=1e-3, weight_decay=1e-4)
TOLERANCE = {'float32': 1e-4, 'bfloat16': 2e-2}  # relative, of the first loss


def pair(case: Case, device: str = 'cpu', dtype: str = 'float32') -> tuple[Run, Run, list[float]]:
    """Both steps, and the first loss of each.

    Both have been run once, so that everything is compiled and allocated.

    Args:
      case: what they compute; its model computes in `dtype`.
      device: of PyTorch; on 'cuda' it compiles.
      dtype: of its autocast.

    Raises:
      JsslError: the losses differ, or the twin lacks something of the model.
    """
    views = random_views(case)
    batch = {'canvas': tuple(map(jnp.asarray, views)), 'index': jnp.arange(case.batch)}
    algorithm = case.algorithm
    optimizer = make_optimizer(
        OPTIMIZER, Constant(), steps_per_epoch=1, epochs=1, is_frozen=algorithm.is_frozen
    )
    initial = jax.jit(lambda: init_train_state(algorithm, unpack, optimizer, batch, seed=0))()
    theirs = torch_run(case, initial, views, device, dtype)
    ours = jax_run(make_train_step(algorithm, unpack, optimizer), initial, batch)
    losses = [float(ours()), float(theirs())]
    if not math.isclose(*losses, rel_tol=TOLERANCE[dtype]):
        raise JsslError(f'The two steps compute different losses: {losses[0]} and {losses[1]}.')
    return ours, theirs, losses


def random_views(case: Case) -> list[NDArray[np.float32]]:
    """The views of a batch, (B, side, side, 3) each."""
    draw = np.random.default_rng(0)
    shapes = ((case.batch, side, side, 3) for side in case.sides)
    return [draw.standard_normal(shape, np.float32) for shape in shapes]


def unpack(key: jax.Array, views: tuple[jax.Array, ...]) -> dict[str, Any]:
    """Views that are made already, in the place of the canvas."""
    del key
    return {'views': views}


def jax_run(step: Callable[..., Any], train_state: TrainState, batch: Batch) -> Run:
    """Our step as a function that keeps its state."""

    def run() -> jax.Array:
        nonlocal train_state
        train_state, metrics = step(train_state, batch)
        return metrics['loss']

    return run


def torch_run(
    case: Case, train_state: TrainState, views: list[NDArray[np.float32]], device: str, dtype: str
) -> Run:
    """PyTorch's step as a function that keeps its state, from the weights of `train_state`."""
    twin = TWINS[type(case.algorithm)](case.algorithm)
    twin.load(train_state.params, train_state.state)
    twin = twin.to(device)
    compute = torch.compile(twin) if device == 'cuda' else twin
    images = tuple(to_tensor(view).to(device) for view in views)
    optimizer = adamw(twin)
    step, first = 0, first_draw(case, train_state)

    def run() -> torch.Tensor:
        nonlocal step
        optimizer.zero_grad()
        twin.before(step)
        drawn = twin.draw(case.batch) if step else first
        with autocast(device, dtype):
            loss = compute(images, **{name: value.to(device) for name, value in drawn.items()})
        loss.backward()
        optimizer.step()
        twin.after(step)
        step += 1
        return loss.detach()

    return run


def first_draw(case: Case, train_state: TrainState) -> dict[str, torch.Tensor]:
    """What our first step draws and the twin is to take; later each side draws its own."""
    names = TWINS[type(case.algorithm)].draws
    if not names:
        return {}
    canvas = tuple(jnp.zeros((case.batch, side, side, 3)) for side in case.sides)
    batch = {'canvas': canvas, 'index': jnp.arange(case.batch)}
    found = jax.jit(lambda state: drawn(case.algorithm, unpack, state, batch))(train_state)
    return {name: torch.tensor(np.asarray(found[name])) for name in names}


def adamw(twin: Twin) -> torch.optim.Optimizer:
    """PyTorch's fastest form of `OPTIMIZER`."""
    return torch.optim.AdamW(
        [parameter for parameter in twin.parameters() if parameter.requires_grad],
        lr=OPTIMIZER.lr,
        betas=OPTIMIZER.betas,
        eps=OPTIMIZER.eps,
        weight_decay=OPTIMIZER.weight_decay,
        fused=True,
    )


def autocast(device: str, dtype: str) -> contextlib.AbstractContextManager[None]:
    """PyTorch's way to compute in bfloat16."""
    return torch.autocast(device, torch.bfloat16, enabled=dtype == 'bfloat16')


def to_tensor(view: NDArray[Any]) -> torch.Tensor:
    """(B, H, W, 3) -> (B, 3, H, W) in `channels_last`."""
    tensor = torch.tensor(view).permute(0, 3, 1, 2)
    return tensor.contiguous(memory_format=torch.channels_last)
