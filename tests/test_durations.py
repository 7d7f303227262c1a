"""How long something took, in words."""

import pytest

from jssl.durations import format_duration


@pytest.mark.parametrize(
    ('seconds', 'text'), [(0, '0:00'), (133.4, '2:13'), (3599.6, '1:00:00'), (90061, '25:01:01')]
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
