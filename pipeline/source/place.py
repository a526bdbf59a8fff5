"""What a run knows of one bucket or host: whether it answers, refuses, or is out."""

from __future__ import annotations

from pipeline.source.addresses import OBJECTS, scheme_of


class Place:
    """What is known of one bucket or host. Guarded by the lock of its `Outages`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.waits = scheme_of(name) in OBJECTS
        """An outage of it is waited out, also where other sources answer: unlike of one host of many on the web."""
        self.failed: list[str] = []
        """Recordings of the last failures in a row."""
        self.answered_at = 0.0
        self.not_described = 0
        """Recordings that it did not describe, since it last answered."""
        self.out_since: float | None = None
        self.is_out_alone = False
        """Others answer meanwhile, so that its recordings fail."""
        self.given_up = ""
        """Why nobody waits any longer."""
        self.next_probe = self.pause_s = 0.0
        self.is_probed = False
        self.answered = ""
        """A recording that it answered for."""
        self.has_answered = False
        """It described or handed out something, or listed it."""
        self.has_handed_out = False
        """Some recording, so that refusals are those of single ones."""
        self.refused: set[str] = set()
        """Recordings, before the first that it handed out."""
