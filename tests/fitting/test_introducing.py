"""What a run says of itself before it begins."""

from typing import Any

import numpy as np
import pytest

from jssl.algorithms import SimCLR
from jssl.augment.views import CenterView, MultiView, View
from jssl.backbones import ResNet
from jssl.data import Arrays
from jssl.fitting.introducing import share_of_a_device, tell_remarks
from jssl.heads import ContrastiveHead
from jssl.necks import NonLinearNeck
from jssl.optim.optimizers import SGD
from jssl.training.experiment import Experiment
from jssl.training.settings import MeshShape, Runtime
from tests.training import toy

VIEW = CenterView(size=16, resize=16)
SEEN: dict[str, Any] = {
    'views': MultiView(View(size=16, blur=0.0)),
    'eval_view': VIEW,
    'canvas': 16,
}


def on(devices: int, **fields: Any) -> Experiment:
    return toy.experiment(runtime=Runtime(mesh=MeshShape(devices=devices)), **fields)


def test_the_share_of_a_device_is_said_with_a_rate_that_is_scaled() -> None:
    assert share_of_a_device(on(1)) == '16 images a step'
    optimizer = SGD(lr=0.1, base_batch_size=64)
    said = share_of_a_device(on(8, optimizer=optimizer))
    assert said == (
        '2 images a step on each of 8 devices; lr 0.025, from 0.1 for 64 images by the linear rule'
    )


@pytest.mark.parametrize(
    ('group', 'accumulate', 'words'),
    [
        (None, 1, '; batch norm goes by all 16, whatever the devices'),
        (4, 1, '; batch norm goes by groups of 4 in the backbone and by all 16 elsewhere, '),
        (None, 2, ', in 2 parts; batch norm goes by groups of 8 in the backbone and by all 16'),
    ],
)
def test_what_batch_norm_goes_by_is_said(group: int | None, accumulate: int, words: str) -> None:
    backbone = ResNet(10, 4, strides=(1,), out_indices=(1,), cifar_stem=True, bn_group_size=group)
    neck = NonLinearNeck(in_channels=4, hid_channels=4, out_channels=4)
    algorithm = SimCLR(backbone, neck, ContrastiveHead(temperature=0.5))
    found = on(4, algorithm=algorithm, accumulate=accumulate, **SEEN)
    assert share_of_a_device(found).startswith(f'4 images a step on each of 4 devices{words}')


def test_what_is_remarkable_about_the_images_is_said_of_each_part() -> None:
    said: list[str] = []
    dim = Arrays(np.ones((3, 9, 9, 3), np.uint8))
    large = Arrays(np.random.default_rng(0).integers(0, 256, (48, 20, 16, 3), np.uint8))
    tell_remarks(toy.experiment(data=large, test_data=dim, canvas=5, eval_view=VIEW), said.append)
    shrunk, dark = said
    assert shrunk.startswith('config.data: ')
    assert 'to fit config.canvas=5' in shrunk
    assert dark.startswith('config.test_data: the brightest level of the first 3 images is 1 of')
