"""Rows whose recordings lie in object stores or on web servers, and rows of manifests that lie there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.manifest.rows import Rows
from pipeline.model import BadRow, Utterance
from pipeline.source.addresses import is_address, is_row
from pipeline.source.signatures import Signatures
from tests.manifest.reading import bad, good, rows_of

SIGNATURE = "c0ffee"


def row(audio: str, folder: str = "/data", id: str = "", **metadata: str) -> Utterance | BadRow:
    return Rows("m.csv", folder, Signatures()).utterance(2, audio, id, "", "", None, None, None, metadata)


@pytest.mark.parametrize(
    ("audio", "address"),
    [
        ("s3://Bucket/a/../b c#1?x=%41.wav", "s3://Bucket/a/../b c#1?x=%41.wav"),
        ("S3://bucket/a.wav", "s3://bucket/a.wav"),
        ("gs://bucket//a.wav", "gs://bucket//a.wav"),
        ("az://container/a.wav.", "az://container/a.wav."),
        ("HTTPS://Host.Example:8443/A%20b.wav?x=1", "https://host.example:8443/A%20b.wav?x=1"),
        ("https://h/a/./b//c.wav", "https://h/a/./b//c.wav"),
        ("https://h/get/?id=7", "https://h/get/?id=7"),
        ("https://h/a.parquet#row=17", "https://h/a.parquet#row=17"),
        ("file:///calls/a%20b.wav", "/calls/a b.wav"),
        ("/calls/../a.wav", "/a.wav"),
        ("a://b.wav", None),
    ],
)
def test_an_address_is_kept_as_it_is_written(audio: str, address: str | None) -> None:
    found = row(audio)
    assert (found.audio if isinstance(found, Utterance) else None) == address


@pytest.mark.parametrize("name", ["a#row=1.wav", "a#row=2", "a.parquet#row=", "a.parquet#row=-1", "a.parquet#row=²"])
def test_a_name_that_only_looks_like_a_row_of_a_parquet_file_is_a_files(name: str) -> None:
    assert not is_address(f"/data/{name}")
    assert not is_row(f"s3://bucket/{name}")
    assert is_row("https://h/X.PARQUET?v=1.2#row=3")


def test_the_id_is_what_the_row_says_without_its_signature() -> None:
    for audio, id_ in [
        (f"https://h/a.wav?sig={SIGNATURE}&v=2", "https://h/a.wav?v=2"),
        ("s3://b/k?token=1", "s3://b/k?token=1"),
        ("calls/a.wav?sig=1", "calls/a.wav?sig=1"),
        ("~/a.wav", "~/a.wav"),
        ("file:///a.wav", "file:///a.wav"),
    ]:
        found = row(audio)
        assert isinstance(found, Utterance)
        assert found.id == id_


def test_no_part_of_a_row_has_a_signature() -> None:
    url = f"https://h/a.wav?x=1&X-Amz-Signature={SIGNATURE}"
    found = row(url, id=url, url=url, note="a?b=c")
    assert isinstance(found, Utterance)
    assert SIGNATURE not in repr(found)
    assert found.metadata == {"url": "https://h/a.wav?x=1", "note": "a?b=c"}


def test_only_the_signature_is_taken_out_of_a_text() -> None:
    url = f"https://h/a.wav?x=1&X-Amz-Signature={SIGNATURE}"
    found = row(url, id=f"{url} 7", of=json.dumps({"url": url, "speaker": "Ann"}), note=f"see {url} and {url}, page 2")
    assert isinstance(found, Utterance)
    assert found.id == "https://h/a.wav?x=1 7"
    assert found.metadata == {
        "of": '{"url": "https://h/a.wav?x=1", "speaker": "Ann"}',
        "note": "see https://h/a.wav?x=1 and https://h/a.wav?x=1 page 2",
    }


def test_a_port_and_an_at_sign_are_no_password() -> None:
    assert isinstance(row("https://h:8443/a@2x.wav"), Utterance)
    assert isinstance(row("https://[::1]:8443/a@2x.wav"), Utterance)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (f"http://h/a.wav?sig={SIGNATURE}", "is not encrypted; write https://"),
        (f"ftp://me:{SIGNATURE}@h/a.wav", "no address that can be read"),
        ("s3a://b/a.wav", "write s3://"),
        ("s3://b", "names no object"),
        ("s3://b/", "names no object"),
        ("s3:///a.wav", "names no bucket"),
        (f"https://me:{SIGNATURE}@h/a.wav", "user name or password"),
        (f"s3://AKIA:{SIGNATURE}@b/a.wav", "user name or password"),
        (f"az://c/a.wav?sv=2024&sp=r&sig={SIGNATURE}", "is signed"),
        (f"s3://b/a.wav?X-Amz-Signature={SIGNATURE}", "is signed"),
        (f"https://h?sig={SIGNATURE}", "write https://HOST/PATH"),
        ("https:///a.wav", "write https://HOST/PATH"),
        ("https://h\\x/a.wav", "write https://HOST/PATH"),
        ("https://h/a\r\nX: y", "write https://HOST/PATH"),
        (f"https://h/a.wav?token={SIGNATURE}#t=1,2", "offset_s"),
        (f"https://h/call #3.wav?sig={SIGNATURE}", "write %23"),
        (f"https://h/a.wav?{'a' * 1200}&sig={SIGNATURE}", "at most 1,000"),
        (f"https://h/{'a' * 170}?sig={SIGNATURE}{'b' * 99}#x", "write %23"),
        ("s3://b/a\0.wav", "NUL"),
        (f"https://me:ab/{SIGNATURE}@h/a.wav", "user name or password"),
        (f"s3://AKIA:ab/{SIGNATURE}@b/a.wav", "user name or password"),
        (f"https://{'a' * 900}{SIGNATURE}@h/a.wav", "user name or password"),
        (f"http://h/a.wav?to%6ben={SIGNATURE}", "is not encrypted"),
        (f"s3://b/a.wav?ex=1&is=2&hm={SIGNATURE}", "is signed"),
        (f"https://h/a.wav#access_token={SIGNATURE}", "write %23"),
    ],
)
def test_what_is_no_address_is_a_bad_row_without_secrets(audio: str, words: str) -> None:
    found = row(audio, id=f"7 {audio}" if len(audio) < 900 else "")
    assert isinstance(found, BadRow)
    assert words in found.message
    assert SIGNATURE not in repr(found)
    assert "://h?sig" not in found.message or "***" in found.message


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_other_problems_of_a_signed_row_tell_no_signature(tmp_path: Path, form: str) -> None:
    url = f"https://h/a.wav?x=1&X-Amz-Signature={SIGNATURE}"
    text = {"csv": f"audio,id,offset_s\n{url},{url},{url}\n{url},{url}\n"}.get(form) or "\n".join(
        json.dumps(one) for one in ({"audio": url, "id": url, "offset_s": url}, {"audio": [url], "id": url}, url)
    )
    found = bad(rows_of(tmp_path / f"m.{form}", text + "\n"))
    assert len(found) == (2 if form == "csv" else 3)
    assert SIGNATURE not in repr(rows_of(tmp_path / f"m.{form}", text + "\n"))


@pytest.mark.parametrize(
    ("folder", "audio", "address"),
    [
        ("s3://b/calls/", "a.wav", "s3://b/calls/a.wav"),
        ("s3://b/calls/", "./x//a.wav", "s3://b/calls/x//a.wav"),
        ("s3://b/calls/mon/", "../../a#1?x.wav", "s3://b/a#1?x.wav"),
        ("s3://b/", "../a.wav", None),
        ("s3://b/calls/", "..", None),
        ("https://h/", "a.wav", "https://h/a.wav"),
        ("https://h/lists/", f"../a%20.wav?x=../../y&sig={SIGNATURE}", "https://h/a%20.wav?x=../../y"),
        ("https://h/lists/", "../../a.wav", None),
        ("https://h/lists/", "a#1.wav", None),
        ("s3://b/calls/", "https://h/a.wav", "https://h/a.wav"),
        ("s3://b/calls/", "file:///a.wav", "/a.wav"),
        ("s3://b/calls/", "/mnt/a.wav", "/mnt/a.wav"),
        ("s3://b/calls/", "", None),
    ],
)
def test_rows_of_a_manifest_at_an_address_count_from_there(folder: str, audio: str, address: str | None) -> None:
    found = row(audio, folder)
    assert (found.audio if isinstance(found, Utterance) else None) == address
    assert SIGNATURE not in repr(found)


@given(st.lists(st.sampled_from(["a", "..", ".", "b.wav", ""]), min_size=1, max_size=8).map("/".join))
def test_no_row_leads_out_of_the_bucket(audio: str) -> None:
    found = row(audio, "s3://b/x/y/")
    if isinstance(found, Utterance) and not audio.startswith("/"):
        assert found.audio.startswith("s3://b/")
        assert "/../" not in found.audio
        assert found.id == audio.removeprefix("./") or found.id == audio


def test_rows_of_all_kinds_of_places_in_one_manifest(tmp_path: Path) -> None:
    text = "audio\ns3://b/a.wav\nhttps://h/a.wav\nfile:///a.wav\n~/a.wav\na.wav\n"
    home = Path("~/a.wav").expanduser()
    assert [one.audio for one in good(rows_of(tmp_path / "m.csv", text))] == [
        "s3://b/a.wav", "https://h/a.wav", "/a.wav", str(home), str(tmp_path / "a.wav"),
    ]  # fmt: skip
