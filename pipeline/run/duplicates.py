"""Utterances of one audio and the same settings in one run: the first leads, the others follow it.

They share what the service says about the audio, its transcript or its refusal. Where the leader's own file fails, the
next of them takes its place. Pure: no I/O.
"""

from __future__ import annotations

from pipeline.checkpoint import Identity, Selected
from pipeline.errors import AudioRefused
from pipeline.run.given_up import GivenUp
from pipeline.run.joining import Leader


class Duplicates:
    """The leaders and followers of one run."""

    def __init__(self) -> None:
        self._leaders: dict[Identity, Leader] = {}
        self._refused: dict[Identity, GivenUp] = {}
        """What the service refused for its audio: a copy that comes later is not sent."""
        self._sent_in_part: dict[Identity, float] = {}
        """What was passed over for the budget after requests were sent for it, with the credits it still needs."""
        self._again: list[Selected] = []

    def refusal(self, identity: Identity) -> GivenUp | None:
        """Why the service has refused this audio in this run."""
        return self._refused.get(identity)

    def sent_in_part(self, identity: Identity) -> float | None:
        """What this audio still needs, where it was sent in this run as far as the budget let it. A copy that comes
        later is not sent: the answers may not be in the checkpoint yet."""
        return self._sent_in_part.get(identity)

    def lead(self, selected: Selected, identity: Identity, marks: bytes) -> Leader | None:
        """The utterance as the one that is prepared and sent; None where it follows one that is under way."""
        leader = self._leaders.get(identity)
        if leader is not None:
            leader.followers.append(selected)
            return None
        self._leaders[identity] = leader = Leader(selected, identity, marks)
        return leader

    def settle(self, leader: Leader, given_up: GivenUp | None = None) -> list[Selected]:
        """What it leads to is known, or for the next one to find out. Returns all it stood for, itself first."""
        del self._leaders[leader.identity]
        if given_up is not None and isinstance(given_up.error, AudioRefused):
            self._refused[leader.identity] = given_up
        elif leader.needs and leader.requests:
            self._sent_in_part[leader.identity] = leader.needs
        return [leader.selected, *leader.followers]

    def look_again(self, followers: list[Selected]) -> None:
        """The file of their leader failed, which says nothing about theirs."""
        self._again.extend(followers)

    def again(self) -> list[Selected]:
        """Those that are to be looked at again, each once."""
        again, self._again = self._again, []
        return again

    @property
    def has_more(self) -> bool:
        """Whether there are some that are to be looked at again."""
        return bool(self._again)
