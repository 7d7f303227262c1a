import jax
import numpy as np
import pytest

from jssl.layers.initializers import (
    kaiming_normal,
    torch_linear,
    torch_linear_bias,
    xavier_uniform,
)

SIZE, FAN_IN = 200, 400


def test_convolutions_are_normal_by_fan_out() -> None:
    torch = pytest.importorskip('torch')
    ours = np.asarray(kaiming_normal(jax.random.key(0), (3, 3, 16, 64)))
    torch.manual_seed(0)
    theirs = torch.nn.init.kaiming_normal_(torch.empty(64, 16, 3, 3), mode='fan_out').numpy()
    assert ours.std() == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.04)
    assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
    assert abs(ours.mean()) < 0.05 * theirs.std()
    assert np.abs(ours).max() > 3 * ours.std()  # flax's own he_normal is cut off at two


def test_linear_layers_are_uniform_by_fan_in_as_in_pytorch() -> None:
    torch = pytest.importorskip('torch')
    torch.manual_seed(0)
    theirs = torch.nn.Linear(FAN_IN, SIZE)
    kernel = np.asarray(torch_linear(jax.random.key(0), (FAN_IN, SIZE)))
    bias = np.asarray(torch_linear_bias(FAN_IN)(jax.random.key(1), (SIZE,)))
    for ours, reference in [(kernel, theirs.weight), (bias, theirs.bias)]:
        values = reference.detach().numpy()
        assert np.abs(ours).max() <= FAN_IN**-0.5
        assert np.abs(ours).max() == pytest.approx(np.abs(values).max(), rel=0.02)
        assert ours.std() == pytest.approx(values.std(), rel=0.1)
        assert abs(ours.mean()) < 4 * values.std() / ours.size**0.5


@pytest.mark.parametrize(
    ('shape', 'matrices', 'fans'),
    [((40, 90), 1, 130), ((40, 90), 3, 70), ((4, 4, 3, 80), 1, 128)],
)
def test_xavier_takes_matrices_by_themselves_and_patches_as_one(
    shape: tuple[int, ...], matrices: int, fans: int
) -> None:
    values = np.abs(xavier_uniform(jax.random.key(0), shape, matrices=matrices))
    bound = (6 / fans) ** 0.5
    assert values.max() <= bound
    assert values.max() == pytest.approx(bound, rel=0.01)
    assert values.mean() == pytest.approx(bound / 2, rel=0.05)
