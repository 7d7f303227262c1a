"""The same losses on one device and on eight, with sharded batches and queues, for every method."""

import numpy as np
import pytest

from tests.algorithms.runs import ALGORITHMS, advance, placed

STEPS = range(5)


@pytest.mark.parametrize('name', ALGORITHMS)
def test_eight_devices_give_the_losses_of_one(name: str) -> None:
    _, one = advance(name, 1, placed(name, 1), STEPS)
    _, eight = advance(name, 8, placed(name, 8), STEPS)
    assert len(set(one)) == len(STEPS)
    # The absolute part is for losses that are small differences, as those of cosines.
    np.testing.assert_allclose(eight, one, rtol=1e-6, atol=1e-6)
