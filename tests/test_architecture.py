"""The layering that doc/architecture.md draws, read off the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "twisted_virtlog"

#: Values in, values out: no Twisted, no socket, no clock. What a module may import all the same
#: stands beside it.
PURE: dict[str, tuple[str, ...]] = {
    "values": (),
    "errors": (),
    "escaping": (),
    "sockets.urls": (),
    "handover.state": (),
    "daemon.command.getopt_long": (),
    "daemon.command.options": (),
    "config.endpoint_strings": (),
    "config.grammar": (),
    "config.paths": (),
    "logs.files.rotation": (),
    "logs.files.cleaning": (),
    "logs.pipes.budget": (),
    "logs.outage": (),
    "config.logging": (),
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
    "jsonrpc.admin_methods": (),
    "jsonrpc.admin_schema": (),
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
    "client.admin_calls": (),
    "client.dialogue": (),
    "client.errors": (),
    "systemd.activation": (),
    "systemd.invocation": (),
    "systemd.journal": (),
    "systemd.names": (),
}

#: Of these nothing is pure.
IMPURE = {"twisted", "zope", "socket", "asyncio", "select", "subprocess", "threading", "time"}

#: These know nothing of one another.
APART = ("logs", "jsonrpc", "libvirt")

MODULES = sorted(PACKAGE.rglob("*.py"))
OURS = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in MODULES
    if path.name != "__init__.py"
}


def _imports(path: Path) -> Iterator[str]:
    """Give the names of what a module imports, wherever in it: modules, and what is in them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relative to itself, which this cannot read"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _lies_in(name: str, modules: Iterable[str]) -> bool:
    """Tell whether a name is one of some modules, or in one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


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


def test_only_the_plugin_and_the_command_import_the_global_reactor() -> None:
    """Everywhere else the reactor is a parameter, so that any application can embed the daemon."""
    reactor = ["twisted.internet.reactor"]
    users = [path for path in MODULES if any(_lies_in(name, reactor) for name in _imports(path))]
    assert users == [PACKAGE / "daemon" / "command" / "start.py", PACKAGE / "tap.py"]


def test_the_command_line_is_read_without_twisted() -> None:
    """Neither --version nor a mistake waits for the import of all that the daemon needs."""
    for name in ("main", "background", "getopt_long", "options", "outcome", "pid_file"):
        path = PACKAGE / "daemon" / "command" / f"{name}.py"
        assert [one for one in _imports(path) if _lies_in(one, ["twisted", "zope"])] == [], path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_its_purpose_in_one_line(path: Path) -> None:
    """Its docstring begins with a sentence."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "?"))
