import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import smooth_l1

PREDICTION, TARGET = np.random.default_rng(0).standard_normal((2, 4, 6)) * 2


@pytest.mark.parametrize('beta', [1.0, 0.3])
def test_equals_pytorch_in_float64(beta: float) -> None:
    torch = pytest.importorskip('torch')
    rows = torch.tensor(PREDICTION), torch.tensor(TARGET)
    expected = torch.nn.functional.smooth_l1_loss(*rows, beta=beta)
    with jax.enable_x64(True):
        found = smooth_l1(jnp.asarray(PREDICTION), jnp.asarray(TARGET), beta)
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_bfloat16_is_averaged_in_float32() -> None:
    assert smooth_l1(jnp.ones(3, 'bfloat16'), jnp.zeros(3, 'bfloat16')).dtype == 'float32'
