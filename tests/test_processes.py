"""What the processes of a job agree on, where one of them is gone."""

from typing import Any

import jax
import pytest
from jax.experimental import multihost_utils

from jssl.processes import of_first, on_all


@pytest.mark.parametrize(
    ('ask', 'name'), [(of_first, 'broadcast_one_to_all'), (on_all, 'process_allgather')]
)
def test_a_lost_connection_is_an_error_of_jax(
    ask: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(number: Any) -> Any:
        raise ValueError('Gloo all-reduce failed')

    monkeypatch.setattr(jax, 'process_count', lambda: 2)
    monkeypatch.setattr(multihost_utils, name, lost)
    with pytest.raises(jax.errors.JaxRuntimeError, match='Gloo all-reduce failed'):
        ask(1)
