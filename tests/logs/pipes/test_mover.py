"""What the mover's thread does with what it was lent; here in the thread of the test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.reactor import FakeReactor
from tests.logs.fakes import KIB
from twisted_virtlog.logs.accounts.accounts import account_alone
from twisted_virtlog.logs.accounts.layout import END
from twisted_virtlog.logs.files.tail import Tail
from twisted_virtlog.logs.pipes import mover
from twisted_virtlog.logs.pipes.mover import Loan, Mover
from twisted_virtlog.loop.guest_pipes import PIECE_BYTES
from twisted_virtlog.syscalls import set_pipe_capacity

_FITS = 1 << 30


class Lent:
    """A pipe, and a file that has some bytes already."""

    def __init__(self, path: Path, before: bytes = b"") -> None:
        path.write_bytes(before)
        self.path = path
        self.file = os.open(path, os.O_RDWR)
        self.pipe, self.write_end = os.pipe2(os.O_NONBLOCK)
        set_pipe_capacity(self.pipe, 512 * KIB)
        self.account = account_alone()
        self.tail = Tail()
        self.tail.look(self.file, len(before))
        self.end = len(before)

    def loan(self, fits: int = _FITS) -> Loan:
        """Lend them."""
        return Loan(self.pipe, 512 * KIB, self.file, self.end, fits, self.tail, self.account)

    def write(self, data: bytes) -> None:
        """Write all to the pipe, which has room for it."""
        assert os.write(self.write_end, data) == len(data)

    def close(self) -> None:
        """Close all descriptors."""
        for one in (self.file, self.pipe, self.write_end):
            if one >= 0:
                os.close(one)


@pytest.fixture
def lent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lent]:
    """What is lent; there is as much time as it takes."""
    monkeypatch.setattr(mover, "LENT_SECONDS", 60.0)
    one = Lent(tmp_path / "log", b"before ")
    yield one
    one.close()


def alone() -> bool:
    """Return that no other log waits."""
    return False


def test_what_is_in_the_pipe_goes_to_the_end_of_the_file(lent: Lent) -> None:
    """In order, and the account has it; then little comes, and the log goes back."""
    text = os.urandom(300_000)
    lent.write(text)
    loan = lent.loan()
    loan.run(alone)
    assert lent.path.read_bytes() == b"before " + text
    assert loan.moved == len(text)
    assert loan.end == len(text) + 7 == lent.account.words[lent.account.at + END]
    assert loan.is_calm
    assert loan.cut_at == -1


def test_the_file_is_not_filled(lent: Lent) -> None:
    """What comes then follows the rules of rotation."""
    lent.write(b"x" * 4 * PIECE_BYTES)
    loan = lent.loan(fits=2 * PIECE_BYTES + 7)
    loan.run(alone)
    assert loan.moved == 2 * PIECE_BYTES
    assert not loan.is_calm


def test_the_end_of_the_guest_is_another_s_task(lent: Lent) -> None:
    """Nothing is left, and nobody has the write end."""
    lent.write(b"last words")
    os.close(lent.write_end)
    lent.write_end = -1
    loan = lent.loan()
    loan.run(alone)
    assert loan.moved == 10
    assert loan.is_calm


def _grow(lent: Lent) -> None:
    with lent.path.open("ab") as file:
        file.write(b"of another program")


def _cut(lent: Lent) -> None:
    os.truncate(lent.path, 3)


def _remove(lent: Lent) -> None:
    lent.path.unlink()


@pytest.mark.parametrize("change", [_grow, _cut, _remove])
def test_a_file_that_others_change_is_another_s_task(
    lent: Lent, change: Callable[[Lent], None]
) -> None:
    """Nothing is moved that would have to be counted, or written, otherwise."""
    lent.write(b"waits")
    change(lent)
    loan = lent.loan()
    loan.run(alone)
    assert loan.moved == 0
    assert not loan.is_calm
    assert os.read(lent.pipe, 10) == b"waits"


def test_a_cut_between_two_calls_is_noticed(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write that made the hole is the last one, and where it began is known."""
    lent.write(b"x" * 2 * PIECE_BYTES)
    splice = os.splice

    def splice_after_a_cut(*arguments: object, **options: object) -> int:
        os.truncate(lent.path, 0)
        return splice(*arguments, **options)  # type: ignore[arg-type]  # (as they came)

    monkeypatch.setattr(os, "splice", splice_after_a_cut)
    loan = lent.loan()
    loan.run(alone)
    assert loan.cut_at == 7
    assert loan.moved == PIECE_BYTES


