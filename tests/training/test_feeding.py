"""How a run is fed: slow sources, broken images, worker processes."""

import dataclasses
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jssl
from jssl import config
from jssl.data.loading.samplers import ClassBalanced, Sequential, Shuffled
from jssl.data.sources import Arrays, Sample
from jssl.fitting.fit import advice
from jssl.runs.metrics import BASELINE, STEP, read_metrics
from jssl.training.settings import MeshShape, Runtime
from tests.checks import refused
from tests.test_config import CONFIG
from tests.training import toy
from tests.training.test_experiment import make

BROKEN = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Slow(Arrays):
    """Images that take a while, of which one is broken."""

    seconds: float = 0.0

    def __getitem__(self, index: int, /) -> Sample:
        time.sleep(self.seconds)
        return {'image': b'no image'} if index == BROKEN else super().__getitem__(index)


def feed(seconds: float, **runtime: Any) -> jssl.Experiment:
    images = np.random.default_rng(0).integers(0, 256, (48, 16, 16, 3), np.uint8)
    settings = Runtime(log_every=1, bad_samples=0.05, mesh=MeshShape(devices=2), **runtime)
    return make(data=Slow(images, seconds=seconds), runtime=settings)


def rows_with(name: str, workdir: Path) -> dict[int, float]:
    rows = read_metrics(workdir / 'metrics.jsonl')
    return {row['step']: row[name] for row in rows if name in row}


def test_slow_broken_data_from_a_worker_train_and_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jssl.fit(feed(0.02, resident='no', workers=1, threads=1), workdir=tmp_path)
    said = capsys.readouterr().out
    assert said.count('the device waits for data') == 1
    assert 'raise config.threads (now 1;' in said
    assert said.count(f'sample {BROKEN}: the image (8 bytes) cannot be decoded') == 1
    assert rows_with('bad_samples', tmp_path) == {3: 1, 6: 1}
    assert list(rows_with('loss', tmp_path)) == [1, 2, 3, 4, 5, 6]


@dataclasses.dataclass(frozen=True)
class SlowToCompile(toy.Toy):
    """Takes a second whenever its step is traced."""

    def loss(self, params: Any, state: Any, batch: Any) -> Any:
        time.sleep(1.0)
        return super().loss(params, state, batch)


def test_the_first_speed_is_without_the_compilation(tmp_path: Path) -> None:
    toy.trained(toy.experiment(SlowToCompile(), log_every=toy.EPOCH), tmp_path / 'run')
    rows = read_metrics(tmp_path / 'run' / 'metrics.jsonl')
    before, first = (next(r for r in rows if r['kind'] == kind) for kind in (BASELINE, STEP))
    counted = toy.EPOCH * 16 / first['images_per_second']
    assert counted < first['seconds'] - before['seconds'] - 1.0


def test_broken_images_of_a_resident_set_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    experiment = feed(0)
    assert experiment.arrays is not None
    pixels = experiment.arrays['canvas'].pixels
    np.testing.assert_array_equal(pixels[BROKEN], pixels[BROKEN + 1])
    assert experiment.bad_samples.count == 1
    assert capsys.readouterr().out.startswith(f'sample {BROKEN}: ')


def test_more_broken_images_than_allowed_end_the_run() -> None:
    runtime = Runtime(resident='no', bad_samples=0.0, mesh=MeshShape(devices=2))
    experiment = make(data=feed(0).data, runtime=runtime)
    with refused('1 of 48 samples cannot be read', 'config.bad_samples=0.0'):
        list(itertools.islice(experiment.loader.iterate(), 3))


def test_advice_names_the_settings_and_resident_data_need_none() -> None:
    streamed = feed(0, resident='no', threads=3)
    for words in (
        'threads (now 3',
        'workers (now 0)',
        'canvas (now 20)',
        'jssl prepare',
    ):
        assert words in advice(streamed)
    assert advice(feed(0)) == ''


def test_the_loader_takes_its_settings_from_the_experiment() -> None:
    loader = feed(0, threads=3, workers=2).loader
    assert (loader.threads, loader.workers, loader.sampler) == (3, 2, Shuffled())
    assert make(sampler=ClassBalanced()).loader.sampler == ClassBalanced()


def test_a_config_chooses_the_sampler() -> None:
    assert config.experiment(CONFIG).sampler == Shuffled()
    chosen = config.experiment(CONFIG | {'sampler': {'type': 'Sequential'}})
    assert chosen.sampler == Sequential()
