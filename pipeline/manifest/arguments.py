"""The inputs that a command's arguments name: folders, recordings, globs, and files and streams of rows.

Recordings and globs are parts of a folder, with the same ids as from the whole folder. Reads no rows.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from pipeline.errors import ManifestError
from pipeline.formats import AUDIO_EXTENSIONS
from pipeline.manifest.addresses import named_at
from pipeline.manifest.directory import Folder, Recordings
from pipeline.manifest.prefix import Prefix
from pipeline.manifest.rows import Warn, log, printable
from pipeline.manifest.search import Ignored, Search, is_glob
from pipeline.manifest.tables import KINDS, STDIN, Table, suffix_of
from pipeline.model import BadRow, Utterance
from pipeline.queries import unsigned
from pipeline.source import Sources
from pipeline.source.addresses import folder_of, is_address, path_in, place_of, scheme_of
from pipeline.source.spelling import plain_path

Input = Table | Folder | Recordings | Prefix


def inputs_of(
    arguments: Sequence[str],
    sources: Sources,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    ignored: Ignored | None = None,
    on_step: Callable[[], None] = lambda: None,
    warn: Warn = log.warning,
) -> list[Input]:
    """The inputs in the order given, each manifest once.

    Manifests and folders at addresses are read from `sources`, which keep the signatures of URLs.
    `include` and `exclude` are patterns for the files of folders and globs; `ignored` counts what they leave out.
    Raises ManifestError for an argument that does not exist or is of no known kind.
    """
    search = partial(Search, include=include, exclude=exclude, on_step=on_step, ignored=ignored)
    found: list[Input | str] = []
    for argument in _manifests_in_globs(arguments):
        source = argument if argument == STDIN else _named(argument)
        if source == STDIN:
            found.append(Table(source, sources, warn))
        elif "://" in source:
            found.append(named_at(source, sources, search, warn))
        elif os.path.isdir(source):
            found.append(Folder(source, source, search(), sources, warn))
        elif is_glob(source) and not os.path.lexists(source):
            root, pattern = _split_glob(source)
            if not os.path.isdir(root):
                raise ManifestError(f"{source}: there is no folder {root}; a manifest is {KINDS}.")
            found.append(Folder(source, root, search(glob=pattern), sources, warn))
        elif source.lower().endswith(AUDIO_EXTENSIONS) and os.path.lexists(source):  # also a broken link
            found.append(os.path.abspath(source))
        else:
            found.append(Table(source, sources, warn))
    inputs = _without_repeats(_grouped(found))
    if (include or exclude) and not any(isinstance(one, Folder | Prefix) for one in inputs):
        raise ManifestError(
            "--include and --exclude choose among the files of folders and globs; "
            f"there is neither, only {', '.join(one.source for one in inputs[:3])}."
        )
    return inputs


def path_of(arguments: Sequence[str]) -> str:
    """The path that identifies these arguments together: of a single one its own, for recordings and globs that of
    their folder; of several their common folder; - for stdin alone."""
    try:
        return common_path([one.path for one in inputs_of(arguments, Sources())])
    except ManifestError:  # raised again when they are read
        return common_path(map(unsigned, arguments))


def common_path(paths: Iterable[str]) -> str:
    """`path_of` for the paths of inputs."""
    distinct = list(dict.fromkeys(paths))
    files = [path for path in distinct if path != STDIN]
    if not files or len(distinct) == 1:
        return files[0] if files else STDIN
    folders = [_folder_of(path) for path in files]
    place = place_of(folders[0])
    if any(place_of(folder) != place for folder in folders):
        return "/"  # nothing in common
    return place + os.path.commonpath([folder[len(place) :] or "/" for folder in folders]).rstrip("/" if place else "")


def _folder_of(path: str) -> str:
    """The folder that an input's path is or is in."""
    if is_address(path):
        return folder_of(path)[:-1] if suffix_of(path_in(path)) else path
    return os.path.abspath(path if os.path.isdir(path) else os.path.dirname(path))


