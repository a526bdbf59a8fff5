"""CSV and TSV manifests as people and spreadsheets write them, right and wrong."""

from __future__ import annotations

import csv
import io
import logging
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ManifestError
from pipeline.model import BadRow, NamedByPath, Utterance
from tests.manifest.reading import bad, good, read_manifest, rows_of


def test_a_full_row_fills_every_field(tmp_path: Path) -> None:
    text = "id,audio,reference,language,offset_s,duration_s,channel,speaker\na,x.wav,Hello there, EN ,1.5,2,1,Ann\n"
    assert rows_of(tmp_path / "m.csv", text) == [
        Utterance(
            id="a",
            audio=str(tmp_path / "x.wav"),
            reference="Hello there",
            language="en",
            offset_s=1.5,
            duration_s=2.0,
            channel=1,
            metadata={"speaker": "Ann"},
            line=2,
        )
    ]


def test_empty_fields_say_nothing(tmp_path: Path) -> None:
    text = "id,audio,reference,language,offset_s,duration_s,channel,speaker\n,x.wav,,,,,,\n"
    (row,) = good(rows_of(tmp_path / "m.csv", text))
    assert row == NamedByPath(id="x.wav", audio=str(tmp_path / "x.wav"), metadata={"speaker": ""}, line=2)


@pytest.mark.parametrize(
    ("fields", "id"),
    [
        ("call.wav,,,", "call.wav"),
        ("call.wav,10,2.5,", "call.wav#t=10,12.5"),
        ("call.wav,10,2.5,1", "call.wav#t=10,12.5&channel=1"),
        ("call.wav,10,,", "call.wav#t=10"),
        ("call.wav,,2.5,", "call.wav#t=0,2.5"),
        ("call.wav,,,0", "call.wav#channel=0"),
        ("call.wav,0,,", "call.wav"),
        ("call.wav,0.1,0.2,", "call.wav#t=0.1,0.3"),
        ("call.wav,0.00001,,", "call.wav#t=0.00001"),
        ("./a/../call.wav,,,", "./a/../call.wav"),
    ],
)
def test_a_row_without_id_is_named_by_its_audio_and_span(tmp_path: Path, fields: str, id: str) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", f"audio,offset_s,duration_s,channel\n{fields}\n"))
    assert row.id == id


