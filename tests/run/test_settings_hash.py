"""Equal settings have one hash, and it is the one that existing outputs have."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.config import Settings
from pipeline.gradium.request import request_settings
from pipeline.model import Utterance
from pipeline.run.settings_hash import SettingsHash

ALPHA_BETA = "7e86df00a351559d1afc7c87c5ccfb59"
DELAY_24 = "0fcde0d9aefc675cd7792327a9b61ca7"


def hashes(sections: dict[str, Any], **row: Any) -> tuple[str, str | None]:
    settings = Settings.model_validate(sections)
    hashed = SettingsHash(settings, request_settings(settings.service))
    utterance = Utterance(id="a", audio="/a.wav", **row)
    return hashed.of(utterance), hashed.of_written(utterance)


def json_config(**config: Any) -> dict[str, Any]:
    return {"service": {"json_config": config}}


# as version 5 of the checkpoint has them
@pytest.mark.parametrize(
    ("sections", "row", "known"),
    [
        ({}, {}, "6d27c50f9d678cc98f63f0a623cf7cde"),
        ({}, {"language": "fr"}, "90fca8272dca64513e292b9b06d8d335"),
        ({"service": {"language": "fr"}}, {}, "90fca8272dca64513e292b9b06d8d335"),
        ({"service": {"language": "fr"}}, {"language": "en"}, "6d27c50f9d678cc98f63f0a623cf7cde"),
        ({"service": {"url": "local"}}, {}, "2292676fc980191953f0816acdc2d61c"),
        (
            {"audio": {"channels": "split", "upload": "opus", "lead_silence_s": 0.32}},
            {},
            "180ee56b098959ceb57050cdca8fe46a",
        ),
        (json_config(temp=0.5, keywords={"words": ["alpha", "beta"]}), {}, ALPHA_BETA),
        (json_config(delay_in_frames=24), {}, DELAY_24),
        ({}, {"offset_s": 1.5, "duration_s": 2.0, "channel": 1}, "ebb8835301471dce952c82324ec557b8"),
    ],
)
def test_the_hashes_of_existing_outputs_are_valid(sections: dict[str, Any], row: dict[str, Any], known: str) -> None:
    assert hashes(sections, **row) == (known, None)


@pytest.mark.parametrize(
    ("config", "canonical", "written"),
    [
        ({"temp": 0.5, "keywords": {"words": ["alpha", "beta"], "boost": 3}}, ALPHA_BETA, None),
        ({"temp": 0.5, "keywords": {"words": ["alpha", "beta"], "boost": 3.0}}, ALPHA_BETA, None),
        (
            {"temp": 0.5, "keywords": {"words": ["beta", "alpha", "beta"], "boost": 3}},
            ALPHA_BETA,
            "e491ab448a8948e2a696e7e60128fed6",
        ),
        ({"delay_in_tokens": 24}, DELAY_24, "99bf877f579191b02f5a3a4eabcf0e38"),
    ],
)
def test_equal_settings_have_one_hash(config: dict[str, Any], canonical: str, written: str | None) -> None:
    assert hashes(json_config(**config)) == (canonical, written)


def test_a_zero_is_one_with_either_sign() -> None:
    for name in ("temp", "padding_bonus"):
        assert hashes(json_config(**{name: -0.0}))[0] == hashes(json_config(**{name: 0}))[0]
    keywords = [{"words": ["alpha"], "boost": boost} for boost in (-0.0, 0)]
    assert len({hashes(json_config(keywords=one))[0] for one in keywords}) == 1
    assert hashes({"audio": {"lead_silence_s": -0.0}}) == hashes({})


def test_other_settings_have_another() -> None:
    configs = [{}, {"temp": 0.5}, {"temp": 0.0}, {"delay_in_frames": 48}, {"padding_bonus": 1.0}]
    configs += [{"keywords": {"words": words}} for words in (["a"], ["a", "b"], ["A"])]
    configs += [{"keywords": {"words": ["a"], "boost": 2}}]
    assert len({hashes(json_config(**config))[0] for config in configs}) == len(configs)


@pytest.mark.parametrize("config", [{}, {"delay_in_tokens": 24}])
def test_settings_that_differ_in_channels_share_their_names_where_there_is_one_channel(config: dict[str, Any]) -> None:
    row = Utterance(id="a", audio="/a.wav", offset_s=1.5)
    of_one, of_several = [], []
    for channels in ("mix", "split", "first"):
        settings = Settings.model_validate({"audio": {"channels": channels}} | json_config(**config))
        hashed = SettingsHash(settings, request_settings(settings.service))
        own = [name for name in (hashed.of(row), hashed.of_written(row)) if name is not None]
        of_one.append(hashed.names(row, one_channel=True))
        of_several.append(hashed.names(row, one_channel=False))
        assert of_several[-1] == of_one[-1][: len(own)] == own
    assert len({frozenset(names) for names in of_one}) == 1
    assert len({name for names in of_several for name in names}) == 3 * len(of_several[0]) == len(of_one[0])


@pytest.mark.parametrize("written", ["beta, alpha", "alpha;beta beta", '["beta", "alpha"]', " alpha,beta, "])
def test_keywords_of_a_row_are_those_of_the_configuration(written: str) -> None:
    config = {"temp": 0.5, "keywords": {"words": ["gamma"]}}
    assert hashes(json_config(**config), metadata={"keywords": written}) == (ALPHA_BETA, None)
    assert hashes(json_config(temp=0.5), metadata={"keywords": written}) == (ALPHA_BETA, None)
    # how they were written before there was a canonical form is of the configuration's
    assert hashes(json_config(delay_in_tokens=24), metadata={"keywords": written})[1] is None


@pytest.mark.parametrize("metadata", [{}, {"keywords": ""}, {"keywords": "[]"}, {"speaker": "alpha"}])
def test_a_row_without_keywords_has_the_hash_that_it_had(metadata: dict[str, str]) -> None:
    assert hashes({}, metadata=metadata) == ("6d27c50f9d678cc98f63f0a623cf7cde", None)


def test_keywords_shape_the_answer_to_each_clip() -> None:
    settings = Settings.model_validate({})
    hashed = SettingsHash(settings, request_settings(settings.service))
    rows = [Utterance(id="a", audio="/a.wav", metadata={"keywords": words}) for words in ("", "a", "a,b", "b a")]
    assert [len({hashed.of_answers(row) for row in rows[:n]}) for n in (1, 2, 3, 4)] == [1, 2, 3, 3]
