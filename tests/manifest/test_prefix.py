"""Prefixes of object stores as manifests: the same recordings as in a local folder with the same files."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import AudioForbidden, EmptyFolder, ManifestError, SourceUnreachable
from pipeline.manifest import Ignored, inputs_of, path_of
from pipeline.manifest.arguments import without_overlaps
from pipeline.model import BadRow
from pipeline.source import FileInfo, Listed, Sources
from tests.manifest.reading import bad, good
from tests.manifest.stored import Stored

NAMES = st.sampled_from(["a.wav", "b.MP3", ".c.wav", "d.txt", "e", "calls", ".git", "tmp", "x.dat", "[1].wav", "é.wav"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.sampled_from(["*.wav", "calls/**", "tmp/", "calls/*.wav", "*.dat", ".*", "nothing*", "/a.wav", "?.wav"])
GLOBS = st.sampled_from(["", "/*.wav", "/**/*.wav", "/calls/*", "/*/?.wav", "/.*/*.wav", "/calls/**/b*"])


def outcome(argument: str, sources: Sources, root: str, **options: object) -> tuple[object, ...]:
    """All that reading an argument tells."""
    ignored = Ignored()
    try:
        (part,) = inputs_of([argument], sources, ignored=ignored, **options)  # type: ignore[arg-type]
        rows = sorted(part, key=lambda row: row.id or "")
    except ManifestError as error:
        said = str(error).replace(root, "").replace("this prefix", "this folder")
        return type(error), said
    ids = [(row.id, row.audio.removeprefix(root)) for row in good(rows)]
    return ids, dict(ignored.files), dict(ignored.folders), sorted(part.unmatched)  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(st.sets(PATHS, max_size=12), GLOBS, st.lists(PATTERNS, max_size=2), st.lists(PATTERNS, max_size=2))
@example({"a.wav", "calls/a.wav", "tmp/.git/x.dat"}, "", ["*.dat"], ["tmp/"])
def test_a_prefix_is_read_as_a_folder_is(paths: set[str], glob: str, include: list[str], exclude: list[str]) -> None:
    files = {path for path in paths if not any(other.startswith(f"{path}/") for other in paths)}
    with TemporaryDirectory() as folder:
        for path in files:
            (Path(folder) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(folder) / path).touch()
        stored = Stored({f"s3://b/{path}": b"" for path in files})
        options = {"include": include, "exclude": exclude}
        here = outcome(f"{folder}{glob}", Sources(), folder, **options)
        assert outcome(f"s3://b{glob}", stored.sources(), "s3://b", **options) == here or "no folder" in here[1]


@pytest.mark.parametrize("argument", ["s3://b", "s3://b/", "S3://b/calls", "s3://b/calls/", "s3://b/calls/*"])
def test_versions_come_with_the_listing(argument: str) -> None:
    stored = Stored({"s3://b/calls/a.wav": b"123", "s3://b/calls/": b"", "s3://b/callsheet.wav": b"1"})
    sources = stored.sources()
    rows = [row for part in inputs_of([argument], sources) for row in part]
    assert [sources.stat(row.audio).version for row in good(rows)] == ["v3"] + ["v1"] * (len(rows) - 1)
    assert stored.asked == {"stat": 0, "list": 1, "get": 0}
    sources.stat("s3://b/calls/a.wav")  # the second time it is asked for
    assert stored.asked["stat"] == 1


def test_keys_that_are_no_ids_are_bad_rows() -> None:
    stored = Stored({"s3://b/a\n.wav": b"", f"s3://b/{'x' * 1001}.wav": b"", "s3://b//a//b.wav": b""})
    rows = [row for part in inputs_of(["s3://b"], stored.sources()) for row in part]
    assert [row.id for row in rows if not isinstance(row, BadRow)] == ["/a//b.wav"]
    assert [row.audio for row in good(rows[:1])] == ["s3://b//a//b.wav"]
    assert "control characters" in bad(rows)[0][1]
    assert "too long" in bad(rows)[1][1]


@pytest.mark.parametrize("error", [AudioForbidden("403 Forbidden"), SourceUnreachable("no route to list it")])
def test_a_prefix_that_cannot_be_listed_is_one_sentence(error: AudioForbidden | SourceUnreachable) -> None:
    stored = Stored({"s3://b/a.wav": b""}, error)
    with pytest.raises(ManifestError, match=r"s3://b/: the prefix cannot be listed: .*(403|no route)") as caught:
        [*inputs_of(["s3://b/"], stored.sources())[0]]
    assert not isinstance(caught.value, EmptyFolder)


def test_recordings_at_addresses_have_the_ids_that_their_folder_gives_them() -> None:
    arguments = ["s3://b/mon/a.wav", "s3://b/tue/a.wav", "s3://b//c.wav", "https://h/x/b.wav?v=a/b&sig=1"]
    parts = inputs_of(arguments, sources := Stored({}).sources())
    assert [(part.path, [(row.id, row.audio) for row in good([*part])]) for part in parts] == [
        ("s3://b", [("mon/a.wav", "s3://b/mon/a.wav"), ("tue/a.wav", "s3://b/tue/a.wav")]),
        ("s3://b/", [("c.wav", "s3://b//c.wav")]),
        ("https://h/x", [("b.wav?v=a/b", "https://h/x/b.wav?v=a/b")]),
    ]
    assert sources.signatures.signed("https://h/x/b.wav?v=a/b") == arguments[-1]


def test_a_recording_is_one_row_however_often_it_is_named() -> None:
    stored = Stored({f"s3://b/{name}.wav": b"" for name in ("calls/a", "calls/b", "c")})
    inputs = inputs_of(["s3://b/calls", "s3://b", "s3://b/c.wav", "s3://b/calls/"], stored.sources())
    found = [[row.id for row in rows] for _, rows in without_overlaps(inputs)]
    assert found == [[], ["c.wav", "calls/a.wav", "calls/b.wav"], [], []]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["s3://b/calls/"], "s3://b/calls"),
        (["s3://b/calls/*.wav"], "s3://b/calls"),
        (["s3://b/calls/a.wav"], "s3://b/calls"),
        (["s3://b"], "s3://b"),
        (["https://h/m.csv?sig=1&v=2"], "https://h/m.csv?v=2"),
        (["s3://b/x/m.csv.gz", "s3://b/y/"], "s3://b"),
        (["s3://b/x/m.csv.gz", "s3://b/x/y/n.csv"], "s3://b/x"),
        (["s3://b/x/m.csv", "s3://c/x/m.csv"], "/"),
        (["s3://b/x/m.csv", "/"], "/"),
        (["ftp://h/m.csv?sig=1"], "ftp://h/m.csv"),
    ],
)
def test_the_path_that_names_arguments_together(arguments: list[str], path: str) -> None:
    assert path_of(arguments) == path


class Endless(Stored):
    def list(self, prefix: str, after: str = "") -> Iterator[Listed]:
        for number in range(60_000):
            yield Listed(f"{number // 1000:03}/{number:09}.wav", FileInfo('"etag"', 1, 1.0))


@pytest.mark.slow
def test_listing_takes_the_same_memory_however_much_there_is() -> None:
    rows = iter(inputs_of(["s3://b"], Endless({}).sources())[0])
    for _ in range(20_000):
        next(rows)
    tracemalloc.start()
    try:
        assert sum(1 for _ in rows) == 40_000
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
