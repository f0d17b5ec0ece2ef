"""How a service manager started the process: its environment, and what was handed over in it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from twisted_virtlog.systemd.activation import NOTHING, Activation, read


class Invocation(Struct, frozen=True):
    """How the process was started; without a service manager both parts are empty.

    :ivar environment: as the process got it.
    :ivar activation: what was handed over, according to it.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    activation: Activation = NOTHING


def invocation(environment: Mapping[str, str], pid: int, resumed: bool) -> Invocation:
    """Read the environment of a process that a service manager may have started.

    :param pid: this process's id.
    :param resumed: whether it took over from the daemon's former image. What had been handed over
        to that is in its state, though the variables may still be there.
    """
    return Invocation(environment, NOTHING if resumed else read(environment, pid))