def test_a_file_that_refuses_is_another_s_task(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows the rules meets the error again."""

    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    lent.write(b"waits")
    monkeypatch.setattr(os, "splice", refuse)
    loan = lent.loan()
    loan.run(alone)
    assert (loan.moved, loan.is_calm) == (0, False)


def test_an_empty_pipe_goes_back_where_others_wait(lent: Lent) -> None:
    """They need not wait until it has something."""
    loan = lent.loan()
    loan.run(lambda: True)
    assert loan.is_calm


def test_it_is_given_back_when_the_time_is_up(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a step, at least."""
    monkeypatch.setattr(mover, "LENT_SECONDS", 1e-9)
    lent.write(b"x" * 4 * PIECE_BYTES)
    loan = lent.loan()
    loan.run(alone)
    assert loan.moved == PIECE_BYTES


def test_what_others_had_of_the_processor_is_noticed(
    lent: Lent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rests are not counted, and what the process itself used is not."""
    lent.write(b"x" * PIECE_BYTES)
    loan = lent.loan()
    monkeypatch.setattr(mover, "_LITTLE_BYTES", 1)
    monkeypatch.setattr(mover, "_STARVED_SECONDS", 1.0)
    loan.run(alone)
    assert not loan.is_starved
    monkeypatch.setattr(mover, "_STARVED_SECONDS", -1.0)
    loan.run(alone)
    assert loan.is_starved


def test_what_has_not_begun_never_will(lent: Lent) -> None:
    """Whoever wants it back has it at once, and only one of the two."""
    lent.write(b"waits")
    loan = lent.loan()
    assert loan.want_back()
    assert not loan.want_back()
    assert not loan.begin()
    loan.wait()
    other = lent.loan()
    assert other.begin()
    assert not other.want_back()
    other.run(alone)
    other.finish()
    other.wait()
    assert other.moved == 0


def test_who_waits_ends_a_rest(lent: Lent, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long that would last."""
    for name in ("_SHORTEST_REST_SECONDS", "_LONGEST_REST_SECONDS"):
        monkeypatch.setattr(mover, name, 50.0)
    reactor = FakeReactor()
    thread = Mover(reactor)
    seen: list[Loan] = []
    lent.write(b"x" * PIECE_BYTES)
    loan = lent.loan()
    thread.begin(loan, seen.append)
    assert thread.is_busy
    while loan.end < PIECE_BYTES:
        os.sched_yield()
    thread.settle(loan)
    assert loan.moved == PIECE_BYTES
    reactor.run_until(lambda: bool(seen))
    assert seen == [loan]
    assert not thread.is_busy
    thread.close()


def test_a_failure_ends_nothing(
    lent: Lent, monkeypatch: pytest.MonkeyPatch, expected_failures: list[str]
) -> None:
    """The next loan is moved, and so is this one's owner told."""
    expected_failures.append("division by zero")
    reactor = FakeReactor()
    thread = Mover(reactor)
    seen: list[Loan] = []
    run = Loan.run
    monkeypatch.setattr(Loan, "run", lambda *_: 1 / 0)
    thread.begin(lent.loan(), seen.append)
    reactor.run_until(lambda: len(seen) == 1)
    monkeypatch.setattr(Loan, "run", run)
    lent.write(b"text")
    thread.begin(lent.loan(), seen.append)
    reactor.run_until(lambda: len(seen) == 2)
    assert lent.path.read_bytes() == b"before text"
    thread.close()
