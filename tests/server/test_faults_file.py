"""A faults file that is wrong: one sentence that says where, what, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.server.faults.plan import KINDS, load_plan


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[fault]\n", "no valid TOML"),
        ("sead = 3", "unknown key 'sead', did you mean 'seed'?"),
        ('seed = "3"', "seed is a whole number"),
        ('[fault]\nkind = "hang"', "under [[fault]] in double brackets"),
        ("[[fault]]\ntimes = 1", "fault 1 has no kind; give it one of: internal_error, policy"),
        (
            '[[fault]]\nkind = "hang"\n[[fault]]\nkind = "hangs"',
            "fault 2 has an unknown kind 'hangs', did you mean 'hang'?",
        ),
        ("[[fault]]\nkind = 5", "unknown kind 5; there are: internal_error"),
        ('[[fault]]\nkind = "cut"\nat_bite = 3', "fault 1 (cut) has an unknown key 'at_bite', did you mean 'at_byte'?"),
        ('[[fault]]\nkind = "cut"', "missing required field at_byte"),
        ('[[fault]]\nkind = "cut"\nat_byte = "x"', "at_byte: expected int, got str"),
        ('[[fault]]\nkind = "hang"\nprobability = 2', "probability: expected float <= 1.0"),
        ('[[fault]]\nkind = "hang"\nsha256 = "abc"', "sha256: expected str matching regex '^[0-9a-f]{64}$'"),
        ('[[fault]]\nkind = "hang"\nfile = "gone.wav"', "gone.wav cannot be read: No such file or directory"),
        ('[[fault]]\nkind = "session_cap"\ncap = 2\nthen_cap = 3', "then_cap goes together with"),
        ('[[fault]]\nkind = "session_cap"\ncap = 2\nresponse = "x"', "response: invalid enum value 'x'"),
        ('[[fault]]\nkind = "session_cap"\ncap = 2\ndress = "x"', "response: invalid enum value 'x'"),
        ('[[fault]]\nkind = "hang"\nprobability = nan', "probability: expected float"),
        ('[[fault]]\nkind = "connection_refused"\nfor_s = 0', "for_s: expected float > 0.0"),
        ('[[fault]]\nkind = "hang"\nuntil_requests = 0', "until_requests is larger than after_requests"),
        ('[[fault]]\nkind = "hang"\ntimes = 0', "times: expected int >= 1"),
    ],
)
def test_mistakes_are_told_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=re.escape(sentence)) as raised:
        load_plan(path)
    message = str(raised.value)
    assert str(path) in message
    assert "\n" not in message


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load_plan(tmp_path / "gone.toml")


def test_each_kind_is_described_and_refuses_keys_it_does_not_know() -> None:
    for kind in KINDS.values():
        assert kind.__doc__
        assert kind.__struct_config__.forbid_unknown_fields
