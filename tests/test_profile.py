"""What the client knows of the service is what the local server takes, each from its own constants."""

from __future__ import annotations

import pytest

from pipeline.gradium import wire
from pipeline.profile import GRADIUM


def test_the_profile_and_the_local_server_say_the_same() -> None:
    assert GRADIUM.url.endswith(wire.PATH)
    assert GRADIUM.balance_path == wire.CREDITS_PATH
    assert (GRADIUM.sample_rate, GRADIUM.frame_s) == (wire.MODEL_RATE, wire.FRAME_S)
    assert GRADIUM.max_request_s <= wire.MAX_AUDIO_S
    assert GRADIUM.credits_per_s("default") == GRADIUM.credits_per_s("another") == wire.CREDITS_PER_S
    assert GRADIUM.credits_per_s(wire.TRANSLATING) == wire.TRANSLATING_CREDITS_PER_S
    assert set(GRADIUM.content_types) <= wire.CONTENT_TYPES.keys()
    assert GRADIUM.wav_bits == wire.WAV_BITS
    assert GRADIUM.languages == wire.LANGUAGES
    assert GRADIUM.delays_in_frames == wire.DELAYS_IN_FRAMES
    assert GRADIUM.delay_range[1] == wire.LONGEST_DELAY
    assert GRADIUM.default_delay_in_frames == wire.DEFAULT_DELAY_IN_FRAMES
    assert (GRADIUM.temp, GRADIUM.padding_bonus) == (wire.TEMP_RANGE, wire.PADDING_BONUS_RANGE)
    assert (GRADIUM.boost, GRADIUM.max_keywords) == (wire.BOOST_RANGE, wire.MAX_KEYWORDS)


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("http://localhost:8000/api", True),
        ("http://127.0.0.1/api", True),
        ("http://[::1]:8000/api", True),
        ("https://api.gradium.ai/api", False),
        ("http://localhost.example.org/api", False),
        ("http://127.0.0.1.example.org/api", False),
    ],
)
def test_only_this_machine_is_this_machine(url: str, is_here: bool) -> None:
    assert GRADIUM.is_this_machine(url) == is_here
