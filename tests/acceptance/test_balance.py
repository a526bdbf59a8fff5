"""`service.require_credits`: nothing is sent before the account is known to hold enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.asked import ANSWER
from tests.batch import Corpus, Finished, batch
from tests.gradium.scripted import Scripted, answer
from tests.servers import KEY, start_server

REQUIRED = ("--set", "service.require_credits=true", "--set", "retry.outage_max_s=1", "--set", "retry.probe_s=0.1")
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
UNKNOWN: dict[str, tuple[bytes, str]] = {
    "page": (answer(b"<html>Please log in</html>", headers={"Content-Type": "text/html"}), "no balance in the answer"),
    "302": (answer(b"", status=302, headers={"Location": "https://elsewhere.example/"}), "HTTP 302"),
    "text": (answer(b'{"remaining_credits": "0"}', headers=JSON), "no balance in the answer"),
    "huge": (answer(b'{"remaining_credits": 1e300}', headers=JSON), "1e+300 credits, which is not plausible"),
}


def run_against(peer: Scripted, corpus: Corpus, out: Path, *args: str) -> Finished:
    more = {"GRADIUM_API_KEY": KEY, "GRADIUM_BATCH_SERVICE__URL": peer.url}
    return batch("run", corpus.folder, "--out", out, *REQUIRED, *args, **more)


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_nothing_is_sent_where_the_balance_cannot_be_learned(tmp_path: Path, out: Path, name: str) -> None:
    reply, why = UNKNOWN[name]
    with Scripted(reply) as peer:
        result = run_against(peer, Corpus(tmp_path / "audio", count=2), out)
        assert all(request.head.startswith("GET ") for request in peer.requests)
    assert (result.exit, result.figures["credits"], result.figures["left"]) == (1, 0, 2), result.stderr
    [told] = [line for line in result.stderr.splitlines() if line.startswith("gradium-batch: ")]
    assert "the account's balance cannot be learned (" in told
    assert why in told
    assert "service.require_credits = false" in told


@pytest.mark.slow
@pytest.mark.parametrize(
    "status_line", [b"HTTP/1.1 200 \xff\xfe", b"HTTP/1.1 \xff\xff OK", b"\xff\xfe\xfd", b"HTTP/1.1"]
)
def test_a_status_line_that_is_no_text_is_an_address_where_nothing_answers(
    tmp_path: Path, out: Path, status_line: bytes
) -> None:
    with Scripted(status_line + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as peer:
        result = run_against(peer, Corpus(tmp_path / "audio", count=2), out)
    assert result.exit == 1, result.stderr
    assert "nothing answers at http://127.0.0.1" in result.stderr
    assert result.figures["credits"] == 0


@pytest.mark.slow
def test_where_it_is_not_required_a_run_goes_on_without_knowing_the_balance(tmp_path: Path, out: Path) -> None:
    with Scripted(answer(b'{"remaining_credits": "0"}', headers=JSON)) as peer:
        run_against(peer, Corpus(tmp_path / "audio", count=1), out, "--set", "service.require_credits=false")
        assert any(request.head.startswith("POST ") for request in peer.requests)


def test_an_account_that_holds_enough_is_let_through_and_one_that_does_not_is_not(tmp_path: Path, out: Path) -> None:
    corpus = Corpus(tmp_path / "audio", count=2)
    with start_server(credits=0.2) as server:
        result = batch("run", corpus.folder, "--out", out, *REQUIRED, server=server)
        assert server.stats()["requests"] == 0
    assert result.exit == 1
    assert "the account holds 0 credits and the run takes about" in result.stderr
    with Scripted(answer(b'{"remaining_credits": -5}', headers=JSON)) as peer:
        assert "the account holds -5 credits and the run takes about" in run_against(peer, corpus, out).stderr
        assert all(request.head.startswith("GET ") for request in peer.requests)
    with start_server(credits=4) as server:
        assert batch("run", corpus.folder, "--out", out, *REQUIRED, server=server).exit == 0


@pytest.mark.slow
def test_an_outage_before_the_first_request_is_waited_out_and_not_begun_without_a_balance(
    tmp_path: Path, out: Path
) -> None:
    """Also in a folder where the service has answered before."""
    corpus = Corpus(tmp_path / "audio", count=1)
    with start_server() as server:
        assert batch("run", corpus.folder, "--out", out, *REQUIRED, server=server).exit == 0
        corpus.add(1)
        server.stop()
        result = batch("run", corpus.folder, "--out", out, *REQUIRED, server=server)
    assert result.exit == 1, result.stderr
    assert result.figures["credits"] == 0


@pytest.mark.parametrize(
    ("page", "why"),
    [
        pytest.param(None, "no answer within 10 s", marks=pytest.mark.slow, id="hangs"),
        pytest.param(answer(b"Forbidden", status=403), "HTTP 403 from /api/usages/credits", id="403"),
    ],
)
def test_a_run_goes_on_without_a_balance_unless_it_has_to_know_who_answers(
    tmp_path: Path, out: Path, page: bytes | None, why: str
) -> None:
    """The first run into a folder goes on to what requests say; one into that of a local recognizer does not."""
    corpus, word = Corpus(tmp_path / "audio", count=1), answer(ANSWER, headers=NDJSON)
    with Scripted(page, word) as peer:
        result = run_against(peer, corpus, out, "--set", "service.require_credits=false")
    assert result.exit == 0, result.stderr
    mine = tmp_path / "mine"
    with start_server() as server:
        assert batch("run", corpus.folder, "--out", mine, server=server).exit == 0
    corpus.add(1)
    with Scripted(page, page, word) as peer:
        result = run_against(peer, corpus, mine, "--set", "service.require_credits=false")
        assert all(request.head.startswith("GET ") for request in peer.requests)
    assert (result.exit, result.figures["done"], result.figures["left"]) == (1, 1, 1), result.stderr
    told = f"belongs to the local recognizer 'fingerprint', and the balance, which tells who answers at {peer.url}, "
    assert f"{told}is not known ({why}); nothing was sent: run the same command again when it answers" in result.stderr
