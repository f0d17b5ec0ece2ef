"""What is answered when something fails, and who waits for whom."""

from __future__ import annotations

import pytest

from twisted_virtlog.client import Disconnected, RemoteError
from twisted_virtlog.web.answering import failed
from twisted_virtlog.web.queries import MakesNoSense


@pytest.mark.parametrize(
    ("reason", "status", "text"),
    [
        (MakesNoSense("find: it is empty"), 400, "find: it is empty"),
        # (whoever asks has not made a mistake of the program's)
        (ValueError("not enough values to unpack"), 500, "its log tells"),
        (RuntimeError("no"), 500, "its log tells"),
        (RemoteError(1002, "no such log"), 404, "no such log"),
        (RemoteError(-32000, "who knows"), 502, "who knows"),
        (Disconnected("gone"), 503, "gone"),
        (None, 500, "its log tells"),
    ],
)
def test_a_failure_has_a_status(reason: BaseException | None, status: int, text: str) -> None:
    found, said = failed(reason)
    assert (found, text in said) == (status, True)
