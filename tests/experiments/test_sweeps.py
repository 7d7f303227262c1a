"""The benchmark of sweeps measures every way."""

from experiments.sweeps import ALONE, WAYS, measure
from jssl.optim.optimizers import SGD
from jssl.training.sweep import Sweep
from tests.training import toy


def test_every_way_has_a_cost() -> None:
    rates = (1e-3, 2e-2)
    lanes = [toy.experiment(optimizer=SGD(lr=rate)) for rate in rates]
    costs = measure(Sweep(lanes, [{'optimizer.lr': rate} for rate in rates]), [*WAYS], rounds=1)
    assert list(costs) == [ALONE, *WAYS]
    assert min(min(cost) for cost in costs.values()) > 0
