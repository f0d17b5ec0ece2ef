"""The parts of the daemon that its own log speaks of, by names that outlast the source's layout.

A filter of the configuration matches a part's name or one of its modules. So that filters go on to
work, a name is never taken away, and a module that is moved leaves its former name here.
"""

from __future__ import annotations

from functools import lru_cache

_PACKAGE = "twisted_virtlog."

#: The name of each part, and the modules, without the package, that it consists of or did.
PARTS: dict[str, tuple[str, ...]] = {
    "daemon": ("service", "daemon", "tap", "cli.start", "clock", "event_set"),
    "configuration": ("configuration",),
    "handover": ("handover", "takeover"),
    "clients": ("connection", "conversation", "reception", "listening", "servers"),
    "clients.libvirt": ("rpc.protocol",),
    "clients.jsonrpc": ("jsonrpc.protocol",),
    "logs": ("logs.attributes", "logs.failing", "logs.handler", "logs.open_log", "logs.watch"),
    "logs.cleaner": ("logs.cleaner",),
    "systemd": ("systemd.inherited", "systemd.notify", "systemd.store"),
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