def test_relative_paths_count_from_the_manifests_folder_and_symlinks_stay(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    text = "audio\nx.wav\n./x.wav\n../x.wav\na//b/./x.wav\n/abs/x.wav\n"
    rows = good(rows_of(tmp_path / "link" / "m.csv", text))
    assert [row.audio for row in rows] == [
        f"{tmp_path}/link/x.wav",
        f"{tmp_path}/link/x.wav",
        f"{tmp_path}/x.wav",
        f"{tmp_path}/link/a/b/x.wav",
        "/abs/x.wav",
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_found_in_the_header(tmp_path: Path, delimiter: str) -> None:
    text = "id,audio,note\na,x.wav,n\n".replace(",", delimiter)
    (row,) = good(rows_of(tmp_path / "m.csv", text))
    assert (row.id, row.metadata) == ("a", {"note": "n"})


def test_a_tsv_is_split_at_tabs_only(tmp_path: Path) -> None:
    (row,) = good(rows_of(tmp_path / "m.TSV", "audio\treference\nx.wav\tone, two; three\n"))
    assert row.reference == "one, two; three"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_mark_and_any_line_end_are_taken(tmp_path: Path, end: str, mark: str) -> None:
    text = mark + end.join(["audio,reference", "x.wav,é", "", "   ", "y.wav,z"])
    rows = good(rows_of(tmp_path / "m.csv", text))
    assert [(row.audio[-5:], row.reference, row.line) for row in rows] == [("x.wav", "é", 2), ("y.wav", "z", 5)]


def test_a_row_is_on_the_line_where_it_starts(tmp_path: Path) -> None:
    text = '\n\naudio,reference\nx.wav,"one\ntwo\n\nthree"\ny.wav,"say ""hi"""\n'
    rows = good(rows_of(tmp_path / "m.csv", text))
    assert [(row.line, row.reference) for row in rows] == [(4, "one\ntwo\n\nthree"), (8, 'say "hi"')]


def test_lines_of_nothing_but_delimiters_are_skipped(tmp_path: Path) -> None:
    assert len(good(rows_of(tmp_path / "m.csv", "audio,reference\nx.wav,a\n,\n,,,,\n"))) == 1


def test_spaces_after_the_delimiter_do_not_count(tmp_path: Path) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", 'id, audio, reference\n a, x.wav, "b, c"\n'))
    assert (row.id, row.audio, row.reference) == ("a", f"{tmp_path}/x.wav", "b, c")


def test_nemo_names_are_taken(tmp_path: Path) -> None:
    text = "audio_filepath,text,offset,duration\nx.wav,hi,2,3\ny.wav,ho,,3\n"
    first, second = good(rows_of(tmp_path / "m.csv", text))
    assert (first.reference, first.offset_s, first.duration_s) == ("hi", 2.0, 3.0)
    assert (second.offset_s, second.duration_s, second.id) == (0.0, None, "y.wav")


def test_our_name_wins_over_nemos_which_becomes_metadata(tmp_path: Path) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", "audio,reference,text\nx.wav,right,other\n"))
    assert (row.reference, row.metadata) == ("right", {"text": "other"})


def test_a_column_without_name_is_left_out(tmp_path: Path) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", ",audio,topic\n0,x.wav,t\n"))
    assert row.metadata == {"topic": "t"}


def test_a_misspelt_column_is_metadata_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        (row,) = good(rows_of(tmp_path / "m.csv", "audio,refrence\nx.wav,hi\n"))
    assert (row.reference, row.metadata) == (None, {"refrence": "hi"})
    assert "did you mean `reference`" in caplog.text


def test_a_very_long_reference_is_taken(tmp_path: Path) -> None:
    long = "word " * 60_000
    (row,) = good(rows_of(tmp_path / "m.csv", f'audio,reference\nx.wav,"{long}"\n'))
    assert row.reference == long


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (",,,", "`audio` is empty"),
        ("x.wav,,", "3 fields, the header has 4"),
        ("x.wav,a,,,", "5 fields, the header has 4; put text that holds `,` in"),
        ('x.wav,"1,5",,', "decimal comma; write 1.5"),
        ("x.wav,0:10,,", "clock time"),
        ("x.wav,ten,,", "`offset_s` is 'ten'; it must be a number of seconds"),
        ("x.wav,1_0,,", "must be a number of seconds"),
        ("x.wav,-1,,", "`offset_s` is '-1'; it must be 0 or more"),
        ("x.wav,nan,,", "finite"),
        ("x.wav,,0,", "`duration_s` is '0'; it must be above 0"),
        ("x.wav,,inf,", "finite"),
        ("x.wav,,,left", "`channel` is 'left'; it must be a whole number from 0"),
        ("x.wav,,,-1", "`channel` is '-1'"),
        ("x.wav,,,1.5", "`channel` is '1.5'"),
        ("x.wav,,,99999", "`channel` is '99999'"),
        ("ftp://host/x.wav,,,", "is no address that can be read; write s3://"),
        ("a\0.wav,,,", "NUL"),
        ("a\x07.wav,,,", "control characters"),
        ("a" * 1001 + ",,,", "at most 1,000"),
        ('x.wav,"a"b,,', "text goes on after a closing quote (line 3)"),
    ],
)
def test_a_bad_row_is_named_and_the_others_come(tmp_path: Path, row: str, words: str) -> None:
    row = ",1,," if row == ",,," else row  # all empty would be a blank line
    rows = rows_of(tmp_path / "m.csv", f"audio,offset_s,duration_s,channel\na.wav,,,\n{row}\nb.wav,,,\n")
    assert [type(found) for found in rows] == [NamedByPath, BadRow, NamedByPath]
    ((line, message),) = bad(rows)
    assert line == 3
    assert words in message
    assert message.isprintable()


def test_whole_channels_written_as_floats_are_taken(tmp_path: Path) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", "audio,channel\nx.wav,1.0\n"))
    assert row.channel == 1


def test_a_bad_row_keeps_its_id(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path / "m.csv", "id,audio,offset_s\ncall-7,x.wav,soon\n")
    assert isinstance(row, BadRow)
    assert row.id == "call-7"
    assert str(row).startswith(f"{tmp_path}/m.csv:2: `offset_s`")


def test_an_id_with_control_characters_is_refused(tmp_path: Path) -> None:
    ((line, message),) = bad(rows_of(tmp_path / "m.csv", 'id,audio\n"a\nb",x.wav\n'))
    assert (line, message) == (2, "`id` holds control characters ('a\\nb'); give an `id` without them.")


@pytest.mark.parametrize("letters", ["köln 5", "日本語", "a\u00a0b", "👩‍🚀"])
def test_an_id_may_hold_any_letters(tmp_path: Path, letters: str) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", f"id,audio\n{letters},x.wav\n"))
    assert row.id == letters


def test_a_quote_never_closed_costs_its_own_row_only(tmp_path: Path) -> None:
    later = "".join(f"{n}.wav,n\n" for n in range(3, 20_003))
    rows = rows_of(tmp_path / "m.csv", f'audio,reference\nx.wav,"hello\n{later}')
    ((line, message),) = bad(rows)
    assert line == 2
    assert "never closed" in message
    assert [row.line for row in rows] == list(range(2, 20_003))


def test_a_quote_closed_by_a_later_rows_quote_swallows_nothing(tmp_path: Path) -> None:
    text = 'audio,reference\na.wav,"open\nb.wav,b\nc.wav,"c, c"\nd.wav,d\n'
    rows = rows_of(tmp_path / "m.csv", text)
    assert [line for line, _ in bad(rows)] == [2]
    assert [row.reference for row in rows if isinstance(row, Utterance)] == ["b", "c, c", "d"]


def test_many_broken_quotes_do_not_make_reading_slow(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "m.csv", "audio,reference\n" + 'x.wav,"open\n' * 20_000)
    assert len(bad(rows)) == len(rows) == 20_000


