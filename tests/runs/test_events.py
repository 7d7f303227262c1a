import math
from pathlib import Path

import pytest
from tensorboardX.crc32c import crc32c
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c

from jssl.runs.events import EventsFile, checksum, varint


def records(path: Path) -> list[Event]:
    """The events of a file, whose checksums are those of another program."""
    found, content = [], path.read_bytes()
    while content:
        length = int.from_bytes(content[:8], 'little')
        event, rest = content[12 : 12 + length], content[16 + length :]
        for part, at in ((content[:8], 8), (event, 12 + length)):
            assert int.from_bytes(content[at : at + 4], 'little') == masked_crc32c(part)
        found.append(Event.FromString(event))
        content = rest
    return found


def test_events_are_read_by_others(tmp_path: Path) -> None:
    file = EventsFile(tmp_path)
    file.start(300, 1.7e9)
    file.write(2**40, 1.7e9 + 0.25, {'step/loss': -1.5, 'größe': math.inf, 'much': 1e300})
    file.write(0, 0.0, {})
    file.close()
    version, session, event, empty = records(file.path)
    assert version.file_version == 'brain.Event:2'
    assert version.wall_time > 1.7e9
    assert (session.step, session.session_log.status) == (300, SessionLog.START)
    assert (event.step, event.wall_time) == (2**40, 1.7e9 + 0.25)
    values = {value.tag: value.simple_value for value in event.summary.value}
    assert values == {'step/loss': -1.5, 'größe': math.inf, 'much': math.inf}
    assert (empty.step, list(empty.summary.value)) == (0, [])


def test_each_file_has_a_name_of_its_own(tmp_path: Path) -> None:
    names = {EventsFile(tmp_path).path.name for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith('events.out.tfevents.') for name in names)


def test_the_checksum_is_crc32c() -> None:
    assert crc32c(b'123456789') == 0xE3069283  # of RFC 3720
    content = bytes(range(256))
    assert int.from_bytes(checksum(content), 'little') == masked_crc32c(content)


@pytest.mark.parametrize(('value', 'written'), [(0, b'\0'), (127, b'\x7f'), (300, b'\xac\x02')])
def test_whole_numbers_take_seven_bits_a_byte(value: int, written: bytes) -> None:
    assert varint(value) == written