def _split_glob(pattern: str) -> tuple[str, str]:
    """The folder before the first component of a glob that is a pattern, and the rest."""
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
    if "://" in source:
        return source
    if not source or printable(source) != source:
        raise ManifestError(
            f"{printable(source)!r} cannot name a manifest: it is empty, holds control characters or is not UTF-8."
        )
    return source


def _manifests_in_globs(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments, with globs of manifests, such as `*.csv`, replaced by their files."""
    for argument in arguments:
        is_local = scheme_of(argument) in ("", "file")
        if is_local and is_glob(argument) and suffix_of(argument) and not os.path.lexists(argument):
            named = _named(argument)
            found = sorted(glob.glob(named, recursive=True))
            if not found:
                raise ManifestError(f"{named}: there is no such file; a manifest is {KINDS}.")
            yield from found
        else:
            yield argument


def _grouped(found: Sequence[Input | str]) -> list[Input]:
    """The inputs, with the recordings of each folder as one, at the place of the first of them."""
    ids = _ids(dict.fromkeys(one for one in found if isinstance(one, str)))
    root_of = {path: path[: -len(id_)].removesuffix("/") or "/" for path, id_ in ids.items()}
    names_in: dict[str, list[str]] = {}
    for path, id_ in ids.items():
        names_in.setdefault(root_of[path], []).append(id_)
    inputs: list[Input] = []
    for one in found:
        if not isinstance(one, str):
            inputs.append(one)
        elif names := names_in.pop(root_of[one], None):
            inputs.append(Recordings(root_of[one], names))
    return inputs


def _ids(paths: Iterable[str]) -> dict[str, str]:
    """The file name for each path; for equal names with as many parent folders as make them unique."""
    names = {path: _names_of(path) for path in paths}
    length = dict.fromkeys(names, 1)
    while True:
        ids = {path: "/".join(names[path][-count:]) for path, count in length.items()}
        uses = Counter(ids.values())
        ambiguous = [path for path, id_ in ids.items() if uses[id_] > 1 and length[path] < len(names[path])]
        if not ambiguous:
            return ids
        for path in ambiguous:
            length[path] += 1


def _names_of(path: str) -> list[str]:
    """The names of the folders that a recording is in, and its own."""
    base = path_in(path)
    *folders, name = base[len(place_of(path)) :].lstrip("/").split("/")
    return [*folders, name + path[len(base) :]]


def _without_repeats(inputs: Sequence[Input]) -> list[Input]:
    """The inputs, each manifest once."""
    unique: dict[object, Input] = {}
    for one in inputs:
        # the name of a link is not resolved: relative paths in the manifest count from the link's folder
        path = one.path
        if not is_address(path):
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        unique.setdefault(one if one.is_folder else path, one)
    return [*unique.values()]


def without_overlaps(inputs: Sequence[Input]) -> Iterator[tuple[Input, Iterator[Utterance | BadRow]]]:
    """The rows of each input, each file once: the outer of two folders has it, of the same folder the first input."""
    roots = [one.path if is_address(one.path) else os.path.realpath(one.path) for one in inputs]
    for number, one in enumerate(inputs):
        own = roots[number]
        preferred = [
            (other, _below(root))
            for at, (other, root) in enumerate(zip(inputs, roots, strict=True))
            if other.is_folder and (at < number if own == root else own.startswith(_below(root)))
        ]
        yield one, _without(preferred, own, one) if one.is_folder and preferred else iter(one)


def _below(root: str) -> str:
    return root if root == "/" else f"{root}/"


def _without(preferred: Sequence[tuple[Input, str]], own: str, rows: Input) -> Iterator[Utterance | BadRow]:
    for row in rows:
        path = _below(own) + (row.id or "")
        if row.id is None or not any(
            path.startswith(root) and other.covers(path[len(root) :]) for other, root in preferred
        ):
            yield row
