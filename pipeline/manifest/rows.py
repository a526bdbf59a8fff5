"""Turns the fields of one row into an Utterance, or into a BadRow that says what is wrong with them.

Shared by the readers of all tables; never accesses the file system. Signatures of URLs are kept in no row.
"""

from __future__ import annotations

import logging
import math
import os
import re
import unicodedata
from collections.abc import Callable

from pipeline.model import BadRow, NamedByPath, Utterance
from pipeline.queries import unsigned, without_signatures, without_signed
from pipeline.source.addresses import address_of, beside
from pipeline.source.signatures import Signatures
from pipeline.source.spelling import plain_path
from pipeline.texts import escape

MAX_ID_CHARS = 1_000
MAX_TIME_S = 1e9
MAX_CHANNEL = 32_767
"""Of 16-bit integers, which the output has for channels."""
HIDDEN = ("Cc", "Cs", "Zl", "Zp")
"""Unicode categories that ids may not contain: controls, undecodable bytes, and line ends of some readers."""
Warn = Callable[[str], None]
log = logging.getLogger(__name__)


class RowProblem(ValueError):
    """The message of a BadRow: what is wrong and what to do."""


class Rows:
    """Builds the records of one manifest.

    `manifest` is its name in messages; relative audio paths count from `folder`, a path or an address.
    """

    def __init__(self, manifest: str, folder: str, signatures: Signatures, warn: Warn = log.warning) -> None:
        """`signatures` keeps those of URLs. `warn` is called for problems that are no error of a row."""
        self.manifest = manifest
        self.signatures = signatures
        self.warn = warn
        # abspath, not resolve: paths keep the symlinks in the user's path
        self._is_remote = "://" in folder
        self._prefix = folder if self._is_remote else os.path.join(os.path.abspath(folder), "")

    def beside(self, name: str) -> str:
        """The path of a file in the manifest's folder."""
        return self._prefix + name

    def bad(self, line: int | None, message: str, id: str | None = None) -> BadRow:
        """The BadRow for a row of this manifest, with its `id` if that is a valid one."""
        id = without_signatures(without_signed(id)) if id else None
        message = without_signatures(message)
        return BadRow(manifest=self.manifest, line=line, message=message, id=id if id and is_id(id) else None)

    def utterance(
        self,
        line: int,
        audio: str,
        id: str,
        language: str,
        reference: str,
        offset_s: str | float | None,
        duration_s: str | float | None,
        channel: str | float | None,
        metadata: dict[str, str],
    ) -> Utterance | BadRow:
        """The record of one row, in which "" and None stand for absent values.

        Offsets and durations are seconds, as numbers or as text; the row starts on `line`, from 1.
        """
        try:
            path = self.absolute(audio)
            if path[0] != "/":
                audio, id = (path if "://" in audio else unsigned(audio)), without_signed(id)
                metadata = {key: without_signed(value) for key, value in metadata.items()}
            offset = None if offset_s is None or offset_s == "" else seconds(offset_s, "offset_s")
            duration = None if duration_s is None or duration_s == "" else seconds(duration_s, "duration_s")
            track = None if channel is None or channel == "" else channel_number(channel)
            name = id.strip() or audio + fragment(offset, duration, track)
            # isprintable is stricter than is_id, but fast, and true of most ids
            if (len(name) > MAX_ID_CHARS or not name.isprintable()) and not is_id(name):
                raise RowProblem(id_problem(name, given=bool(id.strip())))
        except RowProblem as problem:
            return self.bad(line, str(problem), id.strip())
        kind = Utterance if id.strip() else NamedByPath
        return kind(
            id=name,
            audio=path,
            language=language.strip().lower() or None if language else None,
            reference=reference if reference and not reference.isspace() else None,
            offset_s=offset or 0.0,
            duration_s=duration,
            channel=track,
            metadata=metadata,
            line=line,
        )

    def absolute(self, audio: str) -> str:
        """The absolute audio path, without `.` and `..`, with symlinks not resolved; or a bare address."""
        if audio[:2] == "./" and audio[2:3] != "/":
            audio = audio[2:]
        if not audio or audio.isspace():
            raise RowProblem("`audio` is empty; name the recording's file.")
        if "\0" in audio:
            raise RowProblem("`audio` holds a NUL character, which no file name can; correct the path.")
        if audio[0] == "~" or "://" in audio or self._is_remote:
            audio = self._named(audio)
            if "://" in audio:
                return audio
        path = audio if audio[0] == "/" else self._prefix + audio
        # normpath takes longer than all else here, and few paths need it
        return os.path.normpath(path) if "./" in audio or "//" in audio or audio[-1] == "." else path

    def _named(self, audio: str) -> str:
        """The local path or the address, without its signature, that is not written as a plain path."""
        try:
            path = plain_path(audio)
            if "://" not in path and path[0] != "/" and self._is_remote:
                path = beside(self._prefix, path)
            path = self.signatures.take(address_of(path)) if "://" in path else path
        except ValueError as error:
            raise RowProblem(f"`audio`: {error}.") from None
        if "\0" in path:
            raise RowProblem("`audio` holds a NUL character, which no file name can; correct the path.")
        return path


