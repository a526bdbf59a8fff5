"""Utterances of one audio and the same settings in one run: the first leads, the others follow it.

They share what the service says about the audio, its transcript or its refusal. Where the leader's own file fails, the
next of them takes its place. Of those that are many only the numbers are kept, and they are handed out again when it is
known what their leader leads to.
"""

from __future__ import annotations

from array import array

from pipeline.checkpoint import Identity, Selected
from pipeline.failures import consequence_of
from pipeline.run.given_up import GivenUp
from pipeline.run.joining import Leader
from pipeline.run.verdicts import Verdicts

MOST_FOLLOWERS = 100
"""Rows that are kept with their leader; of more there are only the numbers."""


class Duplicates:
    """The leaders and followers of one run."""

    def __init__(self) -> None:
        self._leaders: dict[Identity, Leader] = {}
        self._given_up = Verdicts()
        """What the service refused for its audio, and what failed while many followed it: a copy that comes later is
        not sent."""
        self._sent_in_part: dict[Identity, float] = {}
        """What was passed over for the budget after requests were sent for it, with the credits it still needs."""
        self._again: list[Selected] = []
        self._later = array("q")
        """Numbers of rows that are to be looked at again."""

    def refusal(self, identity: Identity) -> GivenUp | None:
        """Why this audio gets no transcript in this run, where that is known."""
        return self._given_up.of(identity)

    def sent_in_part(self, identity: Identity) -> float | None:
        """What this audio still needs, where it was sent in this run as far as the budget let it. A copy that comes
        later is not sent: the answers may not be in the checkpoint yet."""
        return self._sent_in_part.get(identity)

    def lead(self, selected: Selected, identity: Identity, marks: bytes) -> Leader | None:
        """The utterance as the one that is prepared and sent; None where it follows one that is under way."""
        leader = self._leaders.get(identity)
        if leader is not None:
            if len(leader.followers) < MOST_FOLLOWERS:
                leader.followers.append(selected)
            else:
                leader.more.append(selected.n)
            return None
        self._leaders[identity] = leader = Leader(selected, identity, marks)
        return leader

    def settle(self, leader: Leader, given_up: GivenUp | None = None) -> list[Selected]:
        """What it leads to is known, or for the next one to find out. Returns all it stood for, itself first, but for
        those that only their numbers are kept of."""
        del self._leaders[leader.identity]
        if given_up is not None and _is_of_all(given_up, leader):
            self._given_up.keep(leader.identity, given_up)
        elif leader.needs and (leader.requests or leader.more):
            self._sent_in_part[leader.identity] = leader.needs
        self._later.extend(leader.more)
        return [leader.selected, *leader.followers]

    def look_again(self, followers: list[Selected]) -> None:
        """The file of their leader failed, which says nothing about theirs."""
        self._again.extend(followers)

    def again(self) -> list[Selected]:
        """Those that are to be looked at again, each once."""
        again, self._again = self._again, []
        return again

    def later(self) -> list[int]:
        """Numbers of the next of those that are to be looked at again."""
        numbers = self._later[-MOST_FOLLOWERS:].tolist()
        del self._later[-MOST_FOLLOWERS:]
        return numbers

    @property
    def has_more(self) -> bool:
        """Whether there are some that are to be looked at again."""
        return bool(self._again or self._later)

    def close(self) -> None:
        """Lets go of what was kept for later copies."""
        self._given_up.close()


def _is_of_all(given_up: GivenUp, leader: Leader) -> bool:
    """Whether copies that come later share it."""
    error = given_up.error
    if error is None:
        return False  # it is known, and found again
    follows = consequence_of(error)
    return follows.is_of_the_audio or bool(leader.more and not follows.is_of_the_file)
