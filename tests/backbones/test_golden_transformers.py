from pathlib import Path

import pytest

from tests.backbones.reference import check

BOUNDS = {'float64': 1e-6, 'float32': 1e-4}


@pytest.mark.parametrize('dtype', BOUNDS)
@pytest.mark.parametrize('mode', ['train', 'eval'])
@pytest.mark.parametrize('case', ['vit', 'swin'])
def test_equals_the_reference(golden: Path, case: str, mode: str, dtype: str) -> None:
    check(golden, case, mode, dtype, BOUNDS[dtype])
