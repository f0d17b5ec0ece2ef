"""The rooms that doc/architecture.md draws, and what is pure, read off the imports."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "twisted_virtlog"


@dataclass(frozen=True)
class Room:
    """A package or module directly in the package.

    :ivar imports: the rooms that it may import.
    :ivar public: its modules that other rooms may import; what the room's own name gives is public.
    """

    imports: str = ""
    public: str = ""


#: The rooms, in the order in which they are built on each other: a room may import those that its
#: row names, and its row may name those above it alone. So there are no circles.
#:
#: The table is checked both ways. An import that is not here fails, and so does a name here that no
#: import needs any more. To change it: ask first whether the room should know of the other at all,
#: or whether an interface, or a value in values.py, would do. Then name the room in "imports", and
#: the module in the other's "public". If the other stands below, one of the two is in the wrong
#: place: do not exchange rows until it seems to fit, move what both need further up.
ROOMS: dict[str, Room] = {
    # The vocabulary.
    "values": Room(),
    "escaping": Room(),
    "syscalls": Room(),
    "errors": Room("values"),
    "interfaces": Room("values"),
    "packed": Room("", "codec format messages reading restoring"),
    # What knows neither logs nor clients.
    "config": Room("values", "endpoint_strings globs logging paths settings"),
    "loop": Room(
        "syscalls",
        "client_sockets clock concern durations guard guest_pipes guest_watches idle processes"
        " shares signals slices stall_watch stalls thread_loop threads timerfd turns",
    ),
    "handover": Room(
        "errors loop values", "giving keeper ownership state successor suspension taking"
    ),
    "history": Room("loop syscalls values", "file_system index kept ranges records"),
    # Logs, clients, and the two doors between them.
    "logs": Room(
        "errors escaping handover history interfaces loop packed syscalls values",
        "accounts.accounts accounts.drop_record accounts.memory all_logs bounds.survey"
        " consumers.acknowledging consumers.consumers files.cleaner files.cleaning"
        " files.roots files.rotation"
        " following.following handler history lanes.mounts observing"
        " packing.packing packing.process pipes.closing pipes.making policy rate read_only",
    ),
    "sockets": Room(
        "config errors handover interfaces loop syscalls values",
        "asking conversation descriptor_budget doors http outgoing reception request_budget server"
        " urls",
    ),
    "metrics": Room("interfaces loop sockets values", "conversation metrics"),
    "jsonrpc": Room("errors handover interfaces loop sockets values", "method protocol"),
    "libvirt": Room(
        "config errors interfaces loop sockets values",
        "admin_program log_program program protocol",
    ),
    "administration": Room("config errors interfaces sockets values"),
    # The daemon, in any application.
    "service": Room(
        "administration config errors handover history interfaces jsonrpc libvirt logs loop metrics"
        " sockets values"
    ),
    # The daemon as a process.
    "systemd": Room(
        "errors escaping handover loop sockets syscalls",
        "activation inherited invocation supervision",
    ),
    "daemon": Room(
        "config errors escaping handover interfaces logs loop service systemd values",
        "plugin process twistd",
    ),
    "tap": Room("daemon service"),
    # Other programs, which know the daemon by its socket.
    "client": Room(
        "config values",
        "asyncio_client asyncio_feed blocking_following calls deferred deferred_feed"
        " deferred_streams feed notifications streams usual_socket",
    ),
    "web": Room("client packed values"),
    "ctl": Room(
        "client config escaping packed values",
        "excerpt grep.pattern grep.pieces grep.printing grep.run grep.search groups outcomes"
        " parameters progress ranges recording settings tables tail_output tailing time_options"
        " wait_command wait_output waiting",
    ),
    "ship": Room(
        "client config values", "configuration headers messages sink_settings subjects tls"
    ),
    "fleet": Room("client config ctl escaping ship values"),
}

#: Values in, values out: no Twisted, no socket, no clock. What a module may import all the same
#: stands beside it.
PURE: dict[str, tuple[str, ...]] = {
    "values": (),
    "errors": (),
    "escaping": (),
    "sockets.http": (),
    "sockets.urls": (),
    "handover.state": (),
    "daemon.command.getopt_long": (),
    "daemon.command.options": (),
    "config.endpoint_strings": (),
    "config.grammar": (),
    "config.paths": (),
    "history.moments": (),
    "history.marks": (),
    "history.wall_times": (),
    "history.ranges": (),
    "history.records": (),
    "history.kept": (),
    "history.deeds": (),
    "history.waiting": (),
    "history.rows": (),
    "history.schema": (),
    "loop.concern": (),
    "loop.durations": (),
    "loop.stalls": (),
    "packed.format": (),
    "packed.messages": (),
    "logs.files.names": (),
    "logs.files.rotation": (),
    "logs.files.cleaning": (),
    "logs.consumers.progress": (),
    "logs.accounts.layout": (),
    "logs.accounts.slots": (),
    "logs.accounts.account": (),
    "logs.accounts.drop_record": (),
    "logs.bounds.usage": (),
    "logs.bounds.free_space": (),
    "logs.bounds.leases": (),
    "logs.lanes.mounts": (),
    "logs.lanes.choice": (),
    "logs.policy": (),
    "logs.pipes.budget": (),
    "logs.outage": (),
    "logs.rate": (),
    "logs.excess": (),
    "config.globs": (),
    "ship.subjects": (),
    "ship.messages": (),
    "ship.arrivals": (),
    "ship.headers": (),
    "ship.counts": (),
    "ship.sink": (),
    "ship.keys": (),
    "ship.lines": (),
    "ship.protobuf": (),
    "ship.otlp_records": (),
    "ship.syslog": (),
    "ship.relp_frames": (),
    "ship.retrying": (),
    "fleet.errors": (),
    "fleet.stored": (),
    "config.logging": (),
    "config.policies": (),
    "metrics.family": (),
    "metrics.families": (),
    "metrics.requests": (),
    "metrics.text": (),
    "jsonrpc.scanner": (),
    "jsonrpc.framing": (),
    "jsonrpc.header_framing": (),
    "jsonrpc.http_framing": (),
    "jsonrpc.http_head": (),
    "jsonrpc.sniffing": (),
    "jsonrpc.messages": (),
    "jsonrpc.batch": (),
    "jsonrpc.long_result": (),
    "jsonrpc.params": (),
    "jsonrpc.schema": (),
    "jsonrpc.text": (),
    "jsonrpc.codes": (),
    "jsonrpc.openrpc": (),
    # A table calls the handler, whose interface it knows and no more.
    "jsonrpc.method": ("twisted_virtlog.interfaces",),
    "jsonrpc.methods": ("twisted_virtlog.interfaces",),
    "jsonrpc.history_methods": ("twisted_virtlog.interfaces",),
    "jsonrpc.ledger_methods": ("twisted_virtlog.interfaces",),
    "jsonrpc.consumer_methods": ("twisted_virtlog.interfaces",),
    "jsonrpc.patience": (),
    "jsonrpc.policy_methods": ("twisted_virtlog.interfaces",),
    "jsonrpc.files_methods": ("twisted_virtlog.interfaces",),
    "jsonrpc.entries": (),
    "jsonrpc.log_methods": ("twisted_virtlog.interfaces", "twisted.internet.defer"),
    "jsonrpc.follow_methods": (
        "twisted_virtlog.interfaces",
        "twisted.internet.defer",
        "twisted.python.failure",
    ),
    "jsonrpc.daemon_methods": ("twisted_virtlog.interfaces",),
    "jsonrpc.admin_methods": (),
    "libvirt.xdr": (),
    "libvirt.framing": (),
    "libvirt.messages": (),
    "libvirt.compound": (),
    "libvirt.errors": (),
    "libvirt.libvirt_texts": (),
    "libvirt.program": ("twisted_virtlog.interfaces",),
    "libvirt.log_program": ("twisted_virtlog.interfaces",),
    "libvirt.typed_params": (),
    "libvirt.admin_types": (),
    "libvirt.admin_calls": ("twisted_virtlog.interfaces",),
    "libvirt.admin_program": ("twisted_virtlog.interfaces",),
    # Type checkers see what each client returns.
    "client.call": ("twisted.internet.defer", "asyncio"),
    "client.calls": (),
    "client.members": (),
    "client.history_calls": (),
    "client.admin_calls": (),
    "client.notifications": (),
    "client.subscriptions": (),
    "client.session": (),
    "client.follow_session": (),
    "client.watch_session": (),
    "client.dialogue": (),
    "client.errors": (),
    "ctl.grep.pattern": (),
    "ctl.grep.widening": (),
    "ctl.grep.finders": (),
    "ctl.grep.by_hyperscan": (),
    "ctl.grep.search": (),
    "ctl.terminal": (),
    "ctl.top.board": (),
    "ctl.top.text": (),
    "ctl.top.view": (),
    "ctl.waiting": (),
    "ctl.times.civil": (),
    "ctl.times.grammar": (),
    "ctl.times.moments": (),
    "ctl.times.spans": (),
    "systemd.activation": (),
    "systemd.invocation": (),
    "systemd.journal": (),
    "systemd.names": (),
    "web.access": (),
    "web.event_stream": ("twisted_virtlog.client",),
    "web.extent": (),
    "web.places": (),
    "web.queries": (),
    "web.rows": ("twisted_virtlog.client",),
    "web.search_process": ("twisted_virtlog.packed.reading",),
    "web.timeline": ("twisted_virtlog.client",),
    "web.times": ("twisted_virtlog.client",),
}

#: Nothing in these is pure.
IMPURE = {"twisted", "zope", "socket", "asyncio", "select", "subprocess", "threading", "time"}

#: These know nothing of one another.
APART = ("logs", "jsonrpc", "libvirt")

MODULES = sorted(PACKAGE.rglob("*.py"))
OURS = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in MODULES
    if path.name != "__init__.py"
}


class _Module(NamedTuple):
    """What is read off a module, whose tree would take much memory."""

    docstring: str | None
    imports: tuple[str, ...]


@cache
def _read(path: Path) -> _Module:
    tree = ast.parse(path.read_text())
    return _Module(ast.get_docstring(tree), tuple(_imported(path, tree)))


def _imports(path: Path) -> tuple[str, ...]:
    """Return the names of what a module imports, wherever in it: modules, and what is in them."""
    return _read(path).imports


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements in one, wherever they stand; expressions have none."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):
            yield child
            yield from _statements(child)


def _imported(path: Path, tree: ast.Module) -> Iterator[str]:
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relative to itself, which this cannot read"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room_of(name: str) -> str | None:
    """Return the room that a dotted name lies in; None if it is not one of ours."""
    package, _, rest = name.partition(".")
    return rest.partition(".")[0] if package == PACKAGE.name and rest else None


def _module_of(name: str) -> str:
    """Return the module that a dotted name means, or that it lies in."""
    is_module = name in OURS or (PACKAGE.parent / name.replace(".", "/")).is_dir()
    return name if is_module else name.rpartition(".")[0]


@cache
def _between_rooms() -> tuple[tuple[str, str, str], ...]:
    """Return each room, another that it imports, and the dotted name of what it imports there."""
    return tuple(_imported_between_rooms())


def _imported_between_rooms() -> Iterator[tuple[str, str, str]]:
    for path in MODULES:
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in _imports(path):
            other = _room_of(name)
            # (the package itself has the version)
            if other in ROOMS and room not in {other, "__init__"}:
                yield room, other, name


def _lies_in(name: str, modules: Iterable[str]) -> bool:
    """Return whether a name is one of some modules, or in one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def test_the_table_has_every_room() -> None:
    """A new one is put in its place."""
    found = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__init__", "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_the_rooms_that_the_table_names(room: str) -> None:
    """No more, and no fewer: what is no longer imported is taken out of the table."""
    imported = {other for importer, other, _ in _between_rooms() if importer == room}
    assert imported == set(ROOMS[room].imports.split())


