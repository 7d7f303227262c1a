"""TFDS data sets whose files were damaged: records are replaced, what describes them is named."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jssl.data.loading.loader import Loader
from jssl.data.preparing.conversion import Target, prepare
from jssl.data.reading.bad_samples import BadSamples
from jssl.data.sources import TFDS, Arrays
from jssl.errors import JsslError
from tests.checks import refused

NAME, SHARD, SHARDS = 'mini', 8, 3
PLACE = Path(NAME) / '1.0.0'
INFO = 'dataset_info.json'


@pytest.fixture(scope='module')
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TFDS folder with 24 images in three files."""
    folder = tmp_path_factory.mktemp('whole')
    images = np.random.default_rng(0).integers(0, 256, (SHARD * SHARDS, 24, 24, 3), np.uint8)
    source = Arrays(images, labels=np.arange(len(images)) % 5)
    said: list[str] = []
    prepare({'train': source}, folder / NAME, Target(24, 'png'), shard=SHARD, report=said.append)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / 'copy'))


def shard(folder: Path, number: int = 1) -> Path:
    return folder / PLACE / f'{NAME}-train.array_record-{number:05}-of-{SHARDS:05}'


def replaced(folder: Path) -> dict[int, str]:
    """The samples of one pass that were broken, and what was said of each."""
    source = TFDS(NAME, 'train', str(folder))
    said: list[str] = []
    bad_samples = BadSamples(len(source), 1.0, said.append)
    loader = Loader(source, 4, 24, threads=0, bad_samples=bad_samples)
    for step in range(loader.steps_per_epoch):
        batch = loader[step]
        assert set(batch['label'].tolist()) <= set(range(5))
        assert (batch['canvas'].pixels.reshape(4, -1).max(axis=1) > 0).all()
    return {int(words.split()[1]): words for words in said if words.startswith('sample')}


def altered(folder: Path, whole: Path) -> list[int]:
    """The samples that can be read and are others than those of the whole data set."""
    sources = [TFDS(NAME, 'train', str(path)) for path in (folder, whole)]
    found = []
    for row in range(SHARD * SHARDS):
        with contextlib.suppress(JsslError):
            if sources[0][row] != sources[1][row]:
                found.append(row)
    return found


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[9000] ^= 0xFF
    file.write_bytes(data)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b'')


def zero(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))


DAMAGES: list[Callable[[Path], None]] = [cut, empty, zero, Path.unlink]


def test_one_altered_byte_costs_one_image(folder: Path, whole: Path) -> None:
    flip(shard(folder))
    assert altered(folder, whole) == []
    found = replaced(folder)
    assert len(found) == 1
    ((number, words),) = found.items()
    assert SHARD <= number < 2 * SHARD
    assert f"sample {number} ('mini train {number}'): it cannot be read from" in words
    assert f'{shard(folder)}: RuntimeError: Corrupted Riegeli/records file' in words
    assert words.endswith(f'copy that file again. Sample {number + 1} takes its place.')


