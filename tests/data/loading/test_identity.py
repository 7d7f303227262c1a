"""What a data set is: digests that change with it and with nothing else, and words for a change."""

import gzip
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.data.loading.identity import (
    LISTINGS,
    Listing,
    describe_change,
    difference,
    same,
    write_listings,
)
from jssl.data.sources import TFDS, Arrays, Folder, ImageList, Sample
from tests.checks import refused

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six images in a folder, written long ago."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f'{number}.png')
        os.utime(folder / f'{number}.png', ns=(10**18, 10**18 + number))
    return folder


def change(photos: Path, how: str) -> str:
    """Changes the folder; the words that are to tell it."""
    file = photos / '2.png'
    if how == 'added':
        shutil.copy2(file, photos / '22.png')
        return "6 samples then, 7 now; 1 new, such as '22.png'"
    if how == 'removed':
        file.unlink()
        return "6 samples then, 5 now; 1 gone, such as '2.png'"
    if how == 'renamed':
        file.rename(photos / '00.png')
        return "1 gone, such as '2.png'; 1 new, such as '00.png'"
    if how == 'time':
        os.utime(file, ns=(10**18, 10**18 + 999))
    else:
        file.write_bytes(file.read_bytes() + b'x')
        os.utime(file, ns=(10**18, 10**18 + 2))
    return "1 of another size, time or checksum, such as '2.png'"


@pytest.mark.parametrize('how', ['added', 'removed', 'renamed', 'time', 'size'])
def test_every_change_of_a_folder_is_noticed_and_named(
    photos: Path, tmp_path: Path, how: str
) -> None:
    before = Listing.of(Folder(str(photos)))
    write_listings(tmp_path, {'data': before})
    words = change(photos, how)
    after = Listing.of(Folder(str(photos)))
    assert not same(before.identity, after.identity)
    assert same(before.identity, after.identity, stamps=False) == (how in ('time', 'size'))
    assert difference(before, after) == words
    assert describe_change(tmp_path, 'data', before.identity, after) == words


