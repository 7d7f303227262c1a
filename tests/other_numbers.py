"""A second folder of reference numbers, small and with other settings, made with NumPy alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from tests import golden

DRAW = np.random.default_rng(5)


def write(path: Path, meta: golden.Meta, **arrays: Any) -> None:
    """A file of the format; `in__x` stands for the array in/x."""
    named = {key.replace('__', '/'): np.asarray(value) for key, value in arrays.items()}
    text = json.dumps({'format': 1, 'name': path.stem, **meta}).encode()
    with path.open('wb') as file:
        np.savez_compressed(file, **{**named, 'meta.json': np.frombuffer(text, 'uint8')})  # type: ignore[arg-type]


def fill(folder: Path) -> None:
    """Parts with other settings than the default folders', and files of other names."""
    shutil.copy(golden.FOLDERS[0] / 'weights.py', folder)
    write_kmeans(folder / 'part_kmeans.npz')
    write_sinkhorn(folder / 'part_sinkhorn.npz')
    write_schedules(folder / 'part_lr_schedules.npz')
    write_momenta(folder / 'part_momentum_schedules.npz')
    write_hog(folder / 'part_hog.npz')
    for new, old in (
        ('mocov1_r18', 'mocov2_r18'),
        ('backbone_resnet50_caffe', 'backbone_resnet50'),
    ):
        shutil.copy(golden.FOLDERS[0] / f'{old}.npz', folder / f'{new}.npz')


def write_kmeans(path: Path, **extra: Any) -> None:
    """Lloyd's rounds from given rows; blobs so clear that no cluster is ever empty."""
    count, rounds = 5, 7
    blobs = np.repeat(3 * DRAW.standard_normal((count, 6)), 20, axis=0)
    features = (blobs + 0.1 * DRAW.standard_normal(blobs.shape)).astype('float32')
    points = features / np.linalg.norm(features, axis=1, keepdims=True)
    start = np.arange(count) * 20 + 3
    centres = points[start].astype('float64')
    for _ in range(rounds):
        labels = np.square(points[:, None] - centres).sum(2).argmin(1)
        centres = np.stack([points[labels == label].mean(0) for label in range(count)])
    distances = np.square(points[:, None] - centres).sum(2)
    loss, gram = float(distances.min(1).sum()), points @ points.T
    run = {'tag': 'unwhitened', 'pca_dim': -1, 'loss': loss, 'numpy_loss': loss}
    run |= {'iterations': rounds, 'numpy_labels_equal': True, 'empty_seen': False}
    arrays = {
        'in__features': features,
        'in__unwhitened__init_index': start,
        'out__unwhitened__features': points,
        'out__unwhitened__gram_row': golden.reader().row(gram),
        'out__unwhitened__gram_corner': gram[:9, :9],
        'out__unwhitened__labels': distances.argmin(1),
    }
    write(path, {'kind': 'part', 'k': count, 'pca': 3, 'runs': [run]}, **arrays, **extra)


def write_sinkhorn(path: Path) -> None:
    """Four cases, one of a single round."""
    arrays: dict[str, Any] = {}
    cases = []
    for number, (rows, columns, epsilon, rounds) in enumerate(
        [(5, 4, 0.5, 1), (6, 9, 0.2, 2), (8, 3, 0.1, 4), (3, 3, 1.0, 10)]
    ):
        scores = DRAW.uniform(-1, 1, (rows, columns)).astype('float32')
        codes = np.exp(scores.astype('float64') / epsilon)
        for _ in range(rounds):
            codes /= codes.sum(0)
            codes /= codes.sum(1, keepdims=True)
        cases.append({'iterations': rounds, 'epsilon': epsilon, 'underflow': False})
        arrays |= {f'in__scores{number}': scores, f'out64__codes{number}': codes}
        arrays |= {f'out__codes{number}': codes.astype('float32')}
    write(path, {'kind': 'part', 'cases': cases}, **arrays)


def write_schedules(path: Path) -> None:
    """A cosine that stays where its last step was, and three drops of another factor."""
    epoch, step = 3, np.arange(30)
    cosine = 0.25 * (0.1 + 0.9 * (1 + np.cos(np.pi * np.minimum(step, 23) / 24)) / 2)
    warmup = np.minimum(0.2 + 0.8 * step / (3 * epoch - 1), 1)
    drops = 0.5 ** ((step >= 12).astype(int) + (step >= 18) + (step >= 27))
    plans = {
        'cosine': 'cosine to 0.025 over [0, 8), then constant',
        'drops': 'linear from 0.2 over [0, 3), x 0.5 at epochs 4, 6 and 9',
    }
    meta = {'kind': 'part', 'base_lr': 0.25, 'iters_per_epoch': epoch, 'iters': 30, 'plans': plans}
    write(path, meta, out__cosine=cosine, out__drops=0.25 * warmup * drops)


def write_momenta(path: Path) -> None:
    """One cosine, and seven updates of which every third counts."""
    k = np.arange(6)
    cosine = 0.9 - (0.9 - 0.5) * (np.cos(np.pi * k / 5) + 1) / 2
    weights = DRAW.standard_normal((7, 3)).astype('float32')
    average, averages = weights[0].astype('float64'), []
    for step, weight in enumerate(weights):
        average = 0.6 * average + 0.4 * weight if step and step % 3 == 0 else average
        averages.append(average)
    constant = [{'momentum': 0.6, 'interval': 3, 'start': 2.0}]
    meta = {'cosine': [{'base': 0.5, 'end': 0.9, 'max_iters': 5}], 'constant': constant}
    arrays = {f'in__ema_w{step}': weight for step, weight in enumerate(weights)}
    write(path, {'kind': 'part', **meta}, out__cosine0=cosine, out__constant0=averages, **arrays)


def write_hog(path: Path) -> None:
    """The images of the first folder in another order, and one of them twice."""
    saved = golden.File(golden.FOLDERS[0] / 'part_hog.npz')
    images, arrays = golden.plain(saved.meta['images']), {}
    order = [1, 0, 1]
    for new, old in enumerate(order):
        for name in ('cells', 'cells_row', 'tokens'):
            if f'out/{name}{old}' in saved.arrays:
                arrays[f'out__{name}{new}'] = saved.arrays[f'out/{name}{old}']
    meta = {'kind': 'part', 'seed': saved.meta['seed'], 'images': [images[old] for old in order]}
    write(path, meta, **arrays)
