"""Reconstructions: pictures and PSNR of known arrays, of a run and in its report."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jssl.augment.views import CenterView
from jssl.data.sources import Arrays
from jssl.fitting.fit import fit
from jssl.fitting.pictures import reconstruct
from jssl.optim.optimizers import AdamW
from jssl.training.experiment import Experiment
from jssl.visualization.reconstructions import compare, psnr
from tests.algorithms import runs, tiny_masked
from tests.checks import refused


def subject(**fields: Any) -> Experiment:
    options: dict[str, Any] = {
        'algorithm': tiny_masked.tiny_mae(),
        'data': Arrays(runs.images()),
        'views': runs.views_for(tiny_masked.tiny_mae()),
        'optimizer': AdamW(lr=3e-3),
        'batch_size': 16,
        'epochs': 1,
        'canvas': 8,
        'eval_view': CenterView(size=8, resize=8),
    }
    return Experiment(**(options | fields))


def test_psnr_is_that_of_the_hidden_pixels() -> None:
    originals = np.full((2, 4, 4, 3), 100.0)
    hidden = np.zeros((2, 4, 4), bool)
    hidden[:, :2] = True
    images = originals + np.where(hidden, 5.1, 90)[..., None]
    assert psnr(images, originals, hidden) == pytest.approx(20 * np.log10(255 / 5.1))
    assert np.isfinite(psnr(originals, originals, hidden))


def test_a_row_shows_original_masked_input_and_reconstruction() -> None:
    originals = np.stack([np.full((4, 4, 3), 40.0), np.full((4, 4, 3), 60.0)])
    painted = np.full_like(originals, 200.0)
    hidden = np.zeros((2, 4, 4), bool)
    hidden[:, 0] = True
    found = compare(originals, painted, hidden, 'Beware.')
    assert found.pictures.shape == (2, 3, 4, 4, 3)
    np.testing.assert_array_equal(found.pictures[1, 0], 60)
    for column, level in ((1, 128), (2, 200)):
        np.testing.assert_array_equal(found.pictures[1, column, 0], level)
        np.testing.assert_array_equal(found.pictures[1, column, 1:], 60)
    assert found.mean_psnr == pytest.approx(20 * np.log10(255 / 10))  # the mean is 50
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / ((160**2 + 140**2) / 2)))
    assert found.summary.endswith('28.1 dB. Beware.')


def test_a_run_s_report_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = fit(subject(), workdir=tmp_path / 'run')
    said = capsys.readouterr().out
    found = reconstruct(subject(), outcome.train_state.params, outcome.train_state.state)
    assert found.pictures.shape == (48, 3, 8, 8, 3)
    assert ' '.join(found.summary.split()) in ' '.join(said.split())
    report = (tmp_path / 'run' / 'report.html').read_text(encoding='utf-8')
    assert '<h2>Reconstructions</h2>' in report
    assert f'{found.psnr:.1f} dB' in report


def test_what_cannot_be_reconstructed_is_refused() -> None:
    with refused('MaskFeat', 'MAE or SimMIM'):
        reconstruct(subject(algorithm=tiny_masked.tiny_maskfeat()), {}, {})