def test_a_row_without_bound_is_cut_short(tmp_path: Path) -> None:
    rows = rows_of(tmp_path / "m.csv", b"audio,reference\nx.wav," + b"a" * 11_000_000 + b"\ny.wav,b\n")
    assert [(row.line, type(row)) for row in rows] == [(2, BadRow), (3, NamedByPath)]
    assert "longer than 10 MB" in bad(rows)[0][1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"id,reference\n", "there is no column `audio`, which names each row's recording; the columns are `id`"),
        (b"Audio,id\n", "rename `Audio`"),
        (b"id,path\n", "rename `path`"),
        (b"id,audoi\n", "rename `audoi`"),
        (b"id,Audio-Filepath\n", "rename `Audio-Filepath`"),
        (b"a.wav,hello\n", "the first line must name the columns"),
        (b"audio,note,note\n", ":1: two columns are named `note`"),
        (b'audio,"note\nx.wav,a\n', ":1: the header cannot be read: a quote opened"),
        ("audio,reference\nx.wav,é\n".encode("latin-1"), "m.csv:2: byte 7 of the line (0xe9) is not UTF-8"),
        ("audio,reference\nx.wav,a\n".encode("utf-16"), "is UTF-16"),
        ("audio,reference\nx.wav,a\n".encode("utf-16-le"), "NUL byte"),
    ],
)
def test_a_manifest_that_cannot_be_read_as_a_whole_is_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        rows_of(tmp_path / "m.csv", content)
    assert words in str(caught.value)
    assert str(tmp_path / "m.csv") in str(caught.value)


def test_a_header_without_rows_is_an_empty_manifest(tmp_path: Path) -> None:
    assert rows_of(tmp_path / "m.csv", "audio\n") == []


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)


@given(st.lists(st.tuples(cells, cells), max_size=12), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"]))
def test_what_the_csv_module_writes_comes_back(table: list[tuple[str, str]], delimiter: str, end: str) -> None:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["audio", "one", "two"])
    writer.writerows([("x.wav", *pair) for pair in table])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.csv"
        path.write_bytes(written.getvalue().encode())
        rows = good(list(read_manifest(str(path))))
    assert [(row.metadata["one"], row.metadata["two"]) for row in rows] == table


@pytest.mark.parametrize("first", ["sep=;\n", '"sep=;"\r\n', "\ufeffsep=;\n", "SEP=;\n\n"])
def test_the_line_that_names_the_separator_is_read(tmp_path: Path, first: str) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", f"{first}audio;reference\nx.wav;a, b\n"))
    assert (Path(row.audio).name, row.reference, row.metadata) == ("x.wav", "a, b", {})


def test_the_separator_that_is_named_counts(tmp_path: Path) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", "sep=|\naudio|a,b;c\nx.wav|1\n"))
    assert row.metadata == {"a,b;c": "1"}


@pytest.mark.parametrize(("written", "value"), [("1,5", 1.5), ("1,500", 1.5), (",5", 0.5), ("1.5", 1.5)])
def test_a_decimal_comma_is_read_where_a_semicolon_separates(tmp_path: Path, written: str, value: float) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", f"audio;offset_s;duration_s\nx.wav;{written};2,25\n"))
    assert (row.offset_s, row.duration_s) == (value, 2.25)


@pytest.mark.parametrize("row", ["x.wav;1.234,5", 'x.wav;"1,2,3"'])
def test_what_is_no_number_with_a_comma_either_is_bad(tmp_path: Path, row: str) -> None:
    ((line, message),) = bad(rows_of(tmp_path / "m.csv", f"audio;offset_s\n{row}\n"))
    assert (line, "`offset_s` is" in message) == (2, True)


@pytest.mark.parametrize(
    ("name", "meant"),
    [("langauge", "language"), ("Refrence", "reference"), ("durations_s", "duration_s"), ("ID", "id"), ("uid", None),
     ("topic", None), ("speaker", None), ("chanel", "channel"), ("ofset", "offset"), ("url", None), ("gender", None),
     ("keyword", "keywords"), ("keywrods", "keywords"), ("keywords", None)],
)  # fmt: skip
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_name_that_is_close_to_a_known_one_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, form: str, name: str, meant: str | None
) -> None:
    table = f"audio,{name}\nx.wav,1\ny.wav,2\n"
    lines = f'{{"audio": "x.wav", "{name}": "1"}}\n{{"audio": "y.wav", "{name}": "2"}}\n'
    with caplog.at_level(logging.WARNING):
        assert len(good(rows_of(tmp_path / f"m.{form}", table if form == "csv" else lines))) == 2
    assert [f"did you mean `{meant}`" in text for text in caplog.messages] == ([True] if meant else [])


def test_characters_that_nobody_sees_are_no_part_of_a_column_s_name(tmp_path: Path) -> None:
    (row,) = good(rows_of(tmp_path / "m.csv", "\u200baudio\u00a0,language\u200b\nx.wav,en\n"))
    assert row.language == "en"
