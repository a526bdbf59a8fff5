"""Errors are values too: they are kept, copied and sent to other processes."""

from __future__ import annotations

import pickle
from copy import copy

import pytest

from pipeline.errors import AttemptError, RepeatedStreamError, ServerFault, UnconfirmedRefusal
from pipeline.pool.refusals import as_class


@pytest.mark.parametrize("kind", [ServerFault, RepeatedStreamError, UnconfirmedRefusal])
def test_an_error_can_be_copied_and_pickled_also_seen_as_another_class(kind: type[AttemptError]) -> None:
    error = as_class(
        kind, ServerFault("broke", http_status=500, code=1011, billed="maybe", bytes_sent=7, request_id="r")
    )
    for again in (copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301  our own
        assert type(again) is kind
        assert vars(again) == vars(error)
        assert str(again) == again.message == "broke"
