"""The embedded data set: what it holds, and that any number of processes may prepare it."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from jssl.data.loading.loader import resident
from jssl.data.preparing import digits
from jssl.data.sources import TFDS, Sample
from jssl.errors import JsslError

PREPARE = 'import sys; from jssl.data.preparing.digits import prepare; print(prepare(sys.argv[1]))'


Splits = dict[str, tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope='module')
def splits(digits_dir: str) -> Splits:
    """Both splits as arrays: images between 0 and 1, and labels."""
    sets = {name: resident(TFDS('embedded_digits', name, digits_dir), 32) for name in digits.COUNTS}
    return {name: (data['canvas'].pixels / 255, data['label']) for name, data in sets.items()}


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, '-c', PREPARE, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def samples(data_dir: str | Path) -> list[Sample]:
    sources = [TFDS('embedded_digits', name, str(data_dir)) for name in digits.COUNTS]
    return [source[index] for source in sources for index in range(len(source))]


def test_both_splits_have_the_promised_images(
    splits: Splits,
) -> None:
    assert splits['train'][0].shape == (6000, 32, 32, 3)
    assert splits['test'][0].shape == (1000, 32, 32, 3)


def test_no_digit_is_in_both_splits() -> None:
    chosen = digits.split_digits()
    assert len(chosen['train']) == 1437
    assert sorted(np.concatenate([chosen['train'], chosen['test']])) == list(range(1797))


@pytest.mark.parametrize('name', ['train', 'test'])
def test_a_split_renders_its_own_digits(splits: Splits, name: str) -> None:
    chosen = digits.split_digits()[name]
    rendered = np.resize(load_digits().target[chosen], digits.COUNTS[name])
    np.testing.assert_array_equal(np.bincount(splits[name][1]), np.bincount(rendered))


def test_noise_is_five_percent(splits: Splits) -> None:
    images = splits['train'][0]
    unclipped = images[(images.min((1, 2, 3)) > 0) & (images.max((1, 2, 3)) < 1)]
    noise = np.std(unclipped[..., 0] - unclipped[..., 1]) / np.sqrt(2)
    assert noise == pytest.approx(0.05, abs=0.001)


def test_a_light_digit_is_on_dark_ground() -> None:
    rng = np.random.default_rng(0)
    images = [digits.render(np.ones((8, 8)), rng)[..., 0] / 255 for _ in range(300)]
    dark = np.array([np.median(image[image < 0.5]) for image in images])
    light = np.array([np.median(image[image > 0.5]) for image in images])
    assert dark.min() == pytest.approx(0, abs=0.02)
    assert dark.max() == pytest.approx(0.4, abs=0.02)
    assert light.min() == pytest.approx(0.6, abs=0.02)
    assert light.max() == pytest.approx(1, abs=0.02)


def test_a_digit_is_14_to_24_pixels_large_anywhere_and_turned() -> None:
    rng = np.random.default_rng(0)
    masks = [digits.render(np.ones((8, 8)), rng)[..., 0] > 127 for _ in range(300)]
    sides = np.sqrt([mask.sum() for mask in masks])
    assert 13 < sides.min() < 15
    assert 23 < sides.max() < 25
    covered = np.mean(masks, axis=0)
    assert covered[1:-1, 1:-1].min() > 0
    widths = np.array([mask.any(0).sum() for mask in masks])
    spread = widths / sides  # cos a + sin a for a square turned by a: at most 1.22 for 15 degrees
    assert 1.15 < np.quantile(spread, 0.95) < 1.25


def test_nearest_neighbours_of_raw_pixels_find_half_of_the_labels(
    splits: Splits,
) -> None:
    (train, train_labels), (test, test_labels) = splits['train'], splits['test']
    nearest = KNeighborsClassifier(20, metric='cosine', algorithm='brute')
    nearest.fit(train.reshape(len(train), -1), train_labels)
    accuracy = nearest.score(test.reshape(len(test), -1), test_labels)
    assert 0.45 < accuracy < 0.6


def test_two_processes_prepare_the_same_images_at_once_and_in_silence(
    tmp_path: Path, digits_dir: str
) -> None:
    both = [start(tmp_path), start(tmp_path)]
    folder = tmp_path / 'embedded_digits' / '1.0.0'
    for process in both:
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out.strip(), err) == (0, str(folder), '')
    assert [path.name for path in folder.parent.iterdir()] == ['1.0.0']
    assert samples(tmp_path) == samples(digits_dir)


def test_what_a_killed_process_left_is_not_trusted(tmp_path: Path, digits_dir: str) -> None:
    process = start(tmp_path)
    while not list(tmp_path.glob('embedded_digits/preparing-*/embedded_digits/*')):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not digits.is_prepared(str(tmp_path))
    assert samples(tmp_path) == samples(digits_dir)  # prepared on first use
    assert digits.is_prepared(str(tmp_path))


def test_an_incomplete_folder_under_the_final_name_is_refused(tmp_path: Path) -> None:
    folder = digits.builder_folder(str(tmp_path))
    folder.mkdir(parents=True)
    (folder / 'features.json').write_text('{}')
    with pytest.raises(JsslError, match='holds no complete data set; delete it'):
        digits.prepare(str(tmp_path))
    assert [path.name for path in folder.iterdir()] == ['features.json']
    assert [path.name for path in folder.parent.iterdir()] == ['1.0.0']


def test_a_prepared_set_is_not_written_again(digits_dir: str) -> None:
    info = digits.builder_folder(digits_dir) / 'dataset_info.json'
    before = info.stat().st_mtime_ns
    digits.prepare(digits_dir)
    assert info.stat().st_mtime_ns == before


def test_the_environment_names_the_folder(digits_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TFDS_DATA_DIR', digits_dir)
    assert digits.is_prepared()
    assert str(digits.prepare()).startswith(digits_dir)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(JsslError, match=r'file/.*Not a directory; set data_dir or.*TFDS_DATA_DIR'):
        digits.prepare(str(tmp_path / 'file' / 'sub'))


@pytest.mark.parametrize('name', ['a\0b', '\ud800'])
def test_a_folder_that_no_file_system_has_is_named(name: str) -> None:
    with pytest.raises(JsslError, match='embedded_digits cannot be written to'):
        digits.prepare(name)


def test_a_bucket_is_refused() -> None:
    with pytest.raises(JsslError, match="'gs://bucket'; set data_dir"):
        digits.prepare('gs://bucket')
