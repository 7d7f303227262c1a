"""The rules for own images, as the table of docs/start/own_images.md has them."""

import pytest

from jssl.recipes.own_images import OwnImages


@pytest.mark.parametrize(
    ('known', 'size', 'batch', 'epochs', 'depth', 'width'),
    [
        # images, shorter side, whether there is an accelerator, --size
        ((40, 60, False, None), 56, 8, 200, 18, 256),
        ((300, 400, False, None), 112, 64, 50, 18, 256),
        ((300, 400, False, 56), 56, 64, 50, 18, 256),
        ((300, 100, False, None), 56, 64, 50, 18, 256),
        ((50_000, 32, False, None), 28, 64, 20, 18, 256),
        ((300, 400, True, None), 224, 64, 800, 18, 512),
        ((10_000, 400, True, None), 224, 256, 200, 18, 512),
        ((100_000, 400, True, None), 224, 256, 100, 50, 2048),
        ((2, 5, False, None), 28, 2, 200, 18, 256),
        ((2, 0, True, 112), 28, 2, 800, 18, 512),
    ],
)
def test_what_follows_from_number_and_size(
    known: tuple[int, int, bool, int | None],
    size: int,
    batch: int,
    epochs: int,
    depth: int,
    width: int,
) -> None:
    images = OwnImages(*known)
    assert (images.size, images.batch_size, images.epochs) == (size, batch, epochs)
    assert (images.depth, images.width) == (depth, width)
    assert images.size % images.patch == 0
    assert images.queue % images.batch_size == 0
    assert images.clusters >= 4
    run = images.run()
    assert (run['canvas'], run['eval_view']['resize']) == (2 * size, size * 8 // 7)
    assert run['schedule']['warmup_epochs'] < epochs
    said = images.sentences(run)
    assert any(f'{size} x {size}' in line for line in said)
    assert any(f'batches of {batch}' in line and 'AdamW at' in line for line in said)


def test_one_is_said_as_one() -> None:
    images = OwnImages(1, 32)
    said = ' '.join(images.sentences({**images.run(), 'epochs': 1}))
    assert said.startswith('1 image to train on')
    assert ', 1 epoch of 1 step (' in said


def test_what_is_remembered_grows_with_the_images() -> None:
    few, many = OwnImages(300, 400), OwnImages(1_000_000, 400, True)
    assert (few.clusters, few.queue, few.negatives, few.components) == (25, 64, 150, 64)
    assert (many.clusters, many.queue, many.negatives) == (10_000, 65_536, 4096)
    assert (few.stages, many.stages) == (3, 4)
    assert (few.lr, many.lr) == (1e-3, 2e-3)
