"""What is asked of the service: settings checked before anything is sent, and how they go into the query."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config.settings import ServiceSettings
from pipeline.errors import ConfigError
from pipeline.gradium.request import check_language, check_url, request_settings
from pipeline.profile import GRADIUM


def settings(language: str = "en", model: str = "default", **json_config: Any) -> ServiceSettings:
    return ServiceSettings(language=language, model=model, json_config=json_config)


def complaint(**json_config: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        request_settings(settings(**json_config))
    return str(caught.value)


def asked(service: ServiceSettings, language: str | None = None) -> tuple[str, dict[str, Any]]:
    query = parse_qs(request_settings(service).query(language), strict_parsing=True)
    assert set(query) == {"model", "json_config"}
    return query["model"][0], json.loads(query["json_config"][0])


def test_the_defaults_name_language_and_delay() -> None:
    assert asked(ServiceSettings()) == ("default", {"language": "en", "delay_in_frames": 16})


def test_a_rows_language_goes_before_the_configured_one() -> None:
    request = request_settings(settings("en"))
    assert json.loads(parse_qs(request.query("fr"))["json_config"][0])["language"] == "fr"
    assert json.loads(parse_qs(request.query(None))["json_config"][0])["language"] == "en"


@given(
    languages=st.sampled_from(("default", "stt-translate", "another")).flatmap(
        lambda model: st.tuples(
            st.just(model),
            st.sampled_from(GRADIUM.languages_of(model)),
            st.none() | st.sampled_from(GRADIUM.languages_of(model)),
        )
    ),
    json_config=st.fixed_dictionaries(
        {},
        optional={
            "delay_in_frames": st.integers(*GRADIUM.delay_range),
            "temp": st.floats(*GRADIUM.temp),
            "padding_bonus": st.floats(*GRADIUM.padding_bonus),
            "keywords": st.fixed_dictionaries({"words": st.just(["one"])}, optional={"boost": st.floats(-6, 6)}),
        },
    ),
    keywords=st.sampled_from(((), ("two",))),
)
def test_no_query_is_without_a_language(
    languages: tuple[str, str, str | None], json_config: dict[str, Any], keywords: tuple[str, ...]
) -> None:
    model, language, rows = languages
    query = request_settings(settings(language, model, **json_config)).query(rows, keywords)
    assert json.loads(parse_qs(query, strict_parsing=True)["json_config"][0])["language"] == (rows or language)


@pytest.mark.parametrize("language", ["", " ", "\t\n", "\u00a0"])
def test_a_language_is_always_given(language: str) -> None:
    with pytest.raises(ConfigError, match=r"^service\.language: every request names a language; give one of en, fr, "):
        request_settings(settings(language))
    assert check_language(language, "default")


@given(frames=st.integers(-(2**40), 2**40), name=st.sampled_from(("delay_in_frames", "delay_in_tokens")))
@example(frames=3, name="delay_in_frames")
@example(frames=4, name="delay_in_tokens")
@example(frames=80, name="delay_in_frames")
@example(frames=81, name="delay_in_tokens")
def test_a_delay_is_taken_warned_of_or_refused(frames: int, name: str) -> None:
    service = settings(**{name: frames})
    if not 4 <= frames <= 80:
        with pytest.raises(ConfigError, match=rf"^service\.json_config\.{name}: {frames} is not between 4 and 80$"):
            request_settings(service)
        return
    request = request_settings(service)
    assert request.delay_s == pytest.approx(frames * 0.08), "times follow it"
    assert json.loads(parse_qs(request.query(None))["json_config"][0])["delay_in_frames"] == frames
    documented = frames in (7, 8, 10, 12, 14, 16, 20, 24, 32, 36, 48)
    assert (request.warning is None) == documented
    if request.warning is not None:
        assert request.warning.startswith(
            f"service.json_config.delay_in_frames: {frames} is not a documented value (7, "
        )


def test_the_language_of_a_translation_has_one_place() -> None:
    assert complaint(target_language="fr") == (
        "service.json_config.target_language: set the language to translate into as service.language"
    )


def test_everything_survives_the_encoding() -> None:
    words = ["Zürich", "a+b", "50%", "x&y=z", 'say"so"', "日本", "#1"]
    service = settings("de", "my model & more", temp=0.5, padding_bonus=-1.5, keywords={"words": words, "boost": -2})
    model, config = asked(service)
    assert model == "my model & more"
    assert config["keywords"] == {"words": sorted(words), "boost": -2}
    assert (config["temp"], config["padding_bonus"]) == (0.5, -1.5)
    assert request_settings(service).query(None).isascii()


def test_what_asks_for_the_same_is_sent_in_one_form() -> None:
    plain = request_settings(settings(delay_in_frames=24, keywords={"words": ["alpha", "beta"]}))
    for same in (
        settings(delay_in_tokens=24, keywords={"words": ["alpha", "beta"]}),
        settings(delay_in_frames=24, keywords={"words": ["beta", "alpha"]}),
        settings(delay_in_frames=24, keywords={"words": ["alpha", "beta", "alpha"], "boost": 3}),
    ):
        assert request_settings(same).config == plain.config
        assert request_settings(same).answered_fact == plain.answered_fact
    assert plain.written is None


def test_the_delay_in_force_is_known_in_seconds() -> None:
    assert request_settings(ServiceSettings()).delay_s == pytest.approx(1.28)
    assert request_settings(settings(delay_in_frames=48)).delay_s == pytest.approx(3.84)
    assert request_settings(settings(delay_in_tokens=10)).delay_s == pytest.approx(0.8)


def test_equal_settings_are_equal() -> None:
    one, two = (request_settings(settings(keywords={"words": ["a"]})) for _ in range(2))
    assert one == two
    assert one != request_settings(settings(keywords={"words": ["b"]}))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("delay_in_frame", "delay_in_frames"),
        ("temperature", "temp"),
        ("keyword", "keywords"),
        ("paddingbonus", "padding_bonus"),
    ],
)
def test_a_misspelt_key_is_answered_with_the_nearest_right_one(wrong: str, right: str) -> None:
    assert complaint(**{wrong: 1}) == (
        f"service.json_config: unknown key {wrong!r}, which the service would silently ignore; did you mean {right!r}?"
    )


def test_a_key_like_no_other_is_answered_with_all_of_them() -> None:
    assert "known: language, delay_in_frames, delay_in_tokens, temp, padding_bonus, keywords" in complaint(zzz=1)


def test_misspelt_keys_of_keywords_are_caught() -> None:
    said = complaint(keywords={"words": ["a"], "bost": 3})
    assert said.startswith("service.json_config.keywords: unknown key 'bost'")
    assert "did you mean 'boost'?" in said


def test_the_language_has_one_place() -> None:
    with pytest.raises(ConfigError, match=r"^service\.json_config\.language: set the language as service\.language$"):
        request_settings(ServiceSettings(json_config={"language": "fr"}))


@pytest.mark.parametrize(
    ("json_config", "said"),
    [
        ({"delay_in_frames": 3}, "service.json_config.delay_in_frames: 3 is not between 4 and 80"),
        ({"delay_in_frames": 81}, "service.json_config.delay_in_frames: 81 is not between 4 and 80"),
        ({"delay_in_frames": -16}, "service.json_config.delay_in_frames: -16 is not between 4 and 80"),
        ({"delay_in_tokens": 0}, "service.json_config.delay_in_tokens: 0 is not between 4 and 80"),
        ({"delay_in_frames": 16, "delay_in_tokens": 16}, "are one setting; give one"),
        ({"temp": -0.1}, "service.json_config.temp: -0.1 is not between 0 and 1.5"),
        ({"temp": 1.6}, "service.json_config.temp: 1.6 is not between 0 and 1.5"),
        ({"temp": float("nan")}, "service.json_config.temp: nan is not between 0 and 1.5"),
        ({"padding_bonus": 4.5}, "service.json_config.padding_bonus: 4.5 is not between -4 and 4"),
        ({"keywords": {"words": ["a"], "boost": 7}}, "service.json_config.keywords.boost: 7.0 is not between -6 and 6"),
        ({"keywords": {"words": []}}, "service.json_config.keywords.words: give 1 to 500 words"),
        ({"keywords": {"words": ["a"] * 501}}, "service.json_config.keywords.words: give 1 to 500 words"),
        ({"keywords": {"words": ["New York"]}}, "'New York' is not one word; the service takes single tokens"),
        ({"keywords": {"words": [""]}}, "'' is not one word"),
        ({"keywords": {"words": [" a"]}}, "' a' is not one word"),
    ],
)
def test_values_the_service_would_not_take_are_refused(json_config: dict[str, Any], said: str) -> None:
    assert said in complaint(**json_config)


@pytest.mark.parametrize(
    ("json_config", "said"),
    [
        ({"delay_in_frames": "16"}, "service.json_config.delay_in_frames: expected int | null, got str"),
        ({"temp": [0.5]}, "service.json_config.temp: expected float | null, got array"),
        (
            {"keywords": ["a", "b"]},
            "service.json_config.keywords: expected object | null, got array; "
            'write keywords = { words = ["one", "two"], boost = 3 }',
        ),
        (
            {"keywords": {"words": "a"}},
            "service.json_config.keywords.words: expected array, got str; "
            'write keywords = { words = ["one", "two"], boost = 3 }',
        ),
    ],
)
def test_a_value_of_the_wrong_type_is_named(json_config: dict[str, Any], said: str) -> None:
    assert complaint(**json_config) == said


@pytest.mark.parametrize(
    "json_config",
    [
        {"temp": 0},
        {"temp": 1.5},
        {"padding_bonus": -4},
        {"delay_in_frames": 7},
        {"delay_in_tokens": 48},
        {"keywords": {"words": ["Zürich"]}},
        {"keywords": {"words": ["a"] * 500, "boost": -6}},
    ],
)
def test_documented_values_pass(json_config: dict[str, Any]) -> None:
    assert request_settings(settings(**json_config)) is not None


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^service\.language: language 'it' is not one of the service's: en, fr, de"):
        request_settings(settings("it"))
    assert check_language("any", "default") is None
    assert "'EN'" in str(check_language("EN", "default"))


@pytest.mark.parametrize("language", GRADIUM.languages)
def test_a_translation_is_into_a_language_that_is_named(language: str) -> None:
    translates = settings(language, "stt-translate")
    if language != "any":
        assert asked(translates) == ("stt-translate", {"language": language, "delay_in_frames": 16})
        return
    with pytest.raises(ConfigError) as caught:
        request_settings(translates)
    assert str(caught.value) == (
        "service.language: stt-translate translates into the language, which 'any' does not name; "
        "give one of en, fr, de, es, pt"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://api.gradium.ai/api/post/speech/asr",
        "https://eu.api.gradium.ai/api/post/speech/asr",
        "https://us.api.gradium.ai/api/post/speech/asr",
        "https://proxy.example:8443/asr",
        "http://127.0.0.1:8000/api/post/speech/asr",
        "http://localhost/asr",
        "http://LOCALHOST/asr",
        "http://[::1]:8000/asr",
    ],
)
def test_the_key_may_go_over_https_or_to_this_machine(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://api.gradium.ai/asr", "would carry the API key in clear text; use https"),
        ("http://127.0.0.1.evil.example/asr", "in clear text"),
        ("http://localhost.evil.example/asr", "in clear text"),
        ("http://10.0.0.1/asr", "in clear text"),
        ("https://user:secret@api.gradium.ai/asr", "leave user and password out"),
        ("http://user:secret@api.gradium.ai/asr", "leave user and password out"),
        ("ftp://user:secret@api.gradium.ai/asr", "leave user and password out"),
        ("http://127.0.0.1@evil.example/asr", "leave user and password out"),
        ("https://api.gradium.ai/asr?model=x", "leave out what follows the path"),
        ("https://api.gradium.ai/asr#x", "leave out what follows the path"),
        ("api.gradium.ai/asr", "is no http(s) address"),
        ("ftp://api.gradium.ai/asr", "is no http(s) address"),
        ("https:///asr", "is no http(s) address"),
        ("https://[::1/asr", "is no http(s) address"),
        ("https://api.gradium.ai:99999/asr", "is no http(s) address"),
        ("https://api.gradium.ai:port/asr", "is no http(s) address"),
        ("https://api.gradium.ai/as r", "is no http(s) address"),
        ("https://api.gradium.ai/asr\n", "is no http(s) address"),
        ("", "is no http(s) address"),
        ("Local", '"local" starts the embedded server'),
    ],
)
def test_other_addresses_are_refused_without_showing_a_password(url: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_url(url)
    assert str(caught.value).startswith("service.url: ")
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