def test_no_import_runs_back_up() -> None:
    """Each room is built on those above it."""
    order = list(ROOMS)
    back_up = [
        (room, other)
        for room in ROOMS
        for other in ROOMS[room].imports.split()
        if order.index(other) >= order.index(room)
    ]
    assert back_up == []


def test_rooms_import_what_is_public_in_others() -> None:
    """No room reaches into another's private modules, and what nobody uses is not public."""
    used: dict[str, set[str]] = defaultdict(set)
    for _, other, name in _between_rooms():
        module = _module_of(name).removeprefix(f"{PACKAGE.name}.{other}").removeprefix(".")
        used[other].update([module] if module else [])
    assert used == {room: set(ROOMS[room].public.split()) for room in ROOMS if room in used}


def test_rooms_import_no_private_names_of_others() -> None:
    """What begins with an underscore is for its own room."""
    private = [
        (room, name)
        for room, _, name in _between_rooms()
        if any(part.startswith("_") for part in name.split("."))
    ]
    assert private == []


#: Directories beside the package, and which of one another they may import. What tests and
#: benchmarks both need is in harness.
BESIDE: dict[str, tuple[str, ...]] = {
    "tests": ("harness", "tests"),
    "tests/bench": ("bench", "harness", "tests"),
    "bench": ("bench", "harness"),
    "fuzz": ("fuzz", "harness"),
    "harness": ("harness",),
}


