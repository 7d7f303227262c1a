"""The words by which a run is known that no config describes."""

import dataclasses
import functools

import flax.linen as nn
import numpy as np

from jssl.backbones import ResNet
from jssl.runs.describe import words_of


@dataclasses.dataclass
class Older:
    width: int
    parts: tuple[nn.Module, ...] = ()


@dataclasses.dataclass
class Newer:
    """The same class of a later version."""

    width: int
    parts: tuple[nn.Module, ...] = ()
    more: bool = False
    many: list[int] = dataclasses.field(default_factory=list)
    images: object = dataclasses.field(default=None, repr=False)


Newer.__qualname__ = 'Older'


def test_fields_at_their_defaults_are_left_out_at_any_depth() -> None:
    net = nn.Sequential([ResNet(depth=18, strides=ResNet.strides), nn.relu])
    words = words_of(Older(4, (net,)))
    layers = '[ResNet(depth=18), <function relu>]'
    assert words == f'Older(width=4, parts=(Sequential(layers={layers}),))'


def test_a_later_version_with_more_fields_says_the_same_until_they_are_used() -> None:
    assert words_of(Newer(3, images=np.zeros(9))) == words_of(Older(3)) == 'Older(width=3)'
    assert words_of(Newer(3, more=True)) == 'Older(width=3, more=True)'
    assert words_of(Newer(3, many=[1])) == 'Older(width=3, many=[1])'


def test_functions_with_arguments_are_told_apart() -> None:
    one, other = (functools.partial(np.full, 3, value) for value in (1, 2))
    assert words_of({'a': one}) != words_of({'a': other})
    assert words_of(one) == words_of(functools.partial(np.full, 3, 1))
