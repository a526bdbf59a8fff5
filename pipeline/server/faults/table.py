"""The one table of fault kinds: what may stand behind `kind =` in a faults file."""

from __future__ import annotations

from pipeline.server.faults import account, connection, messages, refusals, writing
from pipeline.server.faults.fault import Fault

KINDS: dict[str, type[Fault]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        refusals.InternalError,
        refusals.Policy,
        refusals.ProxyRejection,
        refusals.RateLimited,
        refusals.Unavailable,
        refusals.BadGateway,
        refusals.Redirect,
        connection.ConnectionRefused,
        connection.ResetBeforeAnswer,
        connection.ResetInStream,
        connection.Cut,
        connection.Hang,
        connection.Drip,
        account.SessionCap,
        account.KeyRevoked,
        account.CreditsSpent,
        account.SettingsRefused,
        messages.StreamError,
        messages.DuplicateMessages,
        messages.NoEndText,
        messages.NoStopS,
        messages.TimesBackwards,
        messages.OtherDelay,
        messages.NoReady,
        messages.NoEndOfStream,
        writing.MalformedLine,
        writing.InvalidUtf8,
        writing.LongLine,
        writing.OpenEnd,
        writing.Empty200,
        writing.UntidyLines,
        writing.OddChunks,
        writing.UnknownTypes,
    )
}