@pytest.mark.lengthy
@pytest.mark.parametrize("directory", BESIDE)
def test_tests_and_benchmarks_stand_apart(directory: str) -> None:
    """Each can be changed without a look at the other."""
    others = {name.partition("/")[0] for name in BESIDE} - set(BESIDE[directory])
    paths = [
        path
        for path in (PACKAGE.parent / directory).rglob("*.py")
        if directory == "tests/bench" or "tests/bench" not in str(path)
    ]
    assert paths
    for path in paths:
        assert [name for name in _imports(path) if _lies_in(name, others)] == [], path


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_import_only_what_is_pure(module: str) -> None:
    """Neither a reactor nor a file is needed to test them."""
    path = PACKAGE / (module.replace(".", "/") + ".py")
    impure = IMPURE | OURS - {f"twisted_virtlog.{name}" for name in PURE}
    found = [name for name in _imports(path) if _lies_in(name, impure)]
    assert [name for name in found if not _lies_in(name, PURE[module])] == []


@pytest.mark.parametrize("package", APART)
def test_logs_and_protocols_do_not_import_one_another(package: str) -> None:
    """The handler's interface is all that a protocol knows of logs."""
    others = [f"twisted_virtlog.{other}" for other in APART if other != package]
    paths = list((PACKAGE / package).rglob("*.py"))
    assert paths
    for path in paths:
        assert [name for name in _imports(path) if _lies_in(name, others)] == [], path


