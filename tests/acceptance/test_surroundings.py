"""What the command finds in its environment: locales of other encodings, certificates and proxies that are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.batch import Corpus, batch, environment, jsonl_of, run_command, write_wav
from tests.servers import RunningServer

NO_UTF8 = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
NAME = "Gespräch łódź 会議.wav"


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        NO_UTF8 | {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "POSIX"},
        {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii:strict"},
        NO_UTF8 | {"LC_ALL": "de_DE.ISO-8859-1"},
    ],
)
def test_names_come_out_as_utf8_in_any_locale(variables: dict[str, str], server: RunningServer, tmp_path: Path) -> None:
    folder, out = tmp_path / "Gespräche", tmp_path / "Ausgänge"
    text = write_wav(folder / NAME, seed=1)
    (folder / "łom.wav").write_bytes(b"no audio")
    result = run_command("run", folder, "--out", out, server=server, **variables)
    assert result.exit == 3, result.stderr
    [row] = jsonl_of(out)
    assert (row["id"], row["audio"], row["text"]) == (NAME, str(folder / NAME), text)
    assert str(out) in result.stderr
    assert "łom.wav" in result.stderr
    status = run_command("status", out, server=server, **variables)
    assert "łom.wav" in status.stdout
    manifest = tmp_path / "ä.csv"
    manifest.write_text(f"id,audio\nä,Gespräche/{NAME}\n", "utf-8")
    before = server.stats()["requests"]
    for name in (str(manifest), "-"):
        stdin = f'{{"id": "ä", "audio": "{folder / NAME}"}}\n'
        result = run_command("run", name, "--out", out, server=server, stdin=stdin, **variables)
        assert result.exit == 0, result.stderr
    assert server.stats()["requests"] == before
    assert {row["id"] for row in jsonl_of(out)} == {NAME, "ä"}


def test_a_name_that_is_no_utf8_is_refused_with_a_sentence_in_any_locale(server: RunningServer, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path / "audio") + b"\xe9"
    os.mkdir(folder)  # noqa: PTH102  no path of text
    for variables in ({}, NO_UTF8):
        result = run_command("run", os.fsdecode(folder), server=server, cwd=tmp_path, **variables)
        assert result.exit == 2
        assert "is not UTF-8" in result.stderr
        assert "Traceback" not in result.stderr


UNREACHABLE = {
    "GRADIUM_BATCH_SERVICE__URL": "https://127.0.0.1:1/asr",
    "GRADIUM_BATCH_SERVICE__TRUST_ENV": "true",
    "GRADIUM_API_KEY": "gd_test_key",
    "GRADIUM_BATCH_RETRY__OUTAGE_MAX_S": "0.1",
}
SECRET = "tell-nobody"  # noqa: S105


@pytest.fixture
def no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has commands find none of these variables of this machine."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("no_other")
@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SSL_CERT_FILE", "nowhere.pem", "nowhere.pem cannot be read: No such file or directory"),
        ("SSL_CERT_FILE", "folder", "folder cannot be read: Is a directory"),
        ("SSL_CERT_FILE", "empty.pem", "empty.pem holds no certificate"),
        ("SSL_CERT_FILE", "text.pem", "text.pem holds no certificate"),
        ("SSL_CERT_DIR", "nowhere", "there are no certificates that can be read under their hashes"),
        ("SSL_CERT_DIR", "folder", "there are no certificates that can be read under their hashes"),
        ("SSL_CERT_DIR", "text.pem", "there are no certificates that can be read under their hashes"),
        ("HTTPS_PROXY", f"http://user:{SECRET}@[::1", "HTTPS_PROXY is no address of a proxy"),
        ("https_proxy", f"user:{SECRET}@proxy:3128", "https_proxy is no address of a proxy"),
        ("HTTPS_PROXY", "proxy:99999", "HTTPS_PROXY is no address of a proxy"),
        ("HTTPS_PROXY", "foo bar", "HTTPS_PROXY is no address of a proxy"),
        ("HTTPS_PROXY", "http://:3128", "HTTPS_PROXY is no address of a proxy"),
        ("HTTPS_PROXY", "socks5://proxy:1080", "HTTPS_PROXY is no address of a proxy"),
        # which would be left out
        ("HTTPS_PROXY", "https://proxy:3128", "HTTPS_PROXY is no address of a proxy"),
        ("HTTP_PROXY", "http://[", "HTTP_PROXY is no address of a proxy"),
    ],
)
def test_an_environment_that_no_connection_can_be_made_with_is_told_before_anything_else(
    name: str, value: str, told: str, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("no certificate\n")
    args = ("run", corpus.folder, "--out", out)
    result = batch(*args, cwd=tmp_path, **UNREACHABLE | {name: value})
    assert result.exit == 2, result.stderr
    assert f"gradium-batch: {name}" in result.stderr
    assert told in result.stderr
    assert SECRET not in result.stderr
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("no_other")
@pytest.mark.parametrize(
    "variables",
    [
        {"HTTPS_PROXY": "foo bar", "NO_PROXY": "127.0.0.1"},
        {"HTTP_PROXY": "socks5://proxy:1080", "NO_PROXY": ""},
        {"HTTPS_PROXY": "foo bar", "SSL_CERT_FILE": "nowhere.pem", "GRADIUM_BATCH_SERVICE__TRUST_ENV": "false"},
    ],
)
def test_what_is_not_used_of_the_environment_keeps_no_run_from_its_work(
    variables: dict[str, str], tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    result = batch("run", corpus.folder, "--out", out, cwd=tmp_path, **UNREACHABLE | variables)
    assert result.exit == 1
    assert "nothing answers at https://127.0.0.1:1" in result.stderr


@pytest.mark.slow
def test_tls_secrets_are_noted_nowhere_and_keep_no_run_from_its_work(
    server: RunningServer, tmp_path: Path, out: Path
) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    for file in (tmp_path / "nowhere" / "keys", tmp_path / "keys"):
        variables = {"SSLKEYLOGFILE": str(file), "PYTHONHASHSEED": "0"}
        result = run_command("run", corpus.folder, "--out", out, server=server, **variables)
        assert result.exit == 0, result.stderr
        assert not file.exists()


@pytest.mark.slow
def test_the_embedded_server_starts_whatever_tls_secrets_were_to_be_noted(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=1)
    variables = environment(SSLKEYLOGFILE=str(tmp_path / "nowhere" / "keys"), PYTHONHASHSEED="0")
    local = ("--set", "service.url=local", "--set", "local.recognizer=fingerprint")
    result = run_command("run", corpus.folder, "--out", out, *local, **variables)
    assert result.exit == 0, result.stderr
