"""Every request names a language, whichever way it comes; the service refuses one without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gradium_batch
from tests.asked import Asked
from tests.batch import batch, write_wav
from tests.servers import KEY

NAMELESS = ("", " ", "\t", "\u00a0")


def write_rows(folder: Path, *rows: dict[str, object]) -> Path:
    for n in range(len(rows)):
        write_wav(folder / f"{n}.wav", seed=n)
    manifest = folder / "m.jsonl"
    manifest.write_text("".join(json.dumps({"audio": f"{n}.wav"} | row) + "\n" for n, row in enumerate(rows)))
    return manifest


@pytest.mark.parametrize(
    ("options", "rows", "languages"),
    [
        ((), [{}], ["en"]),
        (("--set", "service.language=fr"), [{}, {"language": "de"}], ["de", "fr"]),
        (
            (),
            [{"language": "any"}, {"language": ""}, {"language": None}, {"language": "  "}],
            ["any", "en", "en", "en"],
        ),
        (("--set", "service.language=any"), [{}, {"keywords": "Gradium"}], ["any", "any"]),
        ((), [{"language": "PT ", "keywords": ["one", "two"]}, {"keywords": "three"}], ["en", "pt"]),
        (("--set", "service.json_config={temp = 0.5}", "--set", "service.model=stt-translate"), [{}], ["en"]),
        (("--set", "audio.upload=opus", "--set", "audio.lead_silence_s=0.32"), [{"offset_s": 0.1}], ["en"]),
    ],
)
def test_each_request_of_the_command_names_one(
    tmp_path: Path, out: Path, options: tuple[str, ...], rows: list[dict[str, object]], languages: list[str]
) -> None:
    with Asked() as service:
        done = batch("run", write_rows(tmp_path, *rows), "--out", out, *options, server=service)
    assert done.exit == 0, done.stderr
    assert sorted(config["language"] for config in service.configs) == languages


def test_each_request_of_the_python_api_names_one(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    manifest = write_rows(tmp_path, {}, {"language": "es"})
    with Asked() as service:
        for language in (None, "fr"):
            chosen = {"url": service.url} | ({} if language is None else {"language": language})
            gradium_batch.transcribe(manifest, out, settings={"service": chosen, "price": {"settle_s": 0}})
    assert sorted(config["language"] for config in service.configs) == ["en", "es", "fr"]


@pytest.mark.parametrize("language", NAMELESS)
@pytest.mark.parametrize("command", ["run", "check"])
def test_none_is_refused_before_anything_is_sent(tmp_path: Path, out: Path, command: str, language: str) -> None:
    manifest = write_rows(tmp_path, {})
    with Asked() as service:
        for options in (("--set", f"service.language={language}"), ("--set", f'service.language="{language}"')):
            done = batch(command, manifest, "--out", out, *options, server=service)
            assert done.exit == 2, done.stderr
            assert "service.language" in done.stderr
        by_variable = batch(command, manifest, server=service, GRADIUM_BATCH_SERVICE__LANGUAGE=language)
        assert by_variable.exit == 2, by_variable.stderr
        assert "every request names a language; give one of en, fr, de, es, pt, any" in by_variable.stderr
    assert service.queries == []


def test_none_is_refused_by_the_python_api(tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIUM_API_KEY", KEY)
    manifest = write_rows(tmp_path, {})
    for language in NAMELESS:
        with pytest.raises(gradium_batch.ConfigError, match="every request names a language"):
            gradium_batch.transcribe(manifest, out, settings={"service": {"language": language}})
