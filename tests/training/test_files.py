"""Training on files as users have them: folders, lists, and hundreds of broken images."""

import dataclasses
import io
import itertools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jssl
from jssl.augment.views import CenterView
from jssl.data import Canvas
from jssl.data.reading.bad_samples import NAMED
from jssl.data.sources import Folder, ImageList
from jssl.optim.optimizers import SGD
from jssl.training.settings import MeshShape, Runtime
from tests.checks import refused

FORMS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF')
GOOD, BROKEN = 64, 200


pytestmark = pytest.mark.filterwarnings('ignore:.*:UserWarning:PIL')  # about the broken files


@pytest.fixture(scope='module')
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of all formats among three times as many broken ones, without labels."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp('photos')
    files = [encoded(rng, FORMS[number % len(FORMS)]) for number in range(GOOD)]
    files += [damaged(rng, files[number % GOOD]) for number in range(BROKEN)]
    for number, place in enumerate(rng.permutation(len(files))):
        (folder / f'{place % 7}').mkdir(exist_ok=True)
        (folder / f'{place % 7}' / f'{place:03d}.Jpg').write_bytes(files[number])
    return folder


def encoded(rng: np.random.Generator, form: str) -> bytes:
    buffer = io.BytesIO()
    pixels = rng.integers(0, 256, (*rng.integers(8, 20, 2), 3), np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


def damaged(rng: np.random.Generator, data: bytes) -> bytes:
    """Cut short, or without the bytes that name its format."""
    cut = data[: int(rng.integers(0, len(data) // 2))]
    return cut if rng.random() < 0.5 else rng.bytes(4) + data[4:]


@pytest.fixture(scope='module')
def listed(tmp_path_factory: pytest.TempPathFactory) -> ImageList:
    """Labelled images, named by a list."""
    rng, folder = np.random.default_rng(1), tmp_path_factory.mktemp('listed')
    for number in range(24):
        (folder / f'{number}.png').write_bytes(encoded(rng, 'PNG'))
    (folder / 'list.txt').write_text(
        '\n'.join(f'{number}.png {number % 3}' for number in range(24))
    )
    return ImageList(str(folder / 'list.txt'))


@dataclasses.dataclass(frozen=True)
class Mean(jssl.Algorithm):
    """A user's algorithm that compiles at once: one number is to be the mean of all pixels."""

    def init(self, rng: jax.Array, batch: Any) -> tuple[Any, dict[str, Any]]:
        return {'mean': jnp.zeros(())}, {}

    def loss(
        self, params: Any, state: Any, batch: Any
    ) -> tuple[jax.Array, tuple[Any, dict[str, Any]]]:
        return jnp.mean((batch['views'][0] - params['mean']) ** 2), (state, {})


WHOLE = CenterView(size=8, resize=8)


def whole(key: jax.Array, canvas: Canvas) -> dict[str, tuple[jax.Array, ...]]:
    """A user's view that draws nothing."""
    return {'views': (WHOLE(canvas),)}


def experiment(photos: Path | None = None, **changes: Any) -> jssl.Experiment:
    settings: dict[str, Any] = {
        'algorithm': Mean(),
        'data': photos and Folder(str(photos), labelled=False),
        'views': whole,
        'eval_view': WHOLE,
        'optimizer': SGD(lr=0.01),
        'batch_size': 24,
        'epochs': 1,
        'canvas': 16,
        'runtime': runtime(1.0),
    }
    return jssl.Experiment(**settings | changes)


def runtime(bad_samples: float) -> Runtime:
    return Runtime(bad_samples=bad_samples, mesh=MeshShape(devices=1), resident='no')


def trained(found: jssl.Experiment, steps: int) -> float:
    """The loss of the last of so many steps."""
    state, step = found.make_state(), found.step
    for batch in itertools.islice(found.loader.iterate(), steps):
        state, metrics = step(state, batch)
    return float(metrics['loss'])


def test_a_folder_with_hundreds_of_broken_images_is_trained_on(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = experiment(photos)
    assert np.isfinite(trained(found, found.loader.steps_per_epoch))
    assert found.bad_samples.count == BROKEN
    said = capsys.readouterr().out.splitlines()
    assert sum(line.endswith('takes its place.') for line in said) == NAMED
    assert said[-1].endswith('any more are counted, not named.')


def test_a_list_is_trained_on(listed: ImageList) -> None:
    assert np.isfinite(trained(experiment(data=listed), 2))


def test_training_ends_when_more_images_are_broken_than_allowed(photos: Path) -> None:
    with refused(f'of {GOOD + BROKEN} samples cannot be read', 'config.bad_samples=0.1 allows 26'):
        trained(experiment(photos, runtime=runtime(0.1)), 4)