def seconds(value: str | float, name: str) -> float:
    """The seconds in a field: `offset_s` from 0, `duration_s` above 0."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    except ValueError:
        raise RowProblem(number_problem(str(value), name)) from None
    if 0 < number <= MAX_TIME_S and not (type(value) is str and "_" in value):  # float() takes 1_000
        return number
    if number == 0 and name == "offset_s":
        return 0.0
    if not math.isfinite(number):
        right = "a finite number of seconds"
    elif number > MAX_TIME_S:
        right = f"at most {MAX_TIME_S:,.0f} seconds"
    elif number > 0:
        right = "a number of seconds, such as 12.5"
    else:
        right = "0 or more" if name == "offset_s" else "above 0, or empty for all of the recording"
    raise RowProblem(f"`{name}` is {shown(value)}; it must be {right}.")


def number_problem(value: str, name: str) -> str:
    """The message for text that is no number."""
    if re.fullmatch(r"\s*-?\d+,\d+\s*", value):
        return f"`{name}` is {shown(value)}, with a decimal comma; write {value.strip().replace(',', '.')}."
    if re.fullmatch(r"\s*\d+(:\d+)+([.,]\d+)?\s*", value):
        return f"`{name}` is {shown(value)}, which looks like a clock time; write it as seconds, such as 12.5."
    return f"`{name}` is {shown(value)}; it must be a number of seconds, such as 12.5."


def channel_number(value: str | float) -> int:
    """The channel in a field, from 0. "1.0" is 1: spreadsheets and pandas write whole columns that way."""
    try:
        number = float(value)
    except (ValueError, OverflowError):
        number = -1.0
    if not number.is_integer() or not 0 <= number <= MAX_CHANNEL or (isinstance(value, str) and "_" in value):
        raise RowProblem(f"`channel` is {shown(value)}; it must be a whole number from 0, the first channel.")
    return int(number)


def fragment(offset_s: float | None, duration_s: float | None, channel: int | None) -> str:
    """The W3C media fragment for a row's span and channel, `#t=10,12.5&channel=1`; "" for a whole recording."""
    if duration_s is None and not offset_s and channel is None:
        return ""
    start_s = offset_s or 0.0
    parts = [] if duration_s is None and not start_s else [f"t={plain(start_s)}"]
    if duration_s is not None:
        parts[0] += f",{plain(start_s + duration_s)}"
    if channel is not None:
        parts.append(f"channel={channel}")
    return "#" + "&".join(parts)


def plain(time_s: float) -> str:
    """Seconds in digits, without trailing zeros, rounding errors of a sum, or an exponent."""
    text = f"{time_s:.12g}"
    return f"{time_s:.9f}".rstrip("0").rstrip(".") if "e" in text else text


def is_id(text: str) -> bool:
    """Whether text is a valid utterance id: not empty, not too long, and without control characters."""
    return 0 < len(text) <= MAX_ID_CHARS and (text.isprintable() or printable(text) == text)


def id_problem(text: str, *, given: bool) -> str:
    """The message for text that is no valid id; without an `id` the audio path is used as one."""
    what = "`id`" if given else "`audio`, which serves as the id because the row has none,"
    if len(text) > MAX_ID_CHARS:
        return f"{what} is {len(text):,} characters long; at most {MAX_ID_CHARS:,} are allowed: give a shorter `id`."
    return f"{what} holds control characters ({shown(text)}); give an `id` without them."


def printable(text: str) -> str:
    """The text with control characters and undecodable bytes as escapes."""
    return "".join(escape(char) if unicodedata.category(char) in HIDDEN else char for char in text)


def shown(value: object) -> str:
    """A value for a message: text in quotes, long values cut."""
    text = repr(value)
    return text if len(text) <= 80 else text[:60] + "…" + text[-1]
