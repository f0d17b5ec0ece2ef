"""How one log is kept: the limits of its files, and what happens while they cannot be written.

A policy is resolved when a log is opened and when the configuration is read again. Logs of the same
kind share one object, so that each of ten thousand pays for a pointer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from twisted_virtlog.logs.files.rotation import Limits
from twisted_virtlog.logs.rate import Rate
from twisted_virtlog.values import Domain, OnWriteError


@dataclass(frozen=True, slots=True)
class Policy:
    """What holds for a log.

    :ivar limits: of rotation.
    :ivar on_write_error: what becomes of its guest while its file cannot be written.
    :ivar keep_on_truncate: who wants an empty log gets a new file, and the former ones stay.
    :ivar rate: what it takes in a time; None is no limit.
    :ivar quota: bytes on disk of all files of its guest's logs; 0 for no limit.
    """

    limits: Limits
    on_write_error: OnWriteError = OnWriteError.DROP
    keep_on_truncate: bool = False
    rate: Rate | None = None
    quota: int = 0


@dataclass(frozen=True, slots=True)
class HostBounds:
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

    def __call__(self, file: str, driver: str | None, domain: Domain | None) -> Policy:
        """Return the policy.

        :param file: the path of the log's current file.
        :param driver: who opened the log; None if it is not open and only read.
        :param domain: the guest, if one was named.
        """


def one_for_all(policy: Policy) -> PolicyOf:
    """Return a resolver by which all logs have the same policy."""

    def policy_of(file: str, driver: str | None, domain: Domain | None) -> Policy:
        return policy

    return policy_of
