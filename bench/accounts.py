"""What it costs to count what becomes of bytes: for a move, and for what is rarer.

    python -m bench.accounts

A move is a store of one word. Each line is the least of some runs, as others use the machine too,
less what it takes to do nothing.
"""

from __future__ import annotations

import sys
import time
import timeit
from collections.abc import Callable

from twisted_virtlog.logs.accounts.account import Account, SeenFile
from twisted_virtlog.logs.accounts.accounts import Accounts
from twisted_virtlog.logs.accounts.layout import APPENDED, GUEST
from twisted_virtlog.values import DropReason, RemovalReason

#: In microseconds; the goal.
MOST_FOR_A_MOVE = 0.3

_TIMES = 100_000
_RUNS = 7


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


def main() -> int:
    """Print all; the exit status tells whether a move costs no more than it may."""
    move = of_a_move()
    print(f"a move: {move:.3f} us")
    for name, took in rarer().items():
        print(f"{name}: {took:.2f} us")
    return int(move > MOST_FOR_A_MOVE)


if __name__ == "__main__":
    sys.exit(main())
