"""Errors of sources: why a recording that lies in an object store or on a web server could not be read from there."""

from __future__ import annotations

from pipeline.errors.attempts import AttemptError, ItemError, PassingError
from pipeline.errors.runs import RunError, UsageError


class AddressRefused(ItemError):
    """The address, or one that it redirects to, is private, not encrypted, or no recording's."""


class AudioForbidden(ItemError):
    """The store or server refuses to hand the recording out (401, 403)."""


class NoParts(ItemError):
    """The server hands recordings out as a whole only, where a part was asked for."""


class SourceChanged(PassingError):
    """The recording was replaced while it was read."""


class SourceFault(PassingError):
    """The store or server failed (5xx, 429), or its answer is not what was asked for: another part, another length."""


class SourceTimeout(PassingError):
    """The recording did not arrive within its deadline."""


class SourceUnreachable(PassingError):
    """The store or server cannot be reached."""


class SourceUntrusted(AttemptError):
    """The server's certificate is not valid, or nobody vouches for it who is trusted here."""


class SourceOut(RunError):
    """A store or server could not be reached for longer than `retry.outage_max_s`."""


class SourceRefusesAll(RunError):
    """A store or server refused the first recordings of a run, and handed out none."""


class NoCloud(UsageError):
    """The libraries for object stores are not installed."""
