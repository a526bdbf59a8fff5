"""`budget.credits_per_month`: a bound of all runs of a calendar month (UTC), beside the one of each run."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.checkpoint.facts import month_of
from pipeline.model import Attempt
from pipeline.sink import FolderStore
from pipeline.sink.parts import AttemptParts
from tests.acceptance.test_budget import corpus_of, figures, stopped_by
from tests.batch import Corpus, batch, rows_of, start_batch
from tests.forked import Started
from tests.servers import RunningServer, start_server, wait_for_answers

MONTH = "the budget of {} credits for the month {} (budget.credits_per_month), of which {} were left"


def of_month(credits_: float) -> tuple[str, str]:
    return ("--set", f"budget.credits_per_month={credits_}")


def now() -> str:
    return month_of(datetime.now(UTC))


def status_of(out: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(batch("status", out, "--json").stdout)
    return found


def forecast_of(corpus: Corpus, out: Path, server: RunningServer, month: float) -> dict[str, object]:
    told = batch("check", corpus.folder, "--out", out, "--json", *of_month(month), server=server)
    found: dict[str, object] = json.loads(told.stdout)
    return found


def forget_months(out: Path) -> None:
    """As a version before had it, which summed only in all."""
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
        assert db.execute("DELETE FROM facts WHERE key GLOB 'credits of *'").rowcount


@pytest.mark.slow
def test_the_runs_of_a_month_spend_no_more_than_its_budget_and_the_smaller_of_both_stops_them(
    tmp_path: Path, out: Path, server: RunningServer
) -> None:
    corpus = corpus_of(tmp_path / "audio", *[2.0] * 10)
    args = ("run", corpus.folder, "--out", out, *of_month(30))
    assert figures(batch(*args, "--budget", "18", server=server)) == (4, 3, 0, 7, 18)
    assert stopped_by(out) == "the budget of 18 credits"
    second = batch(*args, "--budget", "18", server=server)
    assert figures(second) == (4, 5, 0, 5, 12)
    assert stopped_by(out) == MONTH.format(30, now(), 12)
    assert figures(batch(*args, server=server)) == (4, 5, 0, 5, 0)
    assert stopped_by(out) == MONTH.format(30, now(), 0)
    assert "more than the budget" not in second.stderr
    assert figures(batch("run", corpus.folder, "--out", out, *of_month(60), server=server)) == (0, 10, 0, 0, 30)
    assert rows_of(out) == corpus.texts


def test_check_and_status_tell_what_is_left_of_the_month(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = corpus_of(tmp_path / "audio", 2.0, 2.0)
    assert batch("run", corpus.folder, "--out", out, "--limit", "1", *of_month(1000), server=server).exit == 4
    left = f"994 of 1,000 credits left in {now()} (UTC)"
    told = batch("check", corpus.folder, "--out", out, *of_month(1000), server=server)
    assert f"this month     {left}" in told.stdout
    forecast = forecast_of(corpus, out, server, 1000)
    keys = ("month", "month_spent", "month_budget", "month_left")
    assert [forecast[key] for key in keys] == [now(), 6.0, 1000.0, 994.0]
    assert f"6 credits in {now()} (UTC), 994 of 1,000 left" in batch("status", out).stdout
    found = status_of(out)
    assert (found["month_credits"], found["month_budget"], found["month_left"]) == (6.0, 1000.0, 994.0)
    assert "this month" not in batch("check", corpus.folder, "--out", out, server=server).stdout


def test_check_names_what_costs_more_than_a_month(tmp_path: Path, out: Path) -> None:
    corpus = corpus_of(tmp_path / "audio", 100.0, 2.0)
    told = batch("check", corpus.folder, "--out", out, *of_month(30))
    assert "00000.wav needs 300 credits: more than the budget" in told.stdout


@pytest.mark.parametrize("how", ["rebuilt", "of an older version"])
def test_what_was_spent_in_the_month_is_known_by_the_ledger(
    tmp_path: Path, out: Path, server: RunningServer, how: str
) -> None:
    corpus = corpus_of(tmp_path / "audio", *[2.0] * 4)
    args = ("run", corpus.folder, "--out", out, *of_month(12))
    assert figures(batch(*args, "--budget", "6", server=server)) == (4, 1, 0, 3, 6)
    if how == "rebuilt":
        (out / "checkpoint.sqlite").unlink()
        assert batch("rebuild", out).exit == 0
    else:
        forget_months(out)
    assert forecast_of(corpus, out, server, 12)["month_left"] == 6.0
    assert figures(batch(*args, server=server)) == (4, 2, 0, 2, 6)
    assert status_of(out)["month_left"] == 0.0


def test_a_new_month_has_its_whole_budget(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = corpus_of(tmp_path / "audio", *[2.0] * 4)
    args = ("run", corpus.folder, "--out", out, *of_month(12))
    assert figures(batch(*args, server=server)) == (4, 2, 0, 2, 12)
    last_month = month_of(datetime.now(UTC).replace(day=1) - timedelta(days=1))
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
        db.execute("UPDATE facts SET key = ? WHERE key = ?", (f"credits of {last_month}", f"credits of {now()}"))
    assert figures(batch(*args, server=server)) == (0, 4, 0, 0, 12)


def test_requests_whose_end_was_never_seen_count_for_the_month(tmp_path: Path, out: Path) -> None:
    corpus = corpus_of(tmp_path / "audio", *[2.0] * 3)
    with start_server(faults='[[fault]]\nkind = "hang"\nafter_requests = 1\nat_most = 1') as server:
        args = ("run", corpus.folder, "--out", out, "--concurrency", "1", *of_month(12))
        killed = start_batch(*args, server=server)
        wait_for_answers(server, 1)
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while status_of(out)["month_left"] != 0.0:  # one answered, one in flight
            assert datetime.now(UTC) < deadline
        killed.kill()
        killed.communicate()
        assert figures(batch(*args, server=server)) == (4, 1, 0, 2, 0)
        assert stopped_by(out) == MONTH.format(12, now(), 0)


class Charging(ThreadingHTTPServer):
    """Charges for each body when it has come, and answers 502; one of them ends the client as a power cut would."""

    charged = 0.0
    until_kill = 0
    victim: Started | None = None


class Charge(BaseHTTPRequestHandler):
    server: Charging

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.charged += 3.0
        self.server.until_kill -= 1
        if self.server.until_kill == 0 and self.server.victim is not None:
            self.server.victim.kill()
        self.send_response(502)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.mark.slow
def test_a_month_is_kept_to_also_by_runs_that_are_killed_with_requests_on_their_way(tmp_path: Path, out: Path) -> None:
    corpus = corpus_of(tmp_path / "audio", *[1.0] * 40)
    with Charging(("127.0.0.1", 0), Charge) as service:
        thread = threading.Thread(target=service.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{service.server_address[1]}/api/post/speech/asr"
        args = ("run", corpus.folder, "--out", out, "--concurrency", "4", "--set", "retry.base_s=0.01", *of_month(60))
        for kill_at in (4, 7, 5, 6, 8, 0):
            service.until_kill = kill_at
            service.victim = start_batch(*args, GRADIUM_API_KEY="k", GRADIUM_BATCH_SERVICE__URL=url)
            service.victim.communicate(timeout=60)
        assert service.victim is not None
        assert service.victim.returncode == 4
        service.shutdown()
        thread.join()
    assert 30 < service.charged <= 60


def test_a_part_of_the_ledger_is_summed_by_the_month_of_each_request_in_utc(tmp_path: Path) -> None:
    moments = {
        datetime(2026, 10, 31, 23, 59, 59, 999_999, tzinfo=UTC): 3.0,
        datetime(2026, 11, 1, tzinfo=UTC): 4.0,
        datetime(2026, 11, 30, 23, 59, tzinfo=UTC): 5.5,
        datetime(2027, 11, 1, tzinfo=UTC): 7.0,
    }
    rows = [
        Attempt(
            id="a", clip=0, attempt=1, run_id="r", started_at=moment, latency_s=0.0, outcome="ok", credits=credits_,
            billed="maybe" if credits_ == 4 else "yes", bytes_sent=1,
        )
        for moment, credits_ in moments.items()
    ]  # fmt: skip
    ledger = AttemptParts(FolderStore(tmp_path))
    ledger.publish(rows, 1)
    assert pq.read_table(tmp_path / "attempts").num_rows == 4
    assert ledger.sums([1]) == ({1: 4}, {"2026-10": 3.0, "2026-11": 9.5, "2027-11": 7.0}, 4.0)


def test_a_month_whose_sum_is_no_number_is_summed_again(tmp_path: Path, out: Path, server: RunningServer) -> None:
    corpus = corpus_of(tmp_path / "audio", *[2.0] * 3)
    args = ("run", corpus.folder, "--out", out, *of_month(12))
    assert figures(batch(*args, "--budget", "6", server=server)) == (4, 1, 0, 2, 6)
    with closing(sqlite3.connect(out / "checkpoint.sqlite")) as db, db:
        assert db.execute("UPDATE facts SET value = 'many' WHERE key GLOB 'credits of *'").rowcount == 1
    assert figures(batch(*args, server=server)) == (4, 2, 0, 1, 6)