def test_a_folder_is_the_same_wherever_it_lies(photos: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(photos, tmp_path / 'elsewhere')
    before, after = (Listing.of(Folder(str(path))).identity for path in (photos, moved))
    assert before == after
    assert before['number'] == 6
    # The times of files are asked for on one of several hosts only.
    assert same(before, Listing.of(Folder(str(moved)), stamps=False).identity)


def test_lists_are_known_by_paths_labels_and_files(photos: Path) -> None:
    path = photos / 'list.txt'

    def identity(lines: list[str]) -> dict[str, object]:
        path.write_text('\n'.join(lines))
        return Listing.of(ImageList(str(path))).identity

    lines = [f'{number}.png {number % 2}' for number in range(6)]
    whole = identity(lines)
    assert identity([*lines, '# a comment']) == whole
    assert not same(whole, identity([*lines[:-1], '5.png 0']), stamps=False)
    assert not same(whole, identity(lines[::-1]), stamps=False)
    (photos / '3.png').unlink()
    missing = identity(lines)
    assert same(whole, missing, stamps=False)
    assert not same(whole, missing)


def test_another_order_is_told() -> None:
    listings = [Listing(2, names) for names in (['a', 'b'], ['b', 'a'])]
    assert difference(*listings) == "in another order: 'a' then, 'b' now"


@pytest.mark.parametrize('labels', [None, [0, 1, 0, 1, 0, 1]])
def test_arrays_are_known_by_a_checksum_of_all_of_them(labels: list[int] | None) -> None:
    def listing(images: Any, labels: Any = labels) -> Listing:
        return Listing.of(Arrays(images, labels))

    other = IMAGES.copy()
    other[3, 2, 1, 0] ^= 1
    whole = listing(IMAGES)
    assert same(whole.identity, listing(list(IMAGES.copy())).identity)
    assert not same(whole.identity, listing(other).identity, stamps=False)
    assert not same(whole.identity, listing(IMAGES.transpose(0, 2, 1, 3)).identity, stamps=False)
    assert "1 new, such as 'image 3 (checksum" in difference(whole, listing(other))
    if labels is not None:
        assert not same(whole.identity, listing(IMAGES, labels[::-1]).identity, stamps=False)


def test_tfds_sets_are_known_by_version_split_and_files(digits_dir: str, tmp_path: Path) -> None:
    parts = ('train[:20]', 'train[:20]', 'train[20:40]', 'test[:20]')
    listings = [Listing.of(TFDS('embedded_digits', part, digits_dir)) for part in parts]
    assert listings[0].identity == listings[1].identity
    assert len({listing.identity['names'] for listing in listings}) == 3
    assert 'embedded_digits/1.0.0' in listings[0].names[0]
    # Every machine writes the embedded set itself: at another time, by another zlib.
    copy = shutil.copytree(Path(digits_dir) / 'embedded_digits', tmp_path / 'embedded_digits')
    for file in copy.rglob('*array_record*'):
        os.utime(file, (1, 1))
    again = Listing.of(TFDS('embedded_digits', parts[0], str(tmp_path)))
    assert again.identity == listings[0].identity


class Own:
    """A source of a user's own, with the least that one must have."""

    def __init__(self, value: int = 0, length: int = 100, drawn: bool = False) -> None:
        self.value, self.length, self.drawn = value, length, drawn

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        if index == 0:
            raise KeyError(index)
        self.value += self.drawn
        return {'image': b'%d %d' % (index, self.value), 'label': self.value}


def test_of_a_source_of_one_s_own_some_samples_are_read() -> None:
    identities = [Listing.of(source).identity for source in (Own(), Own(), Own(1), Own(0, 99))]
    assert identities[0] == identities[1]
    assert not same(identities[0], identities[2])
    assert not same(identities[0], identities[3], stamps=False)
    drawn = [Listing.of(Own(value, drawn=True)).identity for value in (0, 7)]
    assert drawn[0] == drawn[1]  # images that are drawn anew at every reading: the number is left


def test_a_source_of_one_s_own_may_say_what_it_is() -> None:
    source = Own()
    source.names = lambda: ['release 3']  # type: ignore[attr-defined]
    listing = Listing.of(source)
    assert (listing.names, listing.number) == (['release 3'], 100)
    source.names = lambda: ['release 4']  # type: ignore[attr-defined]
    assert difference(listing, Listing.of(source)).startswith("1 gone, such as 'release 3'; 1 new")


@pytest.mark.parametrize(
    ('names', 'stamps', 'words'),
    [
        ('release', [(1, 2)], "TypeError: names() gives 'release'"),
        ([3], [(1, 2)], 'TypeError: names() gives [3]'),
        (None, [(1, 2)], 'TypeError'),
        (['a', 'b'], [(1, 2)], 'stamps() gives int64 of shape (1, 2)'),
        (['a'], [(1.5, 2)], 'stamps() gives float64'),
        (['a'], [(1, 2), (3,)], 'ValueError'),
    ],
)
def test_what_a_source_of_one_s_own_says_is_checked(
    names: object,
    stamps: object,
    words: str,
) -> None:
    source = Own()
    source.names, source.stamps = lambda: names, lambda: stamps  # type: ignore[attr-defined]
    with refused('what Own says of its samples cannot be used', words, 'let names() give texts'):
        Listing.of(source)


@pytest.mark.parametrize(
    'damage',
    [b'', b'no gzip', gzip.compress(b'{"data": [1]}', mtime=0), None],  # its time would be now
    ids=['empty', 'no gzip', 'a list', 'gone'],
)
def test_without_the_names_the_digests_still_tell(
    photos: Path, tmp_path: Path, damage: bytes | None
) -> None:
    before = Listing.of(Folder(str(photos)))
    write_listings(tmp_path, {'data': before})
    if damage is None:
        (tmp_path / LISTINGS).unlink()
    else:
        (tmp_path / LISTINGS).write_bytes(damage)
    expected = {
        'time': 'other sizes, times or checksums',
        'renamed': 'other names or another order',
        'added': '6 samples then, 7 now',
    }
    for how, words in expected.items():
        change(photos, how)
        after = Listing.of(Folder(str(photos)))
        assert describe_change(tmp_path, 'data', before.identity, after) == words
        if how == 'renamed':
            (photos / '00.png').rename(photos / '2.png')


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    name = os.fsdecode(b'caf\xe9\n.png')
    before, after = Listing(1, [name]), Listing(1, ['b.png'])
    write_listings(tmp_path, {'data': before})
    words = describe_change(tmp_path, 'data', before.identity, after)
    assert words == f"1 gone, such as {name!r}; 1 new, such as 'b.png'"
