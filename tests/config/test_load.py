"""Where settings come from, which beats which, and how each mistake is explained."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.config import Settings, load_settings
from pipeline.errors import ConfigError
from pipeline.gradium.request import request_settings

CONFIGS = Path(__file__).parents[2] / "configs"
NO_BUDGET = 'should be a number of credits above 0, or "none" for no limit'


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("GRADIUM_BATCH_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.toml"


def complaint(file: Path | None = None, overrides: Sequence[str] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(file, overrides)
    return str(caught.value)


# -- what beats what --------------------------------------------------------------------------------------------------


def test_without_any_source_the_defaults_hold() -> None:
    assert load_settings(None) == Settings()


def test_an_empty_file_changes_nothing(file: Path) -> None:
    file.write_text("# nothing\n")
    assert load_settings(file) == Settings()


def test_flags_beat_environment_beats_file_beats_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[pool]\nconcurrency = 2\n[retry]\nmax_attempts = 2\nbase_s = 2\n")
    monkeypatch.setenv("GRADIUM_BATCH_POOL__CONCURRENCY", "3")
    monkeypatch.setenv("GRADIUM_BATCH_RETRY__MAX_ATTEMPTS", "3")
    found = load_settings(file, ["pool.concurrency=4"])
    assert (found.pool.concurrency, found.retry.max_attempts, found.retry.base_s) == (4, 3, 2.0)
    assert found.retry.max_s == Settings().retry.max_s


def test_a_later_set_beats_an_earlier_one() -> None:
    assert load_settings(None, ["pool.concurrency=4", "pool.concurrency=5"]).pool.concurrency == 5


def test_the_environment_alone_is_read_by_load_settings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIUM_BATCH_POOL__CONCURRENCY", "3")
    assert Settings().pool.concurrency == 32


@pytest.mark.parametrize("name", ["GRADIUM_BATCH_SERVICE__LANGUAGE", "gradium_batch_service__language"])
def test_variables_may_be_written_in_either_case(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "fr")
    assert load_settings(None).service.language == "fr"


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("service.language=fr", "fr"),
        ('service.language="fr"', "fr"),
        ("service.language = fr ", "fr"),
        ("service.language=", ""),
        ("service.language=a=b", "a=b"),
    ],
)
def test_set_takes_text_bare_or_quoted(override: str, value: str) -> None:
    assert load_settings(None, [override]).service.language == value


def test_set_takes_numbers_truths_and_lists() -> None:
    found = load_settings(None, ["retry.base_s=0.25", "pool.adaptive=false", 'sink.formats=["jsonl"]'])
    assert (found.retry.base_s, found.pool.adaptive, found.sink.formats) == (0.25, False, ("jsonl",))


def test_the_environment_takes_numbers_truths_and_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIUM_BATCH_RETRY__BASE_S", "0.25")
    monkeypatch.setenv("GRADIUM_BATCH_POOL__ADAPTIVE", "false")
    monkeypatch.setenv("GRADIUM_BATCH_SINK__FORMATS", '["jsonl"]')
    found = load_settings(None)
    assert (found.retry.base_s, found.pool.adaptive, found.sink.formats) == (0.25, False, ("jsonl",))


@pytest.mark.parametrize(("raw", "value"), [("fr", "fr"), ('"fr"', "fr"), ("1", "1"), ("true", "true"), (" fr ", "fr")])
def test_text_that_looks_like_a_number_is_text_where_the_key_takes_text(
    raw: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(None, [f"service.model={raw}"]).service.model == value
    monkeypatch.setenv("GRADIUM_BATCH_SERVICE__MODEL", raw)
    assert load_settings(None).service.model == value


def test_a_variable_within_a_table_beats_the_one_of_the_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIUM_BATCH_RETRY__MAX_ATTEMPTS", "3")
    monkeypatch.setenv("GRADIUM_BATCH_RETRY", "{max_attempts = 2, base_s = 2}")
    found = load_settings(None).retry
    assert (found.max_attempts, found.base_s) == (3, 2.0)


def test_a_whole_table_may_stand_in_one_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIUM_BATCH_POOL", '{"concurrency": 3}')
    assert load_settings(None).pool.concurrency == 3


def test_a_file_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[pool]\nconcurrency = 2\n")
    assert load_settings(file).pool.concurrency == 2


# -- the service's own settings ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "variables", "overrides", "json_config"),
    [
        ("", {}, [], {"delay_in_frames": 16}),
        ("temp = 0.5", {}, [], {"delay_in_frames": 16, "temp": 0.5}),
        ("", {"TEMP": "0.5"}, [], {"delay_in_frames": 16, "temp": 0.5}),
        ("", {}, ["temp=0.5"], {"delay_in_frames": 16, "temp": 0.5}),
        ("delay_in_frames = 32", {"TEMP": "0.5"}, [], {"delay_in_frames": 32, "temp": 0.5}),
        ("delay_in_frames = 32", {"DELAY_IN_FRAMES": "24"}, [], {"delay_in_frames": 24}),
        ("delay_in_frames = 32", {"DELAY_IN_FRAMES": "24"}, ["delay_in_frames=8"], {"delay_in_frames": 8}),
        ("delay_in_tokens = 32", {"TEMP": "1"}, [], {"delay_in_tokens": 32, "temp": 1}),
        ("", {}, ["delay_in_tokens=32"], {"delay_in_tokens": 32}),
        (
            'keywords = {words = ["a"], boost = 2}',
            {"KEYWORDS__BOOST": "-1.5"},
            ['keywords.words=["b", "c"]'],
            {"delay_in_frames": 16, "keywords": {"words": ["b", "c"], "boost": -1.5}},
        ),
        ("", {"KEYWORDS": '{"words": ["a"]}'}, [], {"delay_in_frames": 16, "keywords": {"words": ["a"]}}),
        ("", {"KEYWORDS__WORDS": '["a"]'}, [], {"delay_in_frames": 16, "keywords": {"words": ["a"]}}),
    ],
)  # fmt: skip
def test_part_of_json_config_leaves_the_rest_as_it_was(
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    toml: str,
    variables: dict[str, str],
    overrides: list[str],
    json_config: dict[str, object],
) -> None:
    file.write_text(f"[service.json_config]\n{toml}\n")
    for name, value in variables.items():
        monkeypatch.setenv(f"GRADIUM_BATCH_SERVICE__JSON_CONFIG__{name}", value)
    found = load_settings(file, [f"service.json_config.{override}" for override in overrides])
    assert found.service.json_config == json_config
    request_settings(found.service)


def test_json_config_may_be_one_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[service.json_config]\ndelay_in_frames = 32\n")
    monkeypatch.setenv("GRADIUM_BATCH_SERVICE__JSON_CONFIG", '{"temp": 0.5}')
    assert load_settings(file).service.json_config == {"delay_in_frames": 32, "temp": 0.5}


@pytest.mark.parametrize(("text", "limit"), [("none", None), ("1e3", 1000.0), ("0.5", 0.5), ("7", 7.0)])
def test_a_budget_is_a_number_or_none(text: str, limit: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(None).budget.limit is None
    assert load_settings(None, [f"budget.credits={text}"]).budget.limit == limit
    monkeypatch.setenv("GRADIUM_BATCH_BUDGET__CREDITS", text)
    assert load_settings(None).budget.limit == limit


@pytest.mark.parametrize("text", ["0", "-3", "inf", "nan", "much"])
def test_a_budget_of_nothing_is_refused_wherever_it_is_given(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"--set budget.credits: {NO_BUDGET}" in complaint(overrides=[f"budget.credits={text}"])
    monkeypatch.setenv("GRADIUM_BATCH_BUDGET__CREDITS", text)
    assert f"environment variable GRADIUM_BATCH_BUDGET__CREDITS: budget.credits: {NO_BUDGET}" in complaint()


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("[pool]\nconcurency = 3", "{}:2: unknown key 'pool.concurency'; did you mean 'pool.concurrency'?"),
        ("\n[pol]\nconcurrency = 3", "{}:2: unknown key 'pol'; did you mean 'pool'?"),
        ("[pool]\nmax_attempts = 3", "{}:2: unknown key 'pool.max_attempts'; did you mean 'retry.max_attempts'?"),
        ("[budget]\nzzz = 3", "{}:2: unknown key 'budget.zzz'; known here: budget.credits"),
        ("[budget]\ncredits = 0", f"{{}}:2: budget.credits: {NO_BUDGET} (given: 0)"),
        ("[budget]\ncredits = -1.5", f"{{}}:2: budget.credits: {NO_BUDGET} (given: -1.5)"),
        ("[budget]\ncredits = inf", f"{{}}:2: budget.credits: {NO_BUDGET} (given: inf)"),
        ("[budget]\ncredits = true", f"{{}}:2: budget.credits: {NO_BUDGET} (given: True)"),
        ("[budget]\ncredits = 'much'", f"{{}}:2: budget.credits: {NO_BUDGET} (given: 'much')"),
        ("pool.concurency = 3", "{}:1: unknown key 'pool.concurency'; did you mean 'pool.concurrency'?"),
        ("pool = { concurency = 3 }", "{}:1: unknown key 'pool.concurency'; did you mean 'pool.concurrency'?"),
        ('[pool]\n"concurency" = 3', "{}:2: unknown key 'pool.concurency'; did you mean 'pool.concurrency'?"),
        ("[pool] # n\nconcurrency = 0", "{}:2: pool.concurrency: should be greater than or equal to 1 (given: 0)"),
        ("[pool]\nconcurrency = 2000", "{}:2: pool.concurrency: should be less than or equal to 1024 (given: 2000)"),
        ("[pool]\nconcurrency = 'many'", "{}:2: pool.concurrency: should be a valid integer (given: 'many')"),
        ("[pool]\nconcurrency = 2.5", "{}:2: pool.concurrency: should be a valid integer, got a number with a"),
        ("[pool]\nadaptive = 'perhaps'", "{}:2: pool.adaptive: should be a valid boolean (given: 'perhaps')"),
        ("[retry]\nmax_s = inf", "{}:2: retry.max_s: should be a finite number (given: inf)"),
        ("[retry]\nbase_s = nan", "{}:2: retry.base_s: should be a finite number (given: nan)"),
        ("[service]\nlanguage = 1", "{}:2: service.language: should be a valid string (given: 1)"),
        ("[service]\nmodel = ''", "{}:2: service.model: string should have at least 1 character (given: '')"),
        ("[audio]\nchannels = 'both'", "{}:2: audio.channels: should be 'mix', 'split' or 'first' (given: 'both')"),
        ("[audio]\nmax_clip_s = 3001", "{}:2: audio.max_clip_s: should be less than or equal to 3000 (given: 3001)"),
        ("[sink]\nformats = ['parqet']", "{}:2: sink.formats: should be 'parquet' or 'jsonl' (given: 'parqet')"),
        ("[sink]\nformats = []", "{}:2: sink.formats: should not be empty (given: [])"),
        ("[sink]\nformats = 'jsonl'", "{}:2: sink.formats: should be a list (given: 'jsonl')"),
        ("pool = 3", "{}:1: pool: should be a table (given: 3)"),
        ("[service]\njson_config = 3", "{}:2: service.json_config: should be a table (given: 3)"),
        ("[pool]\n\nconcurrency\n", "{}: not valid TOML: Expected '=' after a key in a key/value pair (at line 3"),
        ("[pool]\nconcurrency =", "{}: not valid TOML: Invalid value (at end of document)"),
        ("[pool]\nconcurrency = 1\nconcurrency = 2\n", "{}: not valid TOML: Cannot overwrite a value (at line 3"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_one_sentence_that_names_the_line(file: Path, toml: str, said: str) -> None:
    file.write_text(toml)
    text = complaint(file)
    assert text.startswith(said.format(file))
    assert "\n" not in text


def test_every_mistake_has_its_line(file: Path) -> None:
    file.write_text("[pool]\nconcurrency = 0\n\n[retry]\nmax_atempts = 3\n")
    assert complaint(file, ["sink.rows_per_part=0"]).splitlines() == [
        f"{file}:2: pool.concurrency: should be greater than or equal to 1 (given: 0)",
        f"{file}:5: unknown key 'retry.max_atempts'; did you mean 'retry.max_attempts'?",
        "--set sink.rows_per_part: should be greater than or equal to 1 (given: 0)",
    ]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("pool.concurency=3", "--set pool.concurency: unknown key 'pool.concurency'; did you mean 'pool.concurrency'?"),
        ("pool.concurrency=x", "--set pool.concurrency: should be a valid integer (given: 'x')"),
        ("pool=x", "--set pool: should be a table (given: 'x')"),
        ("concurrency=3", "--set concurrency: unknown key 'concurrency'; did you mean 'pool.concurrency'?"),
        ("sink.formats=parquet", "--set sink.formats: should be a list (given: 'parquet')"),
        ("sink.formats=['x']", "--set sink.formats: should be 'parquet' or 'jsonl' (given: 'x')"),
        ("pool.concurrency", "--set pool.concurrency: write it as section.key=value, e.g. --set pool.concurrency=8"),
        ("pool..concurrency=3", "--set pool..concurrency=3: write it as section.key=value"),
        ("=3", "--set =3: write it as section.key=value"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_set_is_one_sentence_that_names_it(override: str, said: str) -> None:
    text = complaint(None, [override])
    assert text.startswith(said)
    assert "\n" not in text


def test_a_set_within_a_plain_value_is_refused() -> None:
    assert "'pool' was given a plain value before" in complaint(None, ["pool=3", "pool.concurrency=4"])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("POOL__CONCURENCY", "3", "{}: unknown key 'pool.concurency'; did you mean 'pool.concurrency'?"),
        ("POOL__CONCURRENCY", "x", "{}: pool.concurrency: should be a valid integer (given: 'x')"),
        ("POOL__CONCURRENCY", "", "{}: pool.concurrency: should be a valid integer (given: '')"),
        ("POOL", "x", "{}: pool: should be a table (given: 'x')"),
        ("POOL", '{"concurency": 3}', "{}: unknown key 'pool.concurency'; did you mean 'pool.concurrency'?"),
        ("SINK__FORMATS", "parquet", "{}: sink.formats: should be a list (given: 'parquet')"),
        ("SINK__FORMATS", '["x"]', "{}: sink.formats: should be 'parquet' or 'jsonl' (given: 'x')"),
        ("SOURCES__ANONYMOUS", '["openslr"]', "{}: sources.anonymous: 'openslr' names no bucket; write s3://BUCKET"),
        ("SOURCES__ANONYMOUS", '["S3://b"]', "{}: sources.anonymous: 'S3://b' names no bucket; write s3://BUCKET"),
        ("SOURCES__ALLOW_PRIVATE", '["localhost"]', "{}: sources.allow_private: 'localhost' names no host and port"),
        ("SERVICE__LANGUAGE__X", "fr", "{}: service.language: should be a valid string"),
        ("POOLS__X", "1", "{}: there is no configuration section 'pools'; did you mean GRADIUM_BATCH_POOL__…?"),
        ("POOL_X", "1", "{}: there is no configuration section 'pool_x'; did you mean GRADIUM_BATCH_POOL__…?"),
        ("X", "1", "{}: there is no configuration section 'x'; known: GRADIUM_BATCH_SERVICE__…, "),
    ],
)  # fmt: skip
def test_a_mistake_in_the_environment_is_one_sentence_that_names_the_variable(
    file: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    file.write_text("[pool]\nadaptive = true\n")
    monkeypatch.setenv(f"GRADIUM_BATCH_{name}", value)
    text = complaint(file)
    assert text.startswith(said.format(f"environment variable GRADIUM_BATCH_{name}"))
    assert "\n" not in text


def test_the_source_that_won_is_the_one_that_is_blamed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[pool]\nconcurrency = 4\n")
    monkeypatch.setenv("GRADIUM_BATCH_POOL__CONCURRENCY", "0")
    assert complaint(file).startswith("environment variable GRADIUM_BATCH_POOL__CONCURRENCY: ")
    assert complaint(file, ["pool.concurrency=-1"]).startswith("--set pool.concurrency: ")


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    assert complaint(file) == (
        f"{file}: there is no such configuration file; configs/gradium.toml, configs/local.toml, configs/nightly.toml "
        "come with gradium-batch and are found from any folder"
    )


def test_one_that_comes_with_the_package_is_found_from_any_folder_unless_there_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("configs/local.toml")).service.url == "local"
    Path("configs").mkdir()
    Path("configs/local.toml").write_text('[service]\nurl = "http://127.0.0.1:1/"\n')
    assert load_settings(Path("configs/local.toml")).service.url == "http://127.0.0.1:1/"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, file: Path) -> None:
    assert complaint(tmp_path).startswith(f"{tmp_path}: the configuration cannot be read: ")
    file.write_bytes(b"[pool]\n\xff\xfe")
    assert complaint(file).startswith(f"{file}: the configuration cannot be read: ")


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_the_configurations_that_come_with_it_are_good(path: Path) -> None:
    request_settings(load_settings(path).service)
