"""The S3 server of the tests itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import AudioForbidden, AudioMissing, SourceUnreachable
from pipeline.source import Sources
from pipeline.source.objects import ObjectStores
from pipeline.source.rules import Rules
from tests.buckets import S3Server
from tests.noting import Asked

pytestmark = pytest.mark.slow
DATA = bytes(range(256)) * 500


def rules(s3: S3Server) -> Rules:
    return Rules(allow_private=(f"127.0.0.1:{s3.proxy.port}",))


def test_requests_are_noted_with_what_was_sent(s3: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    bucket = s3.bucket()
    address = bucket.put("day one/ä.wav", DATA)
    with Sources(rules(s3)) as sources, (tmp_path / "copy").open("wb", buffering=0) as file:
        assert sources.read(address, 10, 110) == DATA[10:110]
        info = sources.fetch(address, file, 1 << 30)
        assert sources.stat(address) == info
        assert [one.name for one in sources.list(bucket.url("day one/"))] == ["ä.wav"]
    assert (tmp_path / "copy").read_bytes() == DATA
    path = f"/{bucket.name}/day%20one/%C3%A4.wav"
    assert bucket.asked("GET")[0] == Asked("GET", path, "", "bytes=10-109", 206, 100)
    assert bucket.keys_asked("GET") == ["day one/ä.wav"] * 2
    assert bucket.keys_asked("HEAD") == ["day one/ä.wav"]
    assert bucket.bytes_by_key() == {"day one/ä.wav": 100 + len(DATA)}


def test_it_can_be_away_and_refuse(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    bucket = s3.bucket()
    address = bucket.put("a.wav", DATA)
    store = ObjectStores(rules(s3))
    before = store.stat(address)
    s3.stop()
    with pytest.raises(SourceUnreachable):
        store.stat(address)
    s3.start()
    assert store.stat(address) == before
    assert b"".join(store.get(address).chunks) == DATA
    bucket.put("a.wav", DATA[1:])
    assert store.stat(address).version != before.version
    bucket.delete("a.wav")
    with pytest.raises(AudioMissing):
        store.stat(address)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    with pytest.raises(AudioForbidden):
        ObjectStores(rules(s3)).stat(address)
