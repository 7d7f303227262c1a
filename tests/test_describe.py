"""What the help of a command says of the fields of a config."""

import dataclasses
from typing import Any

import pytest

from jssl.cli.configs import load
from jssl.config import TOP
from jssl.describe import Field, describe_config, meanings_of, takes
from jssl.kinds import Backbone
from jssl.optim.optimizers import LARS
from tests.test_components import INTERNAL


def described(name: str, **parts: Any) -> dict[str, Field]:
    fields = describe_config(load(name) | parts)
    assert len({field.name for field in fields}) == len(fields)
    return {field.name: field for field in fields}


def test_fields_have_their_values_forms_and_meanings() -> None:
    fields = described('simclr')
    assert {name.partition('.')[0] for name in fields} == set(TOP)
    rate = Field('optimizer.lr', 0.006, 'a number of at least 0', 'base learning rate.')
    assert fields['optimizer.lr'] == rate
    assert fields['epochs'].takes == 'a whole number of at least 1'
    assert fields['optimizer.betas'].value == (0.9, 0.999)  # a default
    assert fields['optimizer.custom_keys'].value == {}
    assert fields['optimizer.type'].takes == 'SGD, LARS, TrustRatioLARS, AdamW, module:Class'
    assert fields['model.backbone.depth'].value == 10
    assert fields['model.backbone.type'].value == 'ResNet'
    assert fields['probe_data'].value is None
    assert fields['probe_data'].takes.startswith('dict(type=...) with a type of Arrays, Folder')
    assert fields['probe_data'].takes.endswith('or None')
    assert fields['model.backbone.remat'].takes == 'True or False'
    assert fields['evaluate.neighbors'].meaning == 'k of the kNN accuracy.'
    assert fields['checkpoint.keep'].value == 3
    assert fields['pretrained'].takes == 'a text or None'
    assert fields['optimizer.clip_by'].takes == "one of 'all', 'part', 'tensor'"


@pytest.mark.parametrize('name', ['simclr', 'swav', 'mae', 'moco', 'odc', 'eval/linear'])
def test_every_field_says_what_it_means_in_plain_words(name: str) -> None:
    for field in described(name).values():
        assert field.meaning, field.name
        for word in INTERNAL:
            assert word not in field.takes, field


def test_a_class_of_ones_own_and_a_function_are_described_too() -> None:
    optimizer = {'type': 'optax:adamw', 'learning_rate': 0.1}
    fields = described('simclr', optimizer=optimizer, model={'type': f'{__name__}:Own'})
    assert fields['optimizer.learning_rate'].value == 0.1
    assert 'momentum' in fields['optimizer.nesterov'].meaning
    assert fields['model.width'] == Field('model.width', 3, 'int', 'of everything.')
    assert fields['model.backbone'].takes == takes(Backbone | None)


@dataclasses.dataclass(frozen=True)
class Own:
    """Says what it takes.

    Attributes:
      width: of
        everything.
    """

    width: int = 3
    backbone: Backbone | None = None


def test_what_a_base_says_stands_where_the_class_refers_to_it() -> None:
    assert meanings_of(LARS)['clip'].startswith("bound of the gradient's")
    assert meanings_of(LARS)['nesterov'].startswith('as for `SGD`')
