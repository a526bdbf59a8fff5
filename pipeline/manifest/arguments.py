"""What the arguments of a command name: folders, some recordings of a folder, and files and streams of rows.

A recording or a glob is a folder of which only a part is taken: its ids are those that the folder gives. Asks the file
system what the arguments are; reads no rows.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from pipeline.errors import ManifestError
from pipeline.formats import AUDIO_EXTENSIONS
from pipeline.manifest import directory
from pipeline.manifest.ignored import Ignored
from pipeline.manifest.patterns import Glob, Pick, ending, is_glob
from pipeline.manifest.rows import Warn, log, printable
from pipeline.manifest.source import KINDS, READERS, STDIN, table
from pipeline.model import BadRow, Utterance
from pipeline.spelling import plain_path


class Table:
    """A manifest that has rows."""

    is_folder = False

    def __init__(self, source: str, warn: Callable[[str], None]) -> None:
        """Raises ManifestError where it is of no known kind."""
        self.source = source
        self.place = source
        """What tells it from others: its path, or - for stdin."""
        self._rows = table(source, warn)

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        return self._rows

    def asks_for(self, id_: str) -> bool:
        """Whether the row of this id would be one of these rows, were it there."""
        return True


class Folder:
    """The recordings below a folder, or those that are picked."""

    is_folder = True

    def __init__(self, source: str, root: str, search: directory.Search) -> None:
        self.source = source
        self.place = os.path.abspath(root)  # noqa: PTH100  not resolve: the symlinks in the user's path stay
        self._search = search

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        return directory.read(self.place, self._search, self.source)

    def asks_for(self, id_: str) -> bool:
        """Whether the file of this path below the folder would be a row, were it there."""
        return self._search.asks_for(id_)


class Recordings:
    """Recordings that were named one by one, of one folder."""

    is_folder = True

    def __init__(self, root: str, names: Iterable[str]) -> None:
        self.source = self.place = root
        self._names = dict.fromkeys(names)

    def __iter__(self) -> Iterator[Utterance | BadRow]:
        top = os.path.join(self.place, "")  # noqa: PTH118  as in a search
        for name in self._names:
            yield directory.record(self.source, top, name, _irregular(top + name))

    def asks_for(self, id_: str) -> bool:
        """Whether the file was named."""
        return id_ in self._names


Part = Table | Folder | Recordings


def read_manifest(
    source: str,
    *,
    extensions: Sequence[str] = AUDIO_EXTENSIONS,
    on_step: Callable[[], None] = directory.go_on,
    warn: Warn = log.warning,
) -> Iterator[Utterance | BadRow]:
    """Streams the rows of one argument in their order. A row that cannot be an utterance comes as a `BadRow` in its
    place. `on_step` is called now and then while a folder is searched, and may raise to end it: the first row may be
    far off. Raises as `parts_of` and `source.table` do."""
    return chain.from_iterable(parts_of([source], extensions=extensions, on_step=on_step, warn=warn))


def parts_of(
    arguments: Sequence[str],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    extensions: Sequence[str] = AUDIO_EXTENSIONS,
    ignored: Ignored | None = None,
    on_step: Callable[[], None] = directory.go_on,
    warn: Warn = log.warning,
) -> list[Part]:
    """What is to be read, in the order given, the same manifest once.

    `include` and `exclude` are patterns for the files of folders and globs; what is left out there goes to `ignored`.
    Raises ManifestError for what is not there or of no known kind.
    """
    pick = Pick(include, exclude) if include or exclude else None

    def search(glob: Glob | None) -> directory.Search:
        return directory.Search(extensions, glob=glob, pick=pick, on_step=on_step, ignored=ignored)

    found: list[Part | str] = []
    for argument in _manifests_in_globs(arguments):
        source = argument if argument == STDIN else _named(argument)
        if source != STDIN and os.path.isdir(source):  # noqa: PTH112  as for the recordings
            found.append(Folder(source, source, search(None)))
        elif source != STDIN and is_glob(source) and not os.path.lexists(source):
            root, pattern = parted(source)
            if not os.path.isdir(root):  # noqa: PTH112
                raise ManifestError(f"{source}: there is no folder {root}; a manifest is {KINDS}.")
            found.append(Folder(source, root, search(Glob(pattern))))
        elif _is_recording(source, extensions):
            found.append(os.path.abspath(source))  # noqa: PTH100
        else:
            found.append(Table(source, warn))
    parts = _without_repeats(_gathered(found))
    if pick and not any(isinstance(part, Folder) for part in parts):
        raise ManifestError(
            "--include and --exclude choose among the files of folders and globs; "
            f"{', '.join(part.source for part in parts[:3])} names what it means itself."
        )
    return parts


def place_of(arguments: Sequence[str]) -> str:
    """What tells these arguments from others as a whole: the path of one, of recordings and globs the folder that they
    are part of, of several the folder that all of them are in; - for nothing but stdin."""
    try:
        return common_place([part.place for part in parts_of(arguments)])
    except ManifestError:  # which is told when they are read
        return common_place(arguments)


def common_place(found: Iterable[str]) -> str:
    """The same of the places of parts."""
    found = list(dict.fromkeys(found))
    places = [place for place in found if place != STDIN]
    if places and len(found) > 1:
        folders = (place if os.path.isdir(place) else os.path.dirname(place) for place in places)  # noqa: PTH112, PTH120
        return os.path.commonpath([os.path.abspath(folder) for folder in folders])  # noqa: PTH100
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
            found = sorted(glob.glob(named, recursive=True))  # noqa: PTH207  as in a shell
            if not found:
                raise ManifestError(f"{named}: there is no such file; a manifest is {KINDS}.")
            yield from found
        else:
            yield argument


def _is_recording(source: str, extensions: Sequence[str]) -> bool:
    """Whether a file is a recording by its name; a link that leads nowhere is one that is missing."""
    return source.lower().endswith(directory.normalized(extensions)) and os.path.lexists(source)


def _irregular(path: str) -> str:
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except (OSError, ValueError):
        return ""  # its utterance says what is wrong
    return "" if stat.S_ISREG(mode) else directory.IRREGULAR


def _gathered(found: Sequence[Part | str]) -> list[Part]:
    """Recordings of one folder together, where the first of them stands."""
    ids = _ids(dict.fromkeys(one for one in found if isinstance(one, str)))
    root_of = {path: path[: -len(id_)].rstrip("/") or "/" for path, id_ in ids.items()}
    of_root: dict[str, list[str]] = {}
    for path, id_ in ids.items():
        of_root.setdefault(root_of[path], []).append(id_)
    parts: list[Part] = []
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


def _without_repeats(parts: Sequence[Part]) -> list[Part]:
    """The same manifest only once."""
    seen: set[str] = set()
    left = []
    for part in parts:
        # a link to a manifest is another one: its paths count from another folder
        place = os.path.join(os.path.realpath(os.path.dirname(part.place)), os.path.basename(part.place))  # noqa: PTH118, PTH119, PTH120
        if part.is_folder or place not in seen:
            left.append(part)
        seen.add(place)
    return left
