"""Reads which descriptors the service manager handed over: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES.

Odd cases end as in libvirt 9.0.0's virtlogd: what is not meant for this process counts as nothing,
and so do names whose number is not that of the descriptors. Without names virtlogd binds sockets of
its own; here the descriptors are taken in order.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from twisted_virtlog.systemd.names import (
    CONFIGURATION,
    COUNTS,
    JOURNALS,
    dropping_inode,
    is_lane,
    pipe_inode,
    staging_inode,
)

#: The first descriptor handed over; SD_LISTEN_FDS_START of sd_listen_fds(3).
FIRST = 3

#: No process has more descriptors; a larger number is a mistake.
_MOST = 1 << 20

#: Servers by the names of systemd's socket units; without names, descriptors are in this order.
SERVERS = {
    "virtlogd.socket": "virtlogd",
    "virtlogd-admin.socket": "admin",
    "virtlogd-jsonrpc.socket": "jsonrpc",
    "virtlogd-jsonrpc-ro.socket": "jsonrpc-ro",
    "virtlogd-metrics.socket": "metrics",
}


class Activation(Struct, frozen=True):
    """What was handed over, all of it this process's.

    :ivar sockets: by the name of the server that is to listen on them.
    :ivar pipes: the inode number that each stored pipe should have.
    :ivar staging: likewise of lanes' staging pipes.
    :ivar lanes: the names of lanes' records.
    :ivar journals: the names of the stored journals.
    :ivar configurations: those of the text of the last configuration that was right; one, or none.
    :ivar counts: what was counted of logs; one, or none.
    :ivar dropping: the inode number that each drop pipe should have.
    :ivar unclaimed: the names of those that nobody knows.
    :ivar mistake: why the variables say nothing, if they should.
    """

    sockets: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    pipes: Mapping[int, int] = field(default_factory=dict)
    journals: Mapping[int, str] = field(default_factory=dict)
    configurations: tuple[int, ...] = ()
    unclaimed: Mapping[int, str] = field(default_factory=dict)
    staging: Mapping[int, int] = field(default_factory=dict)
    lanes: Mapping[int, str] = field(default_factory=dict)
    counts: tuple[int, ...] = ()
    dropping: Mapping[int, int] = field(default_factory=dict)
    mistake: str | None = None

    @property
    def descriptors(self) -> list[int]:
        """All of them."""
        sockets = [one for group in self.sockets.values() for one in group]
        kept = [*self.pipes, *self.staging, *self.lanes, *self.journals, *self.configurations]
        return [*sockets, *kept, *self.counts, *self.dropping, *self.unclaimed]


NOTHING = Activation()


def read(environment: Mapping[str, str], pid: int) -> Activation:
    """Understand the variables.

    :param environment: as the process got it; Twisted removes some of them.
    :param pid: of this process.
    """
    if environment.get("LISTEN_PID") != str(pid):
        return NOTHING
    text = environment.get("LISTEN_FDS", "")
    count = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(_MOST)) else 0
    if not count:
        return NOTHING
    descriptors = range(FIRST, FIRST + count)
    listed = environment.get("LISTEN_FDNAMES")
    if listed is None:
        names = list(SERVERS)[:count]
        names += [""] * (count - len(names))
    else:
        names = listed.split(":")
    if len(names) != count:
        return Activation(mistake=f"LISTEN_FDS is {count}, but LISTEN_FDNAMES has {len(names)}")
    return _sorted(dict(zip(descriptors, names, strict=True)))


def _sorted(names: Mapping[int, str]) -> Activation:
    sockets: dict[str, tuple[int, ...]] = {}
    pipes: dict[int, int] = {}
    journals: dict[int, str] = {}
    configurations: list[int] = []
    counts: list[int] = []
    staging: dict[int, int] = {}
    lanes: dict[int, str] = {}
    dropping: dict[int, int] = {}
    unclaimed: dict[int, str] = {}
    for descriptor, name in names.items():
        inode, staged, drops = pipe_inode(name), staging_inode(name), dropping_inode(name)
        if name in SERVERS:
            server = SERVERS[name]
            sockets[server] = (*sockets.get(server, ()), descriptor)
        elif name in JOURNALS:
            journals[descriptor] = name
        elif name == CONFIGURATION:
            configurations.append(descriptor)
        elif name == COUNTS:
            counts.append(descriptor)
        elif inode is not None:
            pipes[descriptor] = inode
        elif staged is not None:
            staging[descriptor] = staged
        elif drops is not None:
            dropping[descriptor] = drops
        elif is_lane(name):
            lanes[descriptor] = name
        else:
            unclaimed[descriptor] = name
    return Activation(
        sockets,
        pipes,
        journals,
        tuple(configurations),
        unclaimed,
        staging,
        lanes,
        tuple(counts),
        dropping,
    )
