"""What an error of an object store says: by the status and code of its answer, or by what the connection did. Pure.

The library has few classes of errors; their texts have the rest, and the address of the request, which is not shown.
"""

from __future__ import annotations

import html
import re

from pipeline.errors import (
    AddressRefused,
    AttemptError,
    AudioForbidden,
    AudioMissing,
    SourceFault,
    SourceTimeout,
    SourceUnreachable,
    SourceUntrusted,
)
from pipeline.source.addresses import place_of, scheme_of
from pipeline.texts import visible

MAX_SAID = 300
CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_REGION",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or log in by `gcloud auth application-default login`",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN",
}
"""What tells the credentials of each cloud."""
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>")
_OS_MESSAGE = re.compile(r'message: "([^"]{1,200})"')
_KIND = re.compile(r"kind: (Timeout|Connect)\b")
_URL = re.compile(r"(?<=https://)\S+|(?<=http://)\S+")
_KEY = re.compile(r"(?:for path|at location) .*(?=: Error performing| not found: )")
_ASKS_MACHINE = re.compile(r"performing [A-Z]+ http://(?:169\.254\.|metadata\.google)")
"""Credentials of the machine are asked for where no others are found."""
_NO_CREDENTIALS = re.compile(r"token request|token file|must be specified|missing|credential", re.I)
_LISTED = re.compile(r'path: "(.{1,200}?)"?,\n')
_BARE_REDIRECT = "redirect without LOCATION"
_OF_CREDENTIALS = re.compile(
    r"ExpiredToken|InvalidToken|AuthorizationHeaderMalformed|PermanentRedirect|IllegalLocation|RequestTimeTooSkewed"
)
"""Codes of refusals that come with 301 or 400; an answer to HEAD has none."""
_UNTRUSTED = re.compile(r"certificate", re.I)


def failure(address: str, error: Exception) -> AttemptError:
    """The AttemptError for an error of the library."""
    text = str(error)
    begins, said = _begins(text), _said(text)
    words = _URL.sub("", begins)
    place, status, hint = place_of(address), _status(text), CREDENTIALS[scheme_of(address)]
    if status == 404:
        if _is_no_bucket(text):
            return AudioMissing(f"there is no bucket {place}", http_status=status)
        return AudioMissing("there is no such object", http_status=status)
    if _ASKS_MACHINE.search(begins) or _NO_CREDENTIALS.search(words):
        return AudioForbidden(
            f"no credentials for {place} were found: set {hint}; what is public is read without, once it is named: "
            f'sources.anonymous = ["{place}"]'
        )
    is_of_credentials = status in (301, 400) and (_OF_CREDENTIALS.search(text) or "performing HEAD" in words)
    if status in (401, 403) or is_of_credentials:
        return AudioForbidden(f"{place} answered HTTP {status}{said}: check {hint}", http_status=status)
    if _BARE_REDIRECT in words:
        return AudioForbidden(f"{place} is in another region than it was asked for in: check {hint}", http_status=301)
    if status is not None:
        return SourceFault(f"{place} answered HTTP {status}{said}", http_status=status)
    if _UNTRUSTED.search(_URL.sub("", text)):
        return SourceUntrusted(f"the certificate of {place} is not trusted here")
    kind = _KIND.search(text)
    if kind and kind[1] == "Timeout":
        return SourceTimeout(f"{place} did not answer in time; see sources.timeout_s")
    if kind:
        why = "its name cannot be found" if "dns error" in text else _os_message(text)
        return SourceUnreachable(f"{place} cannot be reached: {why}")
    if "object with invalid path" in words:
        key = _LISTED.search(text)
        return AddressRefused(
            f'{place} lists an object whose key cannot be asked for, "{visible(key[1]) if key else ""}": rename it, '
            "or name the other objects in a manifest"
        )
    if isinstance(error, ValueError):
        return AddressRefused("the object's key cannot be asked for; name it otherwise")
    return SourceFault(f"the answer of {place} broke off or made no sense")


def unusable(address: str, error: Exception) -> AttemptError:
    """The AttemptError for an error of the library that comes before anything was asked."""
    found = failure(address, error)
    if isinstance(found, AudioForbidden):
        return found
    hint = CREDENTIALS[scheme_of(address)]
    return AudioForbidden(f"the settings for {place_of(address)} in the environment cannot be used: check {hint}")


def is_outside(error: Exception) -> bool:
    """Whether a part was asked for that begins after the end."""
    return _status(str(error)) == 416


def _status(text: str) -> int | None:
    found = _STATUS.search(text)
    return int(found[1]) if found else None


def _begins(text: str) -> str:
    """What the library itself says, without the key and the answer, which may be any words."""
    return _KEY.sub("", text.partition("\n")[0].partition(" - Server returned")[0])


def _is_no_bucket(text: str) -> bool:
    return any(code in ("NoSuchBucket", "ContainerNotFound") for code in _CODE.findall(text))


def _said(text: str) -> str:
    """The store's own words, to append."""
    found = [html.unescape(one[1]) for pattern in (_CODE, _MESSAGE) if (one := pattern.search(text))]
    return f" ({visible(' '.join(': '.join(found).split())[:MAX_SAID])})" if found else ""


def _os_message(text: str) -> str:
    found = _OS_MESSAGE.search(text)
    return visible(found[1]).lower() if found else "no connection could be made"
