"""Recordings and manifests at addresses, through the command: the parts of URLs that sign them are nowhere."""

from __future__ import annotations

import base64
import gzip
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from tests.batch import Finished, batch, errors_of, rows_of, write_wav
from tests.buckets import S3Server
from tests.https import Answer, WebServer, https_server
from tests.servers import RunningServer

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
QUICK = ("--progress", "off", "--set", "retry.max_attempts=2", "--set", "retry.base_s=0.01",
         "--set", "retry.max_s=0.05",
         "--set", "retry.outage_max_s=1", "--set", "sources.timeout_s=5")  # fmt: skip


@pytest.fixture
def web() -> Iterator[WebServer]:
    with https_server() as running:
        yield running


def signed(url: str, night: str, more: str = "") -> str:
    """A URL as Amazon signs it."""
    credential = quote(f"AK{night}/20260101/us-east-1/s3/aws4_request", safe="")
    return (
        f"{url}?{more}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date=20260101T000000Z"
        f"&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature={night}{'5ec4e7' * 9}"
    )


SECRETS = (b"aknight", b"night1", b"night2", b"5ec4e75ec4e7", b"t0psecret")
PARTS = [*SECRETS, *(one.hex().encode() for one in SECRETS)]
PARTS += [base64.b64encode(bytes(n) + one)[4:-4].lower() for one in SECRETS[3:] for n in range(3)]


def shown(result: Finished, out: Path) -> Iterator[tuple[str, bytes]]:
    """All that a run shows and leaves: as it is, and as its readers see it."""
    yield "stdout", result.stdout.encode()
    yield "stderr", result.stderr.encode()
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        yield str(path), path.name.encode() + b"\n" + path.read_bytes()
        if path.suffix == ".parquet":
            yield f"{path}, read", repr(pq.read_table(path).to_pylist()).encode()
        if path.suffix == ".gz":
            yield f"{path}, unpacked", gzip.decompress(path.read_bytes())
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608  the table's own name
                yield table, b" ".join(value if isinstance(value, bytes) else str(value).encode() for value in row)


def assert_secret(result: Finished, out: Path) -> None:
    """No part of a signature is shown or kept, plain or encoded."""
    found = [(where, part) for where, text in shown(result, out) for part in PARTS if part in text.lower()]
    assert found == []


def write(manifest: Path, rows: dict[str, str], *, kind: str = "csv") -> None:
    lines = [f'"{id_}","{audio}"' for id_, audio in rows.items()] if kind == "csv" else []
    manifest.write_text("\n".join(["id,audio", *lines]) + "\n")


def both(web: WebServer, s3: S3Server) -> dict[str, str]:
    """Variables by which a command finds both servers."""
    allowed = "GRADIUM_BATCH_SOURCES__ALLOW_PRIVATE"
    places = json.loads(web.environment[allowed]) + json.loads(s3.environment()[allowed])
    return web.environment | s3.environment() | {allowed: json.dumps(places)}


