"""Errors are values too: they are kept, copied and sent to other processes."""

from __future__ import annotations

import pickle
from copy import copy

import pytest

from pipeline.errors import AttemptError, RepeatedStreamError, ServerFault, UnconfirmedRefusal


@pytest.mark.parametrize("kind", [ServerFault, RepeatedStreamError, UnconfirmedRefusal])
def test_an_error_can_be_copied_and_pickled_also_seen_as_another_class(kind: type[AttemptError]) -> None:
    broken = ServerFault("broke", http_status=500, code=1011, billed="maybe", bytes_sent=7, request_id="r")
    error = broken.as_class(kind)
    for again in (copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301  our own
        assert type(again) is kind
        assert vars(again) == vars(error)
        assert str(again) == again.message == "broke"
