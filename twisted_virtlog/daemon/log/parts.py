"""The parts of the daemon that its own log speaks of, by names that outlast the source's layout.

A filter of the configuration matches a part's name or one of its modules. So that filters go on to
work, a name is never taken away, and a module that is moved leaves its former name here.
"""

from __future__ import annotations

from functools import lru_cache

_PACKAGE = "twisted_virtlog."

#: The name of each part, and the modules, without the package, that it consists of.
_MODULES: dict[str, str] = {
    "daemon": "service tap daemon.counts daemon.ending daemon.process daemon.reload"
    " daemon.command.start loop.clock loop.client_sockets loop.stall_watch loop.shares",
    "configuration": "daemon.configuration",
    "history": "history.boot_clock history.index history.keeping logs.history",
    "handover": "handover.giving handover.suspension handover.taking",
    "clients": "sockets.binding sockets.connection sockets.conversation sockets.doors"
    " sockets.listener sockets.reception sockets.server",
    "clients.libvirt": "libvirt.protocol",
    "clients.jsonrpc": "jsonrpc.protocol jsonrpc.subscriptions",
    "logs": "logs.all_logs logs.bounds.bounds logs.bounds.survey"
    " logs.consumers.acknowledging logs.consumers.holding logs.failing logs.files.attributes"
    " logs.flooding logs.following.announcing logs.following.following logs.handler logs.lanes.lane"
    " logs.lanes.lane_logs logs.lanes.locks logs.lanes.table logs.open_log logs.packing.packing"
    " logs.packing.process logs.pipes.mover logs.spaces loop.guest_pipes loop.thread_loop",
    "logs.cleaner": "logs.files.cleaner logs.files.search",
    "systemd": "systemd.inherited systemd.notify systemd.store",
}

#: The modules that a part consisted of in former releases.
_FORMER: dict[str, str] = {
    "daemon": "daemon cli.start clock event_set",
    "configuration": "configuration",
    "handover": "handover takeover",
    "clients": "connection conversation reception listening servers",
    "clients.libvirt": "rpc.protocol",
    "logs": "logs.attributes logs.watch",
    "logs.cleaner": "logs.cleaner",
}

#: All modules that a filter may name to mean a part, by the part's name.
PARTS: dict[str, tuple[str, ...]] = {
    part: (*modules.split(), *_FORMER.get(part, "").split()) for part, modules in _MODULES.items()
}

_PART_OF_MODULE = {module: part for part, modules in PARTS.items() for module in modules}


@lru_cache(maxsize=1024)
def part_of_namespace(namespace: str) -> str:
    """Return the name of the part that a logger belongs to.

    :param namespace: the logger's, the name of a module or of a class in it.
    :returns: the namespace itself, if it is of no part.
    """
    name = namespace.removeprefix(_PACKAGE)
    if name != namespace:
        for module in (name, name.rpartition(".")[0]):
            if module in _PART_OF_MODULE:
                return _PART_OF_MODULE[module]
    return namespace


@lru_cache(maxsize=1024)
def names_of(namespace: str) -> tuple[str, ...]:
    """Return all names by which a filter may mean a logger: its part's, its own, its modules'."""
    part = part_of_namespace(namespace)
    modules = PARTS.get(part, ())
    return (part, namespace, *(_PACKAGE + module for module in modules))
