"""The same losses on one device and on eight, with sharded batches and queues, for every method.

In float64, so that no ReLU and no match near its edge falls on the other side by rounding.
"""

import numpy as np
import pytest

from tests.algorithms.runs import ALGORITHMS, advance, placed

STEPS = range(5)


@pytest.mark.usefixtures('float64')
@pytest.mark.parametrize('name', ALGORITHMS)
def test_eight_devices_give_the_losses_of_one(name: str) -> None:
    _, one = advance(name, 1, placed(name, 1), STEPS)
    _, eight = advance(name, 8, placed(name, 8), STEPS)
    assert len(set(one)) == len(STEPS)
    np.testing.assert_allclose(eight, one, rtol=1e-10, atol=1e-12)