@pytest.mark.parametrize('number', range(SHARDS))
@pytest.mark.parametrize('damage', DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_or_missing_file_costs_its_images(
    folder: Path, damage: Callable[[Path], object], number: int
) -> None:
    damage(shard(folder, number))
    found = replaced(folder)
    assert sorted(found) == list(range(number * SHARD, (number + 1) * SHARD))
    assert all(str(shard(folder, number)) in words for words in found.values())


def test_more_than_are_allowed_end_it_in_a_paragraph(folder: Path) -> None:
    shard(folder).unlink()
    source = TFDS(NAME, 'train', str(folder))
    loader = Loader(source, 4, 24, threads=0, bad_samples=BadSamples(24, 0.1, lambda words: None))
    with refused('3 of 24 samples cannot be read', 'bad_samples=0.1 allows 2', str(shard(folder))):
        for step in range(loader.steps_per_epoch):
            loader[step]


def test_without_any_file_it_is_refused_before_any_compute(folder: Path) -> None:
    for number in range(SHARDS):
        shard(folder, number).unlink()
    source = TFDS(NAME, 'train', str(folder))
    with refused('none of the 24 samples', 'No such file', str(shard(folder, 0))):
        _ = source.has_labels


def set_lengths(*lengths: object) -> Callable[[str], str]:
    def change(text: str) -> str:
        info = json.loads(text)
        info['splits'][0]['shardLengths'] = list(lengths)
        return json.dumps(info)

    return change


@pytest.mark.parametrize(
    'change',
    [
        lambda text: text[:50],
        lambda text: text[: len(text) // 2],
        lambda text: '',
        lambda text: '[]',
        lambda text: '{}',
        lambda text: '\0' * len(text),
        lambda text: text.replace('array_record', 'array_rekord'),
        lambda text: text.replace('1.0.0', 'one'),
        set_lengths('8', 'eight', '8'),
        set_lengths('8', '-8', '8'),
        set_lengths('8', '2000000000', '8'),
        set_lengths(),
    ],
    ids=[
        'cut at 50', 'halved', 'empty', 'list', 'object', 'zeroed', 'format', 'version', 'words',
        'negative', 'far too many', 'none',
    ],
)  # fmt: skip
def test_a_damaged_description_is_refused_at_once(
    folder: Path, change: Callable[[str], str]
) -> None:
    path = folder / PLACE / INFO
    path.write_text(change(path.read_text()))
    with refused(f"data set '{NAME}'"):
        TFDS(NAME, 'train', str(folder))


def test_the_remedy_names_the_folder(folder: Path) -> None:
    path = folder / PLACE / INFO
    path.write_text(path.read_text()[:50])
    with refused("data set 'mini' is damaged", f'Copy {folder / NAME} again, or delete it and'):
        TFDS(NAME, 'train', str(folder))


@pytest.mark.parametrize('file', [INFO, 'features.json'])
def test_a_missing_description_is_named(folder: Path, file: str) -> None:
    path = folder / PLACE / file
    path.unlink()
    for name in (NAME, f'{NAME}:1.0.0'):
        with refused('is damaged', str(path), f'Copy {folder / NAME} again'):
            TFDS(name, 'train', str(folder))


FUZZ = """
import sys
from pathlib import Path
import numpy as np
from jssl.errors import JsslError
from tests.data.sources.test_tfds_damage import PLACE, altered, damage_at_random, replaced
folder, whole, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
for case in range(int(sys.argv[4])):
    rng = np.random.default_rng([seed, case])
    files = sorted(path for path in (folder / PLACE).iterdir() if path.suffix != '.part')
    file = files[rng.integers(len(files))]
    good = file.read_bytes()
    print(case, file.name, file=sys.stderr, flush=True)
    try:
        damage_at_random(file, rng)
        replaced(folder)
        if 'array_record' in file.name:
            assert altered(folder, whole) == []
    except JsslError as error:
        assert '\\n' not in str(error) and len(str(error)) < 3000, error
    finally:
        file.write_bytes(good)
"""


def damage_at_random(file: Path, rng: np.random.Generator) -> None:
    """One of the ways in which files get lost on the way."""
    data = bytearray(file.read_bytes())
    kind, place = rng.integers(6), int(rng.integers(len(data)))
    if kind == 0:
        file.unlink()
        return
    if kind == 1:
        data = data[:place]
    elif kind == 2:
        data[place:] = bytes(len(data) - place)
    elif kind == 3:
        data[place : place + int(rng.integers(1, 5000))] = b''
    elif kind == 4:
        data[place : place + 64] = rng.bytes(len(data[place : place + 64]))
    else:
        for _ in range(int(rng.integers(1, 4))):
            data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    file.write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize('seed', range(4))
def test_files_damaged_at_random_end_in_substitutes_or_in_a_paragraph(
    folder: Path, whole: Path, seed: int
) -> None:
    """In a process of its own: a reader written in another language might take it down."""
    process = subprocess.run(
        [sys.executable, '-c', FUZZ, str(folder), str(whole), str(seed), '150'],
        capture_output=True,
        text=True,
        timeout=1200,
        cwd=Path(__file__).parents[3],
        env=os.environ,
    )
    assert process.returncode == 0, process.stderr[-3000:]


def test_jssl_error_is_what_the_fuzzer_catches(folder: Path) -> None:
    """One round of it, in this process."""
    rng = np.random.default_rng(3)
    damage_at_random(folder / PLACE / INFO, rng)
    with pytest.raises(JsslError):
        replaced(folder)
