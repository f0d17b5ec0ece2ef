"""How one log is kept: the limits of its files, and what happens while they cannot be written.

A policy is resolved when a log is opened and when the configuration is read again. Logs of the same
kind share one object, so that each of ten thousand pays for a pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.values import Domain, OnWriteError, PolicyWord


class Policy(Struct, frozen=True):
    """What holds for a log.

    :ivar limits: of rotation.
    :ivar on_write_error: what becomes of its guest while its file cannot be written.
    :ivar keep_on_truncate: who wants an empty log gets a new file, and the former ones stay.
    :ivar rate: what it takes in a time; None is no limit.
    :ivar pipe_size: bytes that its pipe should hold; None: as many as those of all.
    :ivar quota: bytes on disk of all files of its guest's logs; 0 for no limit.
    :ivar hold: consumers for which it is held from its beginning on.
    :ivar pack_from: the number of the first backup that is packed; None: none is.
    """

    limits: Limits
    on_write_error: OnWriteError = OnWriteError.DROP
    keep_on_truncate: bool = False
    rate: Rate | None = None
    pipe_size: int | None = None
    quota: int = 0
    hold: tuple[str, ...] = ()
    pack_from: int | None = None


class HostBounds(Struct, frozen=True):
    """What all logs together may take up.

    :ivar keep_free: bytes to be left free on each file system; 0 for none.
    :ivar max_use: bytes on disk of all logs; 0 for no limit.
    :ivar quotas: whether any log's policy may have a quota.
    """

    keep_free: int = 0
    max_use: int = 0
    quotas: bool = False

    @property
    def counts(self) -> bool:
        """Whether it has to be known what the files of logs take up."""
        return self.quotas or self.max_use > 0


NO_BOUNDS = HostBounds()


class PolicyOf(Protocol):
    """Resolves the policy of a log."""

    def __call__(self, path: str, driver: str | None, domain: Domain | None) -> Policy:
        """Return the policy; any thread may ask.

        :param path: of the log, without symbolic links.
        :param driver: who opened the log last; None if nobody knows.
        :param domain: the guest, if one was named.
        """


class Explain(Protocol):
    """Says what holds for a log, and why."""

    def __call__(
        self, path: str, driver: str | None, domain: Domain | None
    ) -> Mapping[str, PolicyWord]:
        """Return each word of a log's policy; the parameters are those of PolicyOf."""


def unexplained(path: str, driver: str | None, domain: Domain | None) -> Mapping[str, PolicyWord]:
    """Say nothing."""
    return {}


def one_for_all(policy: Policy) -> PolicyOf:
    """Return a resolver by which all logs have the same policy."""

    def policy_of(path: str, driver: str | None, domain: Domain | None) -> Policy:
        return policy

    return policy_of


#: What rules say, by the names of the words; a word is a key of the configuration.
Words: TypeAlias = "Mapping[str, int | str]"


class Rule(Protocol):
    """What holds for some logs."""

    @property
    def words(self) -> Sequence[tuple[str, int | str]]:
        """What it says."""

    def matches(self, path: str, driver: str | None, domain: Domain | None) -> bool:
        """Return whether it is for a log; see PolicyOf."""


class Policies:
    """Resolves policies by rules: for each word, the first that is for the log and has it decides.

    Equal policies are one object.
    """

    def __init__(self, rules: Sequence[Rule], make: Callable[[Words], Policy]) -> None:
        """:param make: makes a policy of what rules say; where they say nothing the keys hold."""
        self._rules = tuple(enumerate(rules))
        self._make = make
        self._usual = make({})
        self._made = {self._usual: self._usual}
        # By the numbers of the rules that are for a log.
        self._by_rules: dict[tuple[int, ...], Policy] = {(): self._usual}

    def __call__(self, path: str, driver: str | None, domain: Domain | None) -> Policy:
        """Return the policy of a log; see PolicyOf."""
        if not self._rules:
            return self._usual
        numbers = self._matching(path, driver, domain)
        policy = self._by_rules.get(numbers)
        if policy is None:
            words = {
                name: value
                for number in reversed(numbers)
                for name, value in self._rules[number][1].words
            }
            policy = self._make(words)
            # (another thread may have made the same just now)
            policy = self._made.setdefault(policy, policy)
            self._by_rules[numbers] = policy
        return policy

    def origins(self, path: str, driver: str | None, domain: Domain | None) -> Mapping[str, int]:
        """Return which rule decides each word that rules decide for a log, by its number."""
        return {
            name: number
            for number in reversed(self._matching(path, driver, domain))
            for name, _ in self._rules[number][1].words
        }

    def _matching(self, path: str, driver: str | None, domain: Domain | None) -> tuple[int, ...]:
        return tuple(n for n, rule in self._rules if rule.matches(path, driver, domain))
