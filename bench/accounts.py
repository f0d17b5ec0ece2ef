"""What it costs to count what becomes of bytes: for a move, and for what is rarer.

    python -m bench.accounts

A move is a store of one word. Each line is the least of some runs, as others use the machine too,
less what it takes to do nothing. What is dropped goes to /dev/null at once where nothing outlives
the process, and else through a pipe that does.
"""

from __future__ import annotations

import os
import sys
import time
import timeit
from collections.abc import Callable

from twisted_virtlog.handover.keeper import NO_KEEPER, NoKeeper
from twisted_virtlog.logs.accounts.account import Account, SeenFile
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.layout import APPENDED, GUEST
from twisted_virtlog.logs.pipes.drops import Drops
from twisted_virtlog.values import DropReason, RemovalReason

#: In microseconds; the goal.
MOST_FOR_A_MOVE = 0.3

_TIMES = 100_000
_RUNS = 7
_DROPS = 3000


def account() -> Account:
    """Return the account of an open log."""
    made = Accounts().make()
    made.use(SeenFile(7, 0), [])
    return made


class _Writer:
    """What a writer has for it."""

    __slots__ = ("account", "end")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.end = 0


def microseconds(call: Callable[[], object] | str, writer: _Writer | None = None) -> float:
    """Return how long a call takes, or a statement about a ``writer``, of the processor's time."""
    timer = timeit.Timer(call, timer=time.process_time, globals={"writer": writer})
    return min(timer.repeat(_RUNS, _TIMES)) / _TIMES * 1e6


def of_a_move() -> float:
    """Return what a move costs more when it is counted, in microseconds."""
    writer = _Writer(account())
    counted = "account = writer.account; account.words[account.at] = writer.end = 1064"
    return microseconds(counted, writer) - microseconds("writer.end = 1064", writer)


def rarer() -> dict[str, float]:
    """Return what else costs, in microseconds."""
    one, file, accounts = account(), SeenFile(7, 0), Accounts()

    def append() -> None:
        one.turn(APPENDED)
        one.turn(GUEST)

    def roll_over() -> None:
        one.removing(file, RemovalReason.ROTATION)
        one.removed(0, file, RemovalReason.ROTATION)
        one.renamed(-1, 0, file)
        one.use(file, [file])

    def open_and_close() -> None:
        made = accounts.make()
        accounts.name(made, 5)
        made.use(file, [])
        accounts.close(made)

    nothing = microseconds(lambda: None)
    deeds: dict[str, Callable[[], object]] = {
        "a message": append,
        "a drop": lambda: one.drop(1, DropReason.RATE),
        "a roll-over": roll_over,
        "a log, opened and closed": open_and_close,
        "a ledger": lambda: one.ledger(0, 0),
    }
    return {name: microseconds(deed) - nothing for name, deed in deeds.items()}


class _Store(NoKeeper):
    """Keeps drop pipes, as a service manager does."""

    def dropping(self, read_end: int) -> Callable[[], bool]:
        """Return what says that the pipe is kept."""
        return lambda: True


def of_a_drop(size: int, keeper: NoKeeper) -> float:
    """Return what it takes to drop so many bytes of a guest that is beyond its rate, likewise."""
    accounts = Accounts()
    one, drops = accounts.make(), Drops(accounts, keeper)
    one.use(SeenFile(7, 0), [])
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    data, runs = bytes(size), []
    try:
        for _ in range(_RUNS):
            took = 0.0
            for _ in range(_DROPS):
                os.write(write_end, data)
                begun = time.perf_counter()
                drops.drop(read_end, size, one, DropReason.RATE, last=len)
                took += time.perf_counter() - begun
            runs.append(took)
    finally:
        drops.close()
        os.close(read_end)
        os.close(write_end)
    return min(runs) / _DROPS * 1e6


def main() -> int:
    """Print all; the exit status tells whether a move costs no more than it may."""
    move = of_a_move()
    print(f"a move: {move:.3f} us")
    for name, took in rarer().items():
        print(f"{name}: {took:.2f} us")
    for size in (100, 65536):
        at_once, kept = of_a_drop(size, NO_KEEPER), of_a_drop(size, _Store())
        print(f"{size} bytes dropped: {at_once:.2f} us at once, {kept:.2f} us through a pipe")
    return int(move > MOST_FOR_A_MOVE)


if __name__ == "__main__":
    sys.exit(main())
