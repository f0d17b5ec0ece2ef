"""The pipe of a guest whom another followed, while its last output waits for the file."""

from __future__ import annotations

import os
from datetime import datetime

from msgspec import Struct

from twisted_virtlog.handover.state import (
    NO_UUID,
    LogDetails,
    OpenLogState,
    former_path,
)
from twisted_virtlog.syscalls import bytes_waiting, pipe_number
from twisted_virtlog.values import Domain


class FormerPipe(Struct):
    """A read end, from which some bytes go into the log's file before those of later pipes.

    :ivar number: the pipe's inode number.
    :ivar order: as in LogDetails; likewise ``left``.
    """

    pipe: int
    number: int
    order: int
    left: int
    driver: str
    domain: Domain | None
    opened_at: datetime

    def suspended(self, path: str, file: str, real_path: str) -> OpenLogState:
        """Return what the daemon's next image needs to go on with it.

        :param path: of the log; the others are as in LogDetails.
        """
        domain = self.domain or Domain(NO_UUID, "")
        return OpenLogState(
            pipe=self.pipe,
            path=former_path(path, self.order),
            driver=self.driver,
            domain_name=domain.name,
            domain_uuid=domain.uuid,
            details=LogDetails(
                opened_at=self.opened_at,
                file=file,
                real_path=real_path,
                has_domain=self.domain is not None,
                order=self.order,
                left=self.left,
                log=path,
            ),
        )


def resumed(state: OpenLogState, order: int, opened_at: datetime, staged: int = 0) -> FormerPipe:
    """Go on with a pipe that was taken over; all that waits in it now counts, but no more.

    :param order: among the pipes of its log.
    :param staged: how many bytes have left the pipe, and are not in the file.
    :param opened_at: where the state does not say when its guest opened the log.
    :raises OSError: its descriptor is not open.
    """
    waiting = staged + bytes_waiting(state.pipe)
    details = state.details
    left = waiting if details is None or details.left is None else min(details.left, waiting)
    os.set_blocking(state.pipe, False)
    return FormerPipe(
        state.pipe,
        pipe_number(state.pipe),
        order,
        left,
        state.driver,
        state.domain,
        details.opened_at if details else opened_at,
    )
