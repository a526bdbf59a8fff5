"""What the arguments of a command name: folders, some recordings of a folder, and files and streams of rows.

A recording or a glob is a folder of which only a part is taken: its ids are those that the folder gives. Asks the file
system what the arguments are; reads no rows.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from pipeline.errors import ManifestError
from pipeline.formats import AUDIO_EXTENSIONS
from pipeline.manifest.directory import Folder, Recordings
from pipeline.manifest.rows import Warn, log, printable
from pipeline.manifest.search import Ignored, Search, ending, is_glob
from pipeline.manifest.tables import KINDS, READERS, STDIN, Table
from pipeline.model import BadRow, Utterance
from pipeline.source.spelling import plain_path

Input = Table | Folder | Recordings


def inputs_of(
    arguments: Sequence[str],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    ignored: Ignored | None = None,
    on_step: Callable[[], None] = lambda: None,
    warn: Warn = log.warning,
) -> list[Input]:
    """What is to be read, in the order given, the same manifest once.

    `include` and `exclude` are patterns for the files of folders and globs; what is left out there goes to `ignored`.
    Raises ManifestError for what is not there or of no known kind.
    """
    search = partial(Search, include=include, exclude=exclude, on_step=on_step, ignored=ignored)
    found: list[Input | str] = []
    for argument in _manifests_in_globs(arguments):
        source = argument if argument == STDIN else _named(argument)
        if source == STDIN:
            found.append(Table(source, warn))
        elif os.path.isdir(source):
            found.append(Folder(source, source, search()))
        elif is_glob(source) and not os.path.lexists(source):
            root, pattern = parted(source)
            if not os.path.isdir(root):
                raise ManifestError(f"{source}: there is no folder {root}; a manifest is {KINDS}.")
            found.append(Folder(source, root, search(glob=pattern)))
        elif source.lower().endswith(AUDIO_EXTENSIONS) and os.path.lexists(source):  # also a link that leads nowhere
            found.append(os.path.abspath(source))
        else:
            found.append(Table(source, warn))
    parts = _without_repeats(_gathered(found))
    if (include or exclude) and not any(isinstance(part, Folder) for part in parts):
        raise ManifestError(
            "--include and --exclude choose among the files of folders and globs; "
            f"{', '.join(part.source for part in parts[:3])} names what it means itself."
        )
    return parts


def path_of(arguments: Sequence[str]) -> str:
    """What tells these arguments from others as a whole: the path of one, of recordings and globs the folder that they
    are part of, of several the folder that all of them are in; - for nothing but stdin."""
    try:
        return common_path([part.path for part in inputs_of(arguments)])
    except ManifestError:  # raised again when they are read
        return common_path(arguments)


def common_path(found: Iterable[str]) -> str:
    """The same of the places of parts."""
    found = list(dict.fromkeys(found))
    places = [place for place in found if place != STDIN]
    if places and len(found) > 1:
        folders = (place if os.path.isdir(place) else os.path.dirname(place) for place in places)
        return os.path.commonpath([os.path.abspath(folder) for folder in folders])
    return places[0] if places else STDIN


def parted(pattern: str) -> tuple[str, str]:
    """The folder before the first part of a glob that is a pattern, and the rest of it."""
    names = pattern.split("/")
    first = next(number for number, name in enumerate(names) if is_glob(name))
    root = "/".join(names[:first])
    return root or ("/" if pattern.startswith("/") else "."), "/".join(names[first:])


def _named(argument: str) -> str:
    try:
        source = argument if os.path.lexists(argument) else plain_path(argument)
    except ValueError as error:
        if "null byte" not in str(error) and "surrogates" not in str(error):
            raise ManifestError(f"{error}.") from None
        source = argument
    if not source or printable(source) != source:
        raise ManifestError(
            f"{printable(source)!r} cannot name a manifest: it is empty, holds control characters or is not UTF-8."
        )
    if uri := re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", source):
        raise ManifestError(
            f"{source}: manifests at {uri[0]} addresses are not supported yet; copy it here and name the file."
        )
    return source


def _manifests_in_globs(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, with the files in place of a glob that names the ending of a manifest."""
    for argument in arguments:
        if is_glob(argument) and ending(argument) in READERS and not os.path.lexists(argument):
            named = _named(argument)
            found = sorted(glob.glob(named, recursive=True))
            if not found:
                raise ManifestError(f"{named}: there is no such file; a manifest is {KINDS}.")
            yield from found
        else:
            yield argument


def _gathered(found: Sequence[Input | str]) -> list[Input]:
    """Recordings of one folder together, where the first of them stands."""
    ids = _ids(dict.fromkeys(one for one in found if isinstance(one, str)))
    root_of = {path: path[: -len(id_)].rstrip("/") or "/" for path, id_ in ids.items()}
    of_root: dict[str, list[str]] = {}
    for path, id_ in ids.items():
        of_root.setdefault(root_of[path], []).append(id_)
    parts: list[Input] = []
    for one in found:
        if not isinstance(one, str):
            parts.append(one)
        elif names := of_root.pop(root_of[one], None):
            parts.append(Recordings(root_of[one], names))
    return parts


def _ids(paths: Iterable[str]) -> dict[str, str]:
    """The file's name for each path; where two have the same, as many of the folders above as tell them apart."""
    length = dict.fromkeys(paths, 1)
    while True:
        ids = {path: "/".join(path.lstrip("/").split("/")[-count:]) for path, count in length.items()}
        taken = Counter(ids.values())
        alike = [path for path, id_ in ids.items() if taken[id_] > 1 and len(id_) < len(path.lstrip("/"))]
        if not alike:
            return ids
        for path in alike:
            length[path] += 1


def _without_repeats(parts: Sequence[Input]) -> list[Input]:
    """The same manifest only once."""
    seen: set[str] = set()
    left = []
    for part in parts:
        # a link to a manifest is another one: its paths count from another folder
        place = os.path.join(os.path.realpath(os.path.dirname(part.path)), os.path.basename(part.path))
        if part.is_folder or place not in seen:
            left.append(part)
        seen.add(place)
    return left


def without_overlaps(parts: Sequence[Input]) -> Iterator[tuple[Input, Iterator[Utterance | BadRow]]]:
    """The rows of each part, each file once: of two folders it is the outer one's, of one folder the first part's."""
    roots = [os.path.realpath(part.path) for part in parts]
    for number, part in enumerate(parts):
        own = roots[number]
        before = [
            (other, os.path.join(root, ""))
            for at, (other, root) in enumerate(zip(parts, roots, strict=True))
            if other.is_folder and (at < number if own == root else own.startswith(os.path.join(root, "")))
        ]
        yield part, _not_of(before, own, part) if part.is_folder and before else iter(part)


def _not_of(before: Sequence[tuple[Input, str]], own: str, part: Input) -> Iterator[Utterance | BadRow]:
    for row in part:
        path = f"{own}/{row.id}"
        if row.id is None or not any(path.startswith(root) and one.covers(path[len(root) :]) for one, root in before):
            yield row
