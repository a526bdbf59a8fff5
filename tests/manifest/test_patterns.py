"""Globs of paths below a folder, as .gitignore and shells mean them."""

from __future__ import annotations

import pytest

from pipeline.manifest.search import Search

PATHS = ("a.wav", "b.mp3", "x/a.wav", "x/y/a.wav", "x/y/c.wav", ".h.wav", ".d/a.wav", "a[1].wav", "tmp/t.wav", "x/tmp")


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("*.wav", "a.wav x/a.wav x/y/a.wav x/y/c.wav a[1].wav tmp/t.wav"),
        ("a.wav", "a.wav x/a.wav x/y/a.wav"),
        ("/a.wav", "a.wav"),
        ("./a.wav", "a.wav x/a.wav x/y/a.wav"),
        ("x", "x/a.wav x/y/a.wav x/y/c.wav x/tmp"),
        ("x/", "x/a.wav x/y/a.wav x/y/c.wav x/tmp"),
        ("x/*.wav", "x/a.wav"),
        ("x/**", "x/a.wav x/y/a.wav x/y/c.wav x/tmp"),
        ("x/**/c.*", "x/y/c.wav"),
        ("**/y/*", "x/y/a.wav x/y/c.wav"),
        ("tmp/", "tmp/t.wav"),
        ("tmp", "tmp/t.wav x/tmp"),
        ("?.mp3", "b.mp3"),
        ("[a-b].*", "a.wav b.mp3 x/a.wav x/y/a.wav"),
        ("[!a].wav", "x/y/c.wav tmp/t.wav"),
        (r"a\[1].wav", "a[1].wav"),
        (".*", ".h.wav .d/a.wav"),
        ("*", "a.wav b.mp3 x/a.wav x/y/a.wav x/y/c.wav a[1].wav tmp/t.wav x/tmp"),
    ],
)
def test_a_pattern_takes_what_it_would_in_a_gitignore_and_hidden_names_only_by_their_dot(
    pattern: str, taken: str
) -> None:
    search = Search(include=[pattern])
    assert {path for path in PATHS if search.is_included(path)} == set(taken.split())


@pytest.mark.parametrize(
    ("pattern", "left"), [("*", ""), ("x/y", "a.wav b.mp3 x/a.wav .h.wav .d/a.wav a[1].wav tmp/t.wav x/tmp")]
)
def test_an_exclude_is_of_hidden_names_too(pattern: str, left: str) -> None:
    search = Search(exclude=[pattern])
    assert {path for path in PATHS if search.is_included(path)} == set(left.split())


@pytest.mark.parametrize(
    ("pattern", "searched"),
    [
        ("*.wav", ""),
        ("x/*.wav", "x"),
        ("*/y/*", "x x/y tmp"),
        ("x", "x x/y"),
        ("**/a.wav", "x x/y tmp"),
        ("x/**/c", "x x/y"),
    ],
)
def test_a_glob_searches_no_folder_that_it_cannot_name(pattern: str, searched: str) -> None:
    search, seen = Search(glob=pattern), []
    for folder in ("x", "x/y", "tmp"):
        if ("/" not in folder or "x" in seen) and not search.skips(folder):
            seen.append(folder)
    assert seen == searched.split()