#: The page's own, in a process of its own.
WEB_PLUGIN = PACKAGE / "web" / "tap.py"


def test_only_the_plugins_and_the_command_import_the_global_reactor() -> None:
    """Everywhere else the reactor is a parameter, so that any application can embed the daemon."""
    reactor = ["twisted.internet.reactor"]
    users = [path for path in MODULES if any(_lies_in(name, reactor) for name in _imports(path))]
    assert users == [PACKAGE / "daemon" / "command" / "start.py", PACKAGE / "tap.py", WEB_PLUGIN]


def test_the_command_line_is_read_without_twisted() -> None:
    """Neither --version nor a mistake waits for the import of all that the daemon needs."""
    for name in ("main", "background", "getopt_long", "options", "outcome", "pid_file"):
        path = PACKAGE / "daemon" / "command" / f"{name}.py"
        assert [one for one in _imports(path) if _lies_in(one, ["twisted", "zope"])] == [], path


#: The rooms of other programs.
_NOT_THE_DAEMON = ("client", "ctl", "fleet", "ship", "web")


def test_the_daemon_has_no_dataclasses() -> None:
    """Each compiles half a dozen methods at every start; a Struct of msgspec is there at once."""
    users = [path for path in MODULES if "dataclasses" in _imports(path)]
    rooms = {path.relative_to(PACKAGE).parts[0] for path in users}
    assert rooms <= set(_NOT_THE_DAEMON)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_its_purpose_in_one_line(path: Path) -> None:
    """Its docstring begins with a sentence."""
    docstring = _read(path).docstring
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "?"))
