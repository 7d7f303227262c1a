"""What JAX and PyTorch may use when both are in one process: the same cores, or one GPU."""

import os

import jax
import torch

from jssl.errors import JsslError


def use_device(threads: int) -> str:
    """Sets both up, before JAX has begun to compute.

    Args:
      threads: cores that both may use where there is no GPU.

    Returns:
      Of PyTorch: 'cuda' or 'cpu'.

    Raises:
      JsslError: there are fewer cores, the system has no affinity, or JAX does not see the GPU.
    """
    if torch.cuda.is_available():
        use_gpu()
        return 'cuda'
    use_cores(threads)
    return 'cpu'


def use_cores(count: int) -> None:
    """Restricts this process to `count` cores; JAX counts them when its first array is made.

    Raises:
      JsslError: there are fewer cores, or the system has no affinity.
    """
    if not hasattr(os, 'sched_setaffinity'):
        raise JsslError('This system cannot restrict a process to some cores; use Linux.')
    cores = sorted(os.sched_getaffinity(0))
    if not 1 <= count <= len(cores):
        raise JsslError(f'--threads={count} must be from 1 to {len(cores)}, the cores there are.')
    os.sched_setaffinity(0, cores[:count])
    torch.set_num_threads(count)
    jax.config.update('jax_platforms', 'cpu')


def use_gpu() -> None:
    """Leaves memory of the GPU to PyTorch, and lets it take TF32 for float32, as JAX does.

    Raises:
      JsslError: JAX does not see the GPU.
    """
    os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
    torch.set_float32_matmul_precision('high')
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    if jax.default_backend() != 'gpu':
        raise JsslError(
            "PyTorch sees a GPU and JAX does not; pip install 'jax[cuda12]', or hide the GPU with "
            'CUDA_VISIBLE_DEVICES=.'
        )


def declare_operators() -> None:
    """Names of operators that `import torchvision` asks for.

    Its wheel is made for a CUDA build of PyTorch; beside a build for the CPU its compiled part
    cannot be read. No network or transform here uses one.
    """
    if not hasattr(torch.ops.torchvision, 'nms'):
        arguments = '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor'
        for name in ('nms', 'qnms'):
            torch.library.define(f'torchvision::{name}', arguments)
