"""The layering that doc/architecture.md draws, read off the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "twisted_virtlog"

#: Values in, values out: no Twisted, no file, no clock. What a module may import of Twisted all the
#: same stands beside it.
PURE = {
    "values": (),
    "errors": (),
    "config.grammar": (),
    "config.paths": (),
    "logs.rotation": (),
    "logs.budget": (),
    "logs.outage": (),
    "ownlog.spec": ("twisted.logger",),
    "jsonrpc.scanner": (),
    "jsonrpc.framing": (),
    "jsonrpc.messages": (),
    "jsonrpc.params": (),
    "jsonrpc.schema": (),
    "jsonrpc.text": (),
    "jsonrpc.codes": (),
    "jsonrpc.openrpc": (),
    "rpc.xdr": (),
    "rpc.framing": (),
    "rpc.messages": (),
    "rpc.compound": (),
    "rpc.errors": (),
    "client.calls": (),
    "client.dialogue": (),
}

#: These know nothing of one another.
APART = ("logs", "jsonrpc", "rpc")

MODULES = sorted(PACKAGE.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    """Give what a module imports, wherever in it, but not for annotations alone."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("module", PURE)
def test_pure_modules_import_no_twisted(module: str) -> None:
    """Nothing of the reactor is needed to test them."""
    path = PACKAGE / (module.replace(".", "/") + ".py")
    allowed = PURE[module]
    found = [
        name
        for name in _imports(path)
        if name.split(".")[0] in {"twisted", "zope", "socket", "asyncio"}
        and not name.startswith(allowed or "-")
    ]
    assert found == []


@pytest.mark.parametrize("package", APART)
def test_logs_and_protocols_do_not_import_one_another(package: str) -> None:
    """The handler's interface is all that a protocol knows of logs."""
    others = tuple(f"twisted_virtlog.{other}" for other in APART if other != package)
    for path in (PACKAGE / package).rglob("*.py"):
        assert [name for name in _imports(path) if name.startswith(others)] == [], path


def test_only_the_plugin_imports_the_global_reactor() -> None:
    """Everywhere else the reactor is a parameter, so that any application can embed the daemon."""
    users = [path.name for path in MODULES if "twisted.internet.reactor" in set(_imports(path))]
    assert users == ["tap.py"]


def test_virtlogctl_starts_without_twisted() -> None:
    """A command-line tool that imports a reactor is a slow one."""
    for path in [*(PACKAGE / "ctl").rglob("*.py"), PACKAGE / "client" / "blocking.py"]:
        assert [name for name in _imports(path) if name.startswith("twisted.")] == [], path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_its_purpose_in_one_line(path: Path) -> None:
    """Its docstring begins with a sentence."""
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":", "?"))
