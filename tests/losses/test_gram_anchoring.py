from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jssl.losses import gram_anchoring
from tests import golden
from tests.losses.parts import both_precisions, part


def no_negatives(case: golden.Meta) -> Literal['of both', 'of the anchors'] | None:
    """Whose negative similarities a case removes."""
    if case['remove_neg']:
        return 'of both'
    return 'of the anchors' if case.get('remove_only_teacher_neg') else None


@both_precisions
@golden.each('part_dinov3_gram')
def test_the_reference_s_loss(path: Path, dtype: str) -> None:
    with part(path, dtype) as saved:
        for number, case in enumerate(saved.meta['settings']):
            patches, anchors = (saved.input(f'{who}{number}') for who in ('student', 'teacher'))
            loss = partial(
                gram_anchoring,
                per_image=case['img_level'],
                normalize=case.get('apply_norm', True),
                no_negatives=no_negatives(case),
            )
            value, gradient = jax.jit(jax.value_and_grad(loss))(patches, anchors)
            saved.check(f'loss{number}', value)
            saved.check(f'grad{number}', gradient)


@pytest.mark.parametrize('per_image', [True, False])
def test_pairs_of_what_is_not_there_are_left_out(per_image: bool) -> None:
    x, y = jax.random.normal(jax.random.key(0), (2, 2, 4, 3))
    present = jnp.array([[True, False, True, True], [True, True, False, True]])
    found = gram_anchoring(x, y, per_image=per_image, present=present)
    if per_image:
        rows = [jnp.stack([z[i][present[i]] for i in (0, 1)]) for z in (x, y)]
    else:
        rows = [z[present][None] for z in (x, y)]
    np.testing.assert_allclose(found, gram_anchoring(*rows), rtol=1e-5)
    assert gram_anchoring(x, y, present=jnp.zeros((2, 4), bool)) == 0


def test_no_gradient_reaches_the_anchors() -> None:
    rows = np.random.default_rng(0).standard_normal((2, 1, 4, 3))
    reached, kept = jax.jit(jax.grad(gram_anchoring, (0, 1)))(*rows)
    assert reached.any()
    assert not kept.any()
    assert gram_anchoring(jnp.ones((1, 2, 2)), jnp.ones((1, 2, 2))) == 0
