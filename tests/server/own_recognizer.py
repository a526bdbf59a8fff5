"""A recognizer as a user would plug one in."""

from __future__ import annotations

from pipeline.gradium.wire import JsonConfig
from pipeline.server.audio import Sound
from pipeline.server.options import ServerOptions
from pipeline.server.recognizer import RecognizedWord


class Parrot:
    """Says how long the sound was; fails on silence."""

    def __init__(self, options: ServerOptions) -> None:
        self.options = options

    async def start(self) -> None:
        """Nothing to warm up."""

    async def recognize(self, sound: Sound, config: JsonConfig) -> list[RecognizedWord]:
        """Returns two words."""
        if not any(sound.samples):
            raise ValueError("nothing to say")
        return [RecognizedWord(f"{sound.duration_s:g}", 0.0, 0.5), RecognizedWord("seconds", 0.5, 1.0)]

    async def close(self) -> None:
        """Nothing to end."""
