"""Advice for each class of error, in a sentence. Pure."""

from __future__ import annotations

HINTS = {
    "AudioMissing": "put the file where the manifest points, or fix the path; the next run does it then",
    "AudioUnreadable": "replace the file by one that plays; the next run does it then",
    "AudioUnsupported": "convert the file, e.g. with ffmpeg -i IN -ac 1 OUT.wav",
    "AudioTruncated": "replace the file by a whole one; audio.allow_truncated = true with --only failed "
    "transcribes what there is, also in place of a transcript of the whole",
    "AudioEmpty": "record or copy the file again",
    "RecordingTooLong": "cut the recording, or raise the setting that the message names and run with --only failed",
    "SpanOutside": "fix offset_s, duration_s or channel of the row",
    "BadManifestRow": "fix the row in the manifest",
    "AudioRefused": "the service does not take this file; convert or replace it, or ask for it with --only failed",
    "KeywordsRefused": "the service does not take the keywords of this row; change them in the manifest",
    "RepeatedStreamError": "the service fails on this file each time; convert or replace it, or report it",
    "ServerFault": "the service failed inside; coming runs try again",
    "ConnectionFailed": "the connection broke; coming runs try again",
    "AttemptTimeout": "no answer in time; coming runs try again, raise timeouts.* if that is too short",
    "StreamCut": "the answer broke off; coming runs try again",
    "StreamMalformed": "the answer was malformed; coming runs try again",
    "CompressedAnswer": "something on the way compresses the answers: have it leave them as they are",
    "EmptyAnswer": "the service answered with nothing; coming runs try again",
    "UnconfirmedSilence": "the answer held no words and did not say that it was complete; coming runs ask again",
    "StreamError": "the service gave up in mid-answer; coming runs try again",
    "Redirected": "something redirects the requests elsewhere: check service.url and the network",
    "AudioUnavailable": "the file could not be read or decoded at that moment; the next run tries again",
    "AddressRefused": "the row's address, or one that it redirects to, may not be read from; see its message",
    "AudioForbidden": "the store or server refuses it: check the credentials or the signed address, then run again",
    "SourceChanged": "the recording was replaced again and again while it was read; the next run tries again",
    "SourceFault": "the store or server failed, or answered wrongly; the next run tries again",
    "SourceTimeout": "the recording did not arrive in time; the next run tries again, raise sources.* if that is short",
    "SourceUnreachable": "the server could not be reached; the next run tries again",
    "ConcurrencyLimit": "the service broke off for its limits in mid-answer; coming runs try again",
    "RateLimited": "the service broke off for its limits in mid-answer; coming runs try again",
    "SettingsRefused": "the service refused settings that it took before; coming runs try again",
    "ProtocolFault": "gradium-batch broke the service's protocol: please report the words",
    "AccountDoubted": "the service blamed the account, which its balance did not confirm; coming runs try again",
    "AccessDenied": "something on the way (a firewall, a proxy) refuses this recording; coming runs try again",
    "UnconfirmedRefusal": "the service answered nothing else meanwhile, so this may pass; coming runs try again",
    "UnknownFault": "a refusal that no rule knows: please report its words",
}
DEFAULT = "see docs/output.md"
