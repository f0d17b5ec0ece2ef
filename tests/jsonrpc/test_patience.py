"""Who is in no hurry: who leaves unread what he was told."""

from __future__ import annotations

import pytest

from twisted_virtlog.jsonrpc.patience import PATIENT_SECONDS, UNREAD_SECONDS, Patience

_LONG, _SHORT = UNREAD_SECONDS * 1.5, UNREAD_SECONDS * 0.6


def looked(*looks: tuple[float, int]) -> list[bool]:
    """Return whether he was patient after each look: at a time, with so much unread."""
    patience = Patience()
    found = []
    for now, unread in looks:
        patience.look(unread, now)
        found.append(patience.is_patient)
    return found


@pytest.mark.parametrize(
    ("looks", "found"),
    [
        # Everything is read before more is told.
        ([(0, 0), (1, 0), (2, 0)], [False] * 3),
        # What was told is not read for long, or only for a moment.
        ([(0, 0), (_LONG, 1)], [False, True]),
        ([(0, 0), (_SHORT, 1)], [False, False]),
        # Nothing is read while more is told again and again.
        ([(0, 0), (_SHORT, 1), (2 * _SHORT, 2)], [False, False, True]),
        # Each time something is read, but what was told last.
        ([(0, 0), (_SHORT, 1), (2 * _SHORT, 1), (3 * _SHORT, 1)], [False] * 4),
        # What lay there before he was told anything.
        ([(5, 3), (5 + _SHORT, 0)], [False, False]),
        # It is remembered for a while.
        ([(0, 0), (1, 1), (1.1, 0), (1 + PATIENT_SECONDS, 0)], [False, True, True, False]),
        # And known again at once.
        ([(0, 0), (1, 1), (2, 0), (3, 1)], [False, True, False, True]),
    ],
)
def test_patience(looks: list[tuple[float, int]], found: list[bool]) -> None:
    assert looked(*looks) == found


def test_it_is_not_looked_at_all_the_time() -> None:
    patience = Patience()
    assert patience.is_due(0.0)
    patience.look(0, 1.0)
    assert not patience.is_due(1.0)
    assert patience.is_due(1.0 + UNREAD_SECONDS)
