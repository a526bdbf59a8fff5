"""`check` of objects in a real S3 server, by what the server sent."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.audio.forms import encoded, plain, sentence, written
from tests.batch import batch
from tests.buckets import S3Server
from tests.servers import RunningServer

FORMS = {
    "wav": plain(),
    "flac": written("FLAC", "PCM_16"),
    "mp3": encoded("libmp3lame", "mp3"),
    "opus": encoded("libopus", "ogg", rate=48_000),
    "m4a": encoded("aac", "ipod"),
    "webm": encoded("libopus", "webm", rate=48_000),
}
MOST_BYTES = 64_000
HEAD_BYTES = 600
"""Of an answer, at most."""


@pytest.mark.slow
def test_each_object_is_priced_by_less_than_64_kb_of_it(s3: S3Server, server: RunningServer, tmp_path: Path) -> None:
    speech, bucket = np.tile(sentence(), 20), s3.bucket()
    for ending, maker in FORMS.items():
        bucket.put(f"day/a.{ending}", maker(speech))
    done = batch("check", bucket.url("day/"), "--out", tmp_path, "--json", server=server, **s3.environment())
    assert done.exit == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["requests"], found["unsendable"]) == (len(FORMS), {})
    assert found["audio_s"] == pytest.approx(len(FORMS) * len(speech) / 24_000, rel=0.01)
    requests = Counter(bucket.keys_asked())
    sent = {key: size + HEAD_BYTES * requests[key] for key, size in bucket.bytes_by_key().items()}
    assert len(sent) == len(FORMS)
    assert max(sent.values()) < MOST_BYTES
    assert max(size for key, size in sent.items() if key.endswith("wav")) < 12_000
    assert not bucket.keys_asked("HEAD")  # the listing tells
