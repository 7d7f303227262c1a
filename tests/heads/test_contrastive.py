import pytest

from jssl.heads import ContrastiveHead
from tests.checks import refused


@pytest.mark.parametrize('temperature', [0.0, -0.1])
def test_a_temperature_must_be_positive(temperature: float) -> None:
    with refused(f'temperature={temperature}', 'positive'):
        ContrastiveHead(temperature=temperature)
