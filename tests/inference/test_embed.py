"""Features of a data set in a table; stopped, changed, broken, without room."""

import dataclasses
import json
import re
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jssl.augment.views import CenterView
from jssl.backbones import ResNet
from jssl.cli import main
from jssl.data import Arrays, Folder, ImageList
from jssl.inference.embed import embed, ids_of
from jssl.inference.pretrained import Frozen, Pretrained
from jssl.interrupts import Stopped
from jssl.lock import LOCK, locked
from jssl.runs.describe import describe
from tests.checks import refused, well_scaled
from tests.conftest import ROOT

COUNT = 11
BROKEN = 4  # the number of the one that is no image


@pytest.fixture(scope='module')
def network() -> Pretrained:
    backbone = ResNet(10, 8, strides=(2,), out_indices=(1,), cifar_stem=True)
    view = CenterView(size=8, resize=8)
    algorithm = Frozen(backbone)
    views = {'views': (jnp.zeros((1, 8, 8, 3)),)}
    params, state = well_scaled(jax.eval_shape(algorithm.init, jax.random.key(0), views))
    return Pretrained(algorithm, params, state, view, 16, metadata=describe(backbone, view, 16, 3))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two classes of images of several sizes, one of which is none."""
    draw = np.random.default_rng(0)
    for number in range(COUNT):
        path = tmp_path / 'photos' / 'ab'[number % 2] / f'{number:02}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (6 + number, 9, 3), np.uint8)).save(path)
    broken = sorted((tmp_path / 'photos').rglob('*.png'))[BROKEN]
    broken.write_bytes(b'no image')
    return tmp_path / 'photos'


@dataclasses.dataclass
class Counting:
    """A source that notes what is read of it, and stops the command at one of its images."""

    source: Folder
    stop: int = -1
    read: list[int] = dataclasses.field(default_factory=list)

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Any:
        if index == self.stop:
            raise Stopped(signal.SIGTERM)
        self.read.append(index)
        return self.source[index]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.source, name)


@pytest.mark.parametrize('ending', ['npz', 'parquet'])
def test_every_image_has_its_row(network: Pretrained, photos: Path, ending: str) -> None:
    source = Folder(str(photos))
    done = embed(network, source, photos.parent / f'it.{ending}', batch_size=3, rows=5)
    assert done == (photos.parent / f'it.{ending}', COUNT, 1)
    table = read(done.path)
    assert list(table['id']) == source.names()
    np.testing.assert_array_equal(table['label'], source.labels)
    ok = np.array(table['ok'])
    assert list(np.flatnonzero(~ok)) == [BROKEN]
    features = np.stack(table['features'])
    assert np.isnan(features[BROKEN]).all()
    paths = [photos / name for name in np.array(source.names())[ok]]
    np.testing.assert_allclose(features[ok], network.features(paths), rtol=1e-5, atol=1e-6)
    assert table['about']['layer'] == 'pooled'
    assert sorted(path.name for path in photos.parent.iterdir()) == [f'it.{ending}', 'photos']
    with refused('is there already', '--out'):
        embed(network, source, done.path)


def read(path: Path) -> dict[str, Any]:
    if path.suffix == '.npz':
        with np.load(path) as arrays:
            return {**arrays, 'about': json.loads(str(arrays['about']))}
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b'jssl'])
    return {name: table[name].to_pylist() for name in table.column_names} | {'about': about}


def test_whoever_is_stopped_goes_on_from_the_parts_that_are_there(
    network: Pretrained, photos: Path
) -> None:
    whole = embed(network, Folder(str(photos)), photos.parent / 'whole.npz', batch_size=4, rows=4)
    out = photos.parent / 'it.npz'
    with pytest.raises(Stopped):
        embed(network, Counting(Folder(str(photos)), stop=9), out, batch_size=2, rows=4)
    parts = out.with_name('it.npz.parts')
    assert not out.exists()
    there = sorted(parts.glob('*.npz'))
    assert 1 <= len(there) <= 2
    there[0].write_bytes(there[0].read_bytes()[:50])  # a machine that lost its power
    again = Counting(Folder(str(photos)))
    embed(network, again, out, batch_size=2, rows=4)
    assert set(again.read) == {*range(4), *range(4 * len(there), COUNT)}
    assert not parts.exists()
    first, second = read(whole.path), read(out)
    np.testing.assert_array_equal(first['id'], second['id'])
    np.testing.assert_allclose(first['features'], second['features'], rtol=1e-5, atol=1e-6)


@pytest.fixture
def begun(network: Pretrained, photos: Path) -> Path:
    """A table of which some parts are there."""
    out = photos.parent / 'it.npz'
    with pytest.raises(Stopped):
        embed(network, Counting(Folder(str(photos)), stop=10), out, batch_size=2, rows=4)
    return out


def test_parts_of_something_else_are_not_continued(
    network: Pretrained, photos: Path, begun: Path
) -> None:
    other = dataclasses.replace(network, params=jax.tree.map(lambda x: x + 1, network.params))
    with refused('it.npz.parts cannot be continued', 'weights', 'remove that folder'):
        embed(other, Folder(str(photos)), begun, rows=4)
    with refused('layer'):
        embed(network, Folder(str(photos)), begun, layer='patch_mean', rows=4)
    shutil.copy(photos / 'a' / '00.png', photos / 'a' / 'new.png')
    with refused('images are not those', "'a/new.png'"):
        embed(network, Folder(str(photos)), begun, rows=4)


@dataclasses.dataclass
class Writing(Counting):
    """While it is looked at, another command ends, whose table is there then."""

    out: Path = Path()

    def __len__(self) -> int:
        self.out.write_bytes(b'the table of the first')
        return super().__len__()


def test_who_comes_second_touches_nothing(network: Pretrained, photos: Path, begun: Path) -> None:
    parts, out = begun.with_name('it.npz.parts'), begun
    (parts / 'plan.json').unlink()  # the first one is just about to write it
    there = {path: path.read_bytes() for path in parts.glob('*.npz')}
    with locked(parts / LOCK, parts, ''), refused('is in use by process', '--out'):
        embed(network, Folder(str(photos)), out, rows=4)
    assert {path: path.read_bytes() for path in parts.glob('*.npz')} == there

    source = Writing(Folder(str(photos)), out=out)
    with refused('is there already'):
        embed(network, source, out, rows=4)
    assert out.read_bytes() == b'the table of the first'
    assert not parts.exists()


def test_a_full_disk_costs_no_part_that_is_there(
    network: Pretrained, photos: Path, begun: Path
) -> None:
    before = sorted(path.name for path in begun.with_name('it.npz.parts').glob('*.npz'))
    with little_room(), refused('cannot be written', 'Make room', 'goes on'):
        embed(network, Folder(str(photos)), begun, rows=4)
    after = sorted(path.name for path in begun.with_name('it.npz.parts').glob('*.npz'))
    assert after == before
    assert embed(network, Folder(str(photos)), begun, rows=4).rows == COUNT


class little_room:
    """No file may grow beyond 100 bytes."""

    def __enter__(self) -> None:
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        self.handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, self.limits[1]))

    def __exit__(self, *error: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)
        signal.signal(signal.SIGXFSZ, self.handler)


def test_maps_keep_their_shape(network: Pretrained, photos: Path) -> None:
    source = Folder(str(photos / 'b'), labelled=False)
    flat = read(embed(network, source, photos.parent / 'it.parquet', layer='map').path)
    full = read(embed(network, source, photos.parent / 'it.npz', layer=1).path)
    assert 'label' not in flat
    assert flat['about']['shape'] == [4, 4, 8]
    assert full['features'].shape == (len(source), 4, 4, 8)
    found = np.reshape(flat['features'], full['features'].shape)
    np.testing.assert_allclose(found, full['features'], rtol=1e-6)


def test_the_command_and_the_look_up_of_the_docs(
    network: Pretrained, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(photos.parent)
    network.save('backbone.safetensors')
    given = ['embed', 'backbone.safetensors', '--data=folder:photos', '--out=features.npz']
    assert main(given) == 0
    said = capsys.readouterr().out
    assert f'features.npz: {COUNT} images, 1 of them broken' in said
    assert 'images/s' in said
    code = re.findall(r'```python\n(import numpy as np\n.*?)```', DOCS, flags=re.DOTALL)[0]
    assert len(code.splitlines()) <= 10
    exec(compile(code, 'features.md', 'exec'), {'__name__': 'docs'})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith('1.000  a/')
    assert len(lines) == COUNT - 1
    assert main([*given, '--layer=nothing']) == 2
    assert 'features.npz is there already' in capsys.readouterr().err


DOCS = (ROOT / 'docs' / 'guides/features.md').read_text()


@pytest.mark.parametrize(
    ('argument', 'parts'),
    [
        ('--out=it.csv', ('--out=it.csv', '--out=it.parquet.')),
        ('--out=', ('.npz or .parquet', '--out=features.parquet.')),
        ('--out=/', ('.npz or .parquet', '--out=features.parquet.')),
        ('--data=photos', ('--data=folder:photos',)),
        ('--batch_size=0', ('--batch_size',)),
        ('--layer=fc', ("layer='fc'", 'pooled')),
    ],
)
def test_wrong_arguments_are_told(
    network: Pretrained,
    photos: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    argument: str,
    parts: tuple[str, ...],
) -> None:
    monkeypatch.chdir(photos.parent)
    network.save('it.safetensors')
    named = argument.partition('=')[0]
    given = [a for a in ('--data=folder:photos', '--out=it.npz') if not a.startswith(named)]
    assert main(['embed', 'it.safetensors', *given, argument]) == 2
    said = capsys.readouterr().err
    assert all(part in said for part in parts), said
    assert not Path('it.npz.parts').exists()


def test_rows_are_named_by_path_or_by_what_the_source_says(photos: Path) -> None:
    (photos / 'list.txt').write_text('a/00.png 3\nb/01.png 4\n')
    assert ids_of(ImageList(str(photos / 'list.txt'))) == ['a/00.png', 'b/01.png']
    assert ids_of(Arrays(np.zeros((2, 4, 4, 3), np.uint8))) == ['0', '1']
