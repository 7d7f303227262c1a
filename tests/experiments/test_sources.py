"""The benchmark of sources reads the same images from each."""

from pathlib import Path

import pytest

from experiments import sources
from jssl.cli.data import source_of


def test_every_form_holds_the_same_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    monkeypatch.setattr(sources, 'SHARD', 2)
    monkeypatch.setattr(sources, 'GROUP', 2)
    places = {kind: sources.write(kind, tmp_path / kind, 3) for kind in sources.KINDS}
    written = [data for _, data in sources.images(3)]
    assert len(set(written)) == 3
    for where in places.values():
        source = source_of(where)
        assert [source[row]['image'] for row in range(len(source))] == written
    numbers = sources.measure(places['webdataset'], 4)
    assert numbers.keys() == {'once', 'open', 'read', 'decode', 'memory'}
    assert 0 < numbers['read'] < numbers['decode']
