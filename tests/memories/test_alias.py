import jax
import numpy as np

from jssl.memories.alias import alias_table, draw_alias
from tests.checks import refused

WEIGHTS = [3.0, 0.0, 1.0, 0.25, 5.0, 0.75]


def shares(table: dict[str, np.ndarray]) -> np.ndarray:
    """The probabilities that a table stands for."""
    total = table['prob'].astype('float64')
    np.add.at(total, table['alias'], 1 - table['prob'].astype('float64'))
    return total / len(total)


def test_the_table_stands_for_the_weights() -> None:
    np.testing.assert_allclose(shares(alias_table(WEIGHTS)), np.divide(WEIGHTS, 10), atol=1e-7)
    many = np.random.default_rng(0).uniform(size=1000) ** 4
    np.testing.assert_allclose(shares(alias_table(many)), many / many.sum(), atol=1e-9)


def test_equal_weights_never_need_the_alias() -> None:
    np.testing.assert_array_equal(alias_table([0.1] * 7)['prob'], 1)


def test_draws_are_as_frequent_as_the_weights_say() -> None:
    table = jax.tree.map(jax.numpy.asarray, alias_table(WEIGHTS))
    drawn = np.bincount(draw_alias(jax.random.key(0), table, (200, 500)).reshape(-1), minlength=6)
    expected = 10_000 * np.array(WEIGHTS)
    assert drawn[1] == 0
    assert (np.abs(drawn - expected) <= 5 * np.sqrt(expected)).all()


def test_weights_that_give_no_distribution_are_refused() -> None:
    for weights in ([], [1.0, -1.0], [0.0, 0.0], [1.0, float('nan')], [[1.0]]):
        with refused('memory_bank.weights', 'leave it out'):
            alias_table(weights)
