"""Which signals mean what, and that none is lost while it has to wait."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from twisted_virtlog.loop import signals


@pytest.fixture(autouse=True)
def handlers_and_mask() -> Iterator[None]:
    """Put back what the process obeyed before."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handlers = {number: signal.getsignal(number) for number in signals.OBEYED}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _obey() -> list[str]:
    told: list[str] = []
    signals.obey(
        lambda call: call(),
        stop=lambda: told.append("stop"),
        reload=lambda: told.append("reload"),
        hand_over=lambda: told.append("hand over"),
    )
    return told


@pytest.mark.parametrize(
    ("number", "meaning"),
    [
        (signal.SIGTERM, "stop"),
        (signal.SIGINT, "stop"),
        (signal.SIGQUIT, "stop"),
        (signal.SIGHUP, "reload"),
        (signal.SIGUSR1, "hand over"),
    ],
)
def test_each_signal_has_its_meaning(number: signal.Signals, meaning: str) -> None:
    """Those of virtlogd."""
    told = _obey()
    signal.raise_signal(number)
    assert told == [meaning]


def test_a_signal_that_has_to_wait_is_obeyed_later() -> None:
    """One that came before the daemon could obey is not lost."""
    signals.block()
    signal.raise_signal(signal.SIGHUP)
    assert signals.is_pending()
    assert _obey() == ["reload"]
    assert not signals.is_pending()


def test_signals_wait_inside_a_with_statement() -> None:
    """And come through behind it."""
    told = _obey()
    with signals.blocked():
        signal.raise_signal(signal.SIGTERM)
        assert told == []
    assert told == ["stop"]


def test_a_signal_ends_a_sleep() -> None:
    """It is taken, as the process is about to end anyhow."""
    signals.block()
    signal.raise_signal(signal.SIGTERM)
    signals.sleep(3600)
    assert not signals.is_pending()