def test_one_manifest_names_recordings_of_all_kinds_of_places(
    web: WebServer, s3: S3Server, server: RunningServer, tmp_path: Path
) -> None:
    here, home, out = tmp_path / "lists", tmp_path / "home", tmp_path / "out"
    texts = {
        "file": write_wav(here / "a file.wav", 1),
        "home": write_wav(home / "calls" / "b.wav", 2),
        "relative": write_wav(here / "sub" / "c.wav", 3),
        "web": write_wav(tmp_path / "d.wav", 4),
        "store": write_wav(tmp_path / "e.wav", 8),
    }
    bucket = s3.bucket()
    key = "mon day/e#1?x=%41.wav"
    bucket.put(key, (tmp_path / "e.wav").read_bytes())
    (tmp_path / "e.wav").unlink()
    web.put("/moved/d.wav", (tmp_path / "d.wav").read_bytes())
    (tmp_path / "d.wav").unlink()
    web.script("/d.wav", lambda asked: Answer(302, b"", {"Location": f"/moved/d.wav?{asked.query}"}))
    (tmp_path / "sitecustomize.py").write_text("import logging\nlogging.getLogger().setLevel(logging.DEBUG)\n")
    debugged = os.pathsep.join([str(tmp_path), str(ROOT)])
    for night, form in (("night1", "text"), ("night2", "json")):
        rows = {
            "file": f"file://{quote(str(here))}/a%20file.wav",
            "home": "~/calls/b.wav",
            "relative": "sub/../sub/c.wav",
            "web": signed(web.url("/d.wav"), night, more="versionId=3&"),
            "store": bucket.url(key),
        }
        write(here / "m.csv", rows)
        web.forget_requests()
        bucket.forget_requests()
        before = server.stats()["requests"]
        result = batch("run", here / "m.csv", "--out", out, "--log-format", form, *QUICK, server=server,
                       HOME=str(home), PYTHONPATH=debugged, **both(web, s3))  # fmt: skip
        assert result.exit == 0, result.stderr
        assert rows_of(out) == texts
        assert_secret(result, out)
        assert all(f"X-Amz-Signature={night}" in one.query and "versionId=3" in one.query for one in web.requests)
        if night == "night1":
            assert bucket.keys_asked() == [key]
        else:
            assert bucket.keys_asked() == [one for one in web.requests if one.method == "GET"] == []
            assert server.stats()["requests"] == before
    row = next(row for row in pq.read_table(out / "transcripts").to_pylist() if row["id"] == "web")
    assert row["audio"] == web.url("/d.wav?versionId=3")


