"""What an interruption of `jssl prepare` leaves, and who may go on with it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jssl.data.preparing import records
from jssl.data.preparing.conversion import Target, prepare
from jssl.data.sources import TFDS, Arrays, Folder
from jssl.lock import locked
from tests.checks import refused
from tests.data.preparing.mini import NAME, PIXELS, TARGET, pixels, same_files

SLOW = """
import sys, time
from jssl.data.preparing.conversion import Target, prepare
from jssl.data.sources import Folder
class Slow(Folder):
    def __getitem__(self, index):
        time.sleep(0.02)
        return super().__getitem__(index)
folder, out = sys.argv[1:]
prepare({'train': Slow(folder)}, out, Target(16, 'png'), bad_samples=0.2, shard=5, threads=2)
"""


def test_killed_at_any_time_it_continues_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / 'whole' / NAME, tmp_path / 'killed' / NAME
    command = [sys.executable, '-c', SLOW, str(folder)]
    process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL)
    unfinished = killed.with_name(f'{NAME}.incomplete')
    while len(list(unfinished.rglob('*of-00005'))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with refused(f"'{NAME}' is not complete", 'Give the same jssl prepare'):
        TFDS(NAME, 'train', str(killed.parent))
    done = {path: path.stat().st_mtime_ns for path in unfinished.rglob('*of-00005')}
    for out in (killed, whole):
        prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5, threads=2)
    assert not unfinished.exists()
    assert same_files(whole, killed)
    for path, written in done.items():
        assert (killed / path.relative_to(unfinished)).stat().st_mtime_ns == written


def test_too_many_broken_images_end_it_and_a_larger_share_continues(
    folder: Path, tmp_path: Path
) -> None:
    source = {'train': Folder(str(folder))}
    with refused('1 of 25 images cannot be read', '--bad_samples=0.01', 'a/03.jpg'):
        prepare(source, tmp_path / NAME, TARGET)
    with refused('2 of 25 images cannot be read', '--bad_samples=0.05', 'b/99.png'):
        prepare(source, tmp_path / NAME, TARGET, bad_samples=0.05)
    prepare(source, tmp_path / NAME, TARGET, bad_samples=0.1)
    assert len(TFDS(NAME, 'train', str(tmp_path))) == 23


def test_another_command_for_the_same_folder_is_refused(tmp_path: Path) -> None:
    out = prepare({'train': Arrays([PIXELS])}, tmp_path / NAME, TARGET)
    assert prepare({'train': Arrays([PIXELS])}, out, TARGET) == out  # nothing left to do
    with refused('holds another data set', 'size: 16 → 8', 'another --out'):
        prepare({'train': Arrays([PIXELS])}, out, Target(8, 'png'))
    (tmp_path / 'early.incomplete').mkdir()
    (tmp_path / 'early.incomplete' / 'prepare.json.0.part').touch()  # killed at the very beginning
    prepare({'train': Arrays([PIXELS])}, tmp_path / 'early', TARGET)
    (tmp_path / 'other.incomplete').mkdir()
    (tmp_path / 'other.incomplete' / 'notes.txt').touch()
    for content in (None, '[]', '{"data": []}', '"x"', '{'):
        if content is not None:
            (tmp_path / 'other.incomplete' / 'prepare.json').write_text(content)
        with refused('other.incomplete holds another data set'):
            prepare({'train': Arrays([PIXELS])}, tmp_path / 'other', TARGET)


def test_a_preparation_that_does_not_say_of_which_images_does_not_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = {'train': Arrays([PIXELS])}, tmp_path / NAME

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, 'write_metadata', fail)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, out, TARGET)
    plan = tmp_path / f'{NAME}.incomplete' / 'prepare.json'
    whole = plan.read_text()
    old = json.loads(whole)
    del old['data']  # as version 0.1.0 wrote it
    plan.write_text(json.dumps(old))
    with refused('does not say of which images train was begun', f'delete {plan.parent}'):
        prepare(source, out, TARGET)
    plan.write_text(whole)
    prepare(source, out, TARGET)
    (out / 'prepare.json').write_text(json.dumps(old))
    prepare(source, out, TARGET)  # it is complete: there is nothing to mix


def values(out: Path) -> list[int]:
    """The grey of every image of a prepared set."""
    source = TFDS(out.name, 'train', str(out.parent))
    images: list[Any] = [source[row]['image'] for row in range(len(source))]
    return sorted(int(pixels(image)[0, 0, 0]) for image in images)


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    """Ten images, each of one grey."""
    folder = tmp_path / 'greys'
    folder.mkdir()
    for number in range(10):
        Image.new('RGB', (16, 16), (number,) * 3).save(folder / f'{number}.png')
        os.utime(folder / f'{number}.png', (1e9, 1e9))
    return folder


def test_a_complete_set_of_images_that_were_replaced_is_refused(
    greys: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    out = prepare({'train': Folder(str(greys))}, tmp_path / NAME, TARGET, report=said.append)
    assert said == []
    moved = greys.rename(tmp_path / 'elsewhere')  # where they lie decides nothing
    again = {'train': Folder(str(moved))}
    prepare(again, out, TARGET, described={'train': 'there'}, report=said.append)
    assert said == [f'{out} is complete; there is nothing to do.']
    for number in range(10):
        Image.new('RGB', (16, 16), (200,) * 3).save(moved / f'{number}.png')
    with refused(
        f'the source of train is not what {out} was made of',
        "10 of another size, time or checksum, such as '0.png'",
        'another --out, delete the folder',
    ):
        prepare(again, out, TARGET)
    assert values(out) == list(range(10))


def test_a_preparation_goes_on_with_the_same_images_alone(
    greys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / NAME, records.write_shard

    def once(path: Path, shard: Any) -> None:
        write(path, shard)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, 'write_shard', once)
        with pytest.raises(KeyboardInterrupt):
            prepare({'train': Folder(str(greys))}, out, TARGET, shard=5)
    (greys / '9.png').rename(greys / '00.png')  # it would be first, and all others one later
    with refused("1 gone, such as '9.png'; 1 new, such as '00.png'"):
        prepare({'train': Folder(str(greys))}, out, TARGET, shard=5)
    (greys / '00.png').rename(greys / '9.png')
    prepare({'train': Folder(str(greys))}, out, TARGET, shard=5)
    assert values(out) == list(range(10))


def test_other_arrays_are_another_data_set(tmp_path: Path) -> None:
    out = prepare({'train': Arrays([PIXELS] * 3)}, tmp_path / NAME, TARGET)
    with refused('the source of train is not what', '3 samples then, 2 now'):
        prepare({'train': Arrays([PIXELS] * 2)}, out, TARGET)
    with refused("2 new, such as 'image 0 (checksum"):
        prepare(
            {'train': Arrays([PIXELS ^ np.uint8(1), PIXELS ^ np.uint8(2), PIXELS])}, out, TARGET
        )


@pytest.mark.parametrize('content', ['', '{"2": ', '[]', '{"two": ""}'])
def test_damaged_notes_of_what_was_left_out_are_refused(
    content: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, unfinished = tmp_path / NAME, tmp_path / f'{NAME}.incomplete'

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(records, 'write_metadata', fail)
        with pytest.raises(KeyboardInterrupt):
            prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5)
    path = next(unfinished.rglob('skipped-*.json'))
    path.write_text(content)
    with refused(f'{path} is damaged', 'delete it and', 'the same command again'):
        prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5)
    shard = path.with_name(path.name.removeprefix('skipped-').removesuffix('.json'))
    path.unlink()
    shard.write_bytes(b'')
    with refused(f'{shard} is damaged', 'delete it and give the same command again'):
        prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5)
    shard.unlink()
    prepare({'train': Folder(str(folder))}, out, TARGET, bad_samples=0.2, shard=5)
    assert len(TFDS(NAME, 'train', str(tmp_path))) == 23


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    unfinished = tmp_path / f'{NAME}.incomplete'
    unfinished.mkdir()
    lock = tmp_path / f'.{NAME}.lock'
    with (
        locked(lock, unfinished, ''),
        refused(f'{unfinished} is in use by process {os.getpid()} on ', 'another --out'),
    ):
        prepare({'train': Arrays([PIXELS])}, tmp_path / NAME, TARGET)
    prepare({'train': Arrays([PIXELS])}, tmp_path / NAME, TARGET)
    assert not lock.exists()
