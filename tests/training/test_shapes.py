"""What does not fit together is said before an image is read and before a directory is made."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import jssl
from jssl.algorithms import ImageClassifier
from jssl.augment.views import CenterView, MultiView, View
from jssl.backbones import VisionTransformer
from jssl.components import build
from jssl.errors import JsslError
from jssl.heads import LinearClsHead
from jssl.losses import in_batch_contrast, nt_xent
from jssl.training import shapes
from jssl.training.rows import as_rows
from jssl.training.settings import MeshShape, Runtime
from jssl.training.shapes import check_shapes
from tests.checks import refused
from tests.test_configs import load
from tests.training import toy
from tests.training.toy import Toy

ARCH = dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8)
MAE_VIT = dict(
    type='MAEViT',
    arch=ARCH,
    img_size=8,
    patch_size=4,
    mask_ratio=0.0,
)


class Unread:
    """Images that must not be looked at."""

    has_labels = False

    def __len__(self) -> int:
        return 24

    def __getitem__(self, index: int) -> Any:
        raise AssertionError('the data were read')


@dataclasses.dataclass(frozen=True)
class Crooked(Toy):
    """A loss of a user's own with a slip in it."""

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        features = self.extract_feat(params, state, batch['views'][0])
        return jnp.mean(features @ jnp.zeros((5, 2))), (state, {})


@dataclasses.dataclass(frozen=True)
class Large(Toy):
    """A state that no machine holds."""

    def init(self, rng: Any, batch: Any) -> Any:
        params, _ = super().init(rng, batch)
        return params, {'queue': jnp.zeros((2**30, 2**20))}


@dataclasses.dataclass(frozen=True)
class Clustered(Toy):
    """Asks for more clusters between epochs than there are images."""

    def refreshes(self, epoch: int) -> bool:
        return epoch == 2

    def refresh(self, params: Any, state: Any, features: Any, rng: Any) -> Any:
        if len(features) < 100:
            raise JsslError(f'There are {len(features)} images for 100 clusters.')
        return params, state


def test_a_slip_in_a_loss_names_its_line_before_anything_is_read_or_made(tmp_path: Path) -> None:
    experiment = toy.experiment(algorithm=Crooked(), data=Unread())
    with refused('The train step cannot be built: TypeError', 'test_shapes.py, line'):
        jssl.fit(experiment, workdir=tmp_path / 'run')
    assert not (tmp_path / 'run').exists()


def test_a_state_larger_than_the_memory_names_its_largest_parts() -> None:
    with refused('GiB and there are', 'train state.state.queue', 'config.batch_size'):
        check_shapes(toy.experiment(algorithm=Large()))


def test_a_state_that_fits_once_for_each_device_is_accepted() -> None:
    """A twentieth of the memory on each of eight devices that share the host's."""
    host = shapes.memory(jax.devices()[0])
    assert host is not None
    rows = host // 20 // 4096

    @dataclasses.dataclass(frozen=True)
    class Twentieth(Toy):
        def init(self, rng: Any, batch: Any) -> Any:
            params, _ = super().init(rng, batch)
            return params, {'queue': jnp.zeros((rows, 1024))}

    runtime = Runtime(mesh=MeshShape(devices=8))
    check_shapes(toy.experiment(algorithm=Twentieth(), runtime=runtime))


def test_views_that_do_not_divide_into_patches_come_with_what_to_type() -> None:
    """Of each field a value that works: the second command of the message is the first's cure."""
    network = VisionTransformer(ARCH, img_size=8, patch_size=4)
    algorithm = ImageClassifier(network, LinearClsHead(3))
    small = MultiView(View(size=10), copies=1)
    experiment = toy.experiment(algorithm, views=small, eval_view=CenterView(size=3, resize=3))
    with refused(
        'Images of 10 x 10 px do not divide into patches of config.model.backbone.patch_size=4; '
        'views of 8 or 12 px do. Type --config.views.view.size=8 --config.eval_view.size=4 '
        '--config.eval_view.resize=4, or --config.model.backbone.patch_size=2.'
    ):
        check_shapes(experiment)


def test_a_refresh_is_traced_too() -> None:
    with refused('24 images for 100 clusters'):
        check_shapes(toy.experiment(algorithm=Clustered(), data=Unread(), epochs=3))


def test_a_run_s_step_is_traced_once() -> None:
    """The check costs no second trace: the loop uses what it traced."""
    traces = []

    @dataclasses.dataclass(frozen=True)
    class Counted(Toy):
        def loss(self, params: Any, state: Any, batch: Any) -> Any:
            traces.append(1)
            return super().loss(params, state, batch)

    experiment = toy.experiment(algorithm=Counted())
    check_shapes(experiment)
    before = len(traces)
    experiment.step(experiment.make_state(), experiment.loader[0], as_rows(experiment.arrays))
    assert len(traces) <= before + 1


def test_memory_of_a_cpu_is_the_host_s() -> None:
    found = shapes.memory(jax.devices()[0])
    assert found is None or found > 2**28


def test_a_mask_that_hides_nothing_is_refused() -> None:
    algorithm = build('model', load('mae.py')['model'] | {'backbone': MAE_VIT})
    views = jax.ShapeDtypeStruct((2, 8, 8, 3), jnp.float32)
    with refused('backbone.mask_ratio=0.0 leaves all 4 patches visible'):
        jax.eval_shape(algorithm.draw, jax.random.key(0), {}, {'views': (views,)})


def test_one_image_a_batch_has_nothing_to_be_told_from() -> None:
    with refused('a batch of one image has no others', 'config.batch_size'):
        nt_xent(jnp.ones((1, 8)), jnp.ones((1, 8)))
    with refused('a batch of one image has no others', 'config.batch_size'):
        in_batch_contrast(jnp.ones((1, 8)), jnp.ones((1, 8)))