def test_a_signature_is_in_no_error_and_no_warning(web: WebServer, server: RunningServer, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for path, status in (("/gone.wav", 404), ("/forbidden.wav", 403), ("/broken.wav", 500)):
        web.script(path, Answer(status, b"<Error>t0psecret</Error>" if status == 500 else b""))
    web.script("/away.wav", Answer(302, b"", {"Location": "http://h/x.wav?X-Amz-Signature=t0psecret"}))
    write_wav(tmp_path / "a.wav", 5)
    web.put("/a.wav", (tmp_path / "a.wav").read_bytes())
    good = signed(web.url("/a.wav"), "night1")
    rows = [good, *(signed(web.url(f"/{name}.wav"), "night1") for name in ("gone", "forbidden", "broken", "away"))]
    rows += [f"{good}#t=1", good.replace("https", "http"), good.replace("https://", "https://me:t0psecret@"),
             web.url("/a.wav?n=2&token=t0psecret1"), web.url("/a.wav?n=2&token=t0psecret2")]  # fmt: skip
    lines = [json.dumps({"id": f"{number} {row}", "audio": row, "source": row}) for number, row in enumerate(rows)]
    (tmp_path / "m.jsonl").write_text("\n".join(lines) + "\n")
    for form in ("text", "json"):
        result = batch("run", tmp_path / "m.jsonl", "--out", out, "--skip-bad-rows", "--log-format", form, *QUICK,
                       server=server, **web.environment)  # fmt: skip
        assert result.exit == 3, result.stderr
        assert_secret(result, out)
        assert "has different tokens in several rows" in result.stderr
    failed = {id_.split()[0]: error for id_, error in errors_of(out).items()}
    assert sorted(failed.values()) == [
        "AddressRefused",
        "AudioForbidden",
        "AudioMissing",
        *["BadManifestRow"] * 3,
        "SourceFault",
    ]
    checked = batch("check", tmp_path / "m.jsonl", "--out", out, "--json", "--offline", *QUICK[2:], **web.environment)
    assert_secret(checked, out)


def test_a_prefix_and_a_packed_manifest_in_a_bucket(s3: S3Server, server: RunningServer, tmp_path: Path) -> None:
    bucket, texts = s3.bucket(), dict[str, str]()
    for seed, key in enumerate(("calls/mon.wav", "calls/mon/a.wav", "calls/.tmp/x.wav", "calls/tue/b.flac.wav")):
        texts[key.removeprefix("calls/")] = write_wav(tmp_path / "one.wav", 20 + seed)
        bucket.put(key, (tmp_path / "one.wav").read_bytes())
    bucket.put("calls/notes.txt", b"none")
    bucket.put("lists/m.csv.gz", gzip.compress(b"id,audio\n1,../calls/mon/a.wav\n2,../calls/none.wav\n"))
    del texts[".tmp/x.wav"]
    for requests in (3, 0):
        before = server.stats()["requests"]
        result = batch("run", bucket.url("calls"), *QUICK, server=server, cwd=tmp_path, **s3.environment())
        assert result.exit == 0, result.stderr
        assert "ignored 1 file: .txt 1; 1 folder: hidden 1" in result.stderr
        assert rows_of(tmp_path / "runs" / "calls") == texts
        assert server.stats()["requests"] - before == requests
    fetched = bucket.keys_asked()
    assert sorted(fetched) == sorted(f"calls/{key}" for key in texts)
    assert bucket.asked("HEAD") == []
    glob = batch("run", bucket.url("calls/*/a.wav"), *QUICK, server=server, cwd=tmp_path, **s3.environment())
    assert (glob.exit, bucket.keys_asked()) == (0, fetched), glob.stderr  # a part of the same folder
    packed = batch("run", bucket.url("lists/m.csv.gz"), *QUICK, server=server, cwd=tmp_path, **s3.environment())
    assert packed.exit == 3, packed.stderr
    assert rows_of(tmp_path / "runs" / "m") == {"1": texts["mon/a.wav"]}
    assert errors_of(tmp_path / "runs" / "m") == {"2": "AudioMissing"}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl.gz"])
def test_a_manifest_on_a_web_server(web: WebServer, server: RunningServer, tmp_path: Path, suffix: str) -> None:
    text = write_wav(tmp_path / "a.wav", 6)
    web.put("/lists/calls/a.wav", (tmp_path / "a.wav").read_bytes())
    data = b"audio\ncalls/a.wav\n" if suffix == ".csv" else gzip.compress(b'{"audio": "calls/a.wav"}\n')
    web.put(f"/lists/m{suffix}", data, content_type="application/octet-stream")
    before = server.stats()["requests"]
    for night in ("night1", "night2"):
        web.forget_requests()
        result = batch("run", signed(web.url(f"/lists/m{suffix}"), night), *QUICK, server=server, cwd=tmp_path,
                       **web.environment)  # fmt: skip
        assert result.exit == 0, result.stderr
        assert rows_of(tmp_path / "runs" / "m") == {"calls/a.wav": text}
        assert_secret(result, tmp_path / "runs" / "m")
        assert len(web.asked("/lists/calls/a.wav")) == (night == "night1")
    assert server.stats()["requests"] == before + 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["m"]


@pytest.mark.parametrize("status", [403, 404, 500, None])
def test_a_manifest_that_cannot_be_had_is_one_sentence(
    web: WebServer, server: RunningServer, tmp_path: Path, status: int | None
) -> None:
    url = web.url("/m.csv") if status else "https://127.0.0.1:1/m.csv"
    if status:
        web.script("/m.csv", Answer(status))
    before = server.stats()["requests"]
    allowed = {"GRADIUM_BATCH_SOURCES__ALLOW_PRIVATE": f'["{web.address}", "127.0.0.1:1"]'}
    for command in ("check", "run"):
        options = ("--offline",) if command == "check" else QUICK[:2]
        result = batch(command, signed(url, "night1"), "--out", tmp_path / "out", *options, *QUICK[2:], server=server,
                       **web.environment | allowed)  # fmt: skip
        assert result.exit == 2, result.stderr
        said = [line for line in result.stderr.splitlines() if "the manifest cannot be read" in line]
        assert len(said) == 1
        assert url in said[0]
        assert not any(part in result.stderr.lower().encode() for part in SECRETS)
    assert server.stats()["requests"] == before
