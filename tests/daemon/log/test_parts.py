"""The names by which filters mean parts of the daemon."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from twisted_virtlog.config.logging import parse_filters, wanted
from twisted_virtlog.daemon.log.parts import PARTS, names_of, part_of_namespace
from twisted_virtlog.values import Priority

_PACKAGE = Path(__file__).parents[3] / "twisted_virtlog"

#: Programs that ask the daemon have logs of their own, as the page does.
_OTHER_PROGRAMS = {"client", "web"}


def _makes_logger(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"Logger", "LegacyLogger"}
        for node in ast.walk(tree)
    )


@pytest.mark.lengthy
def test_every_logger_is_of_a_part() -> None:
    """A module that is moved, or a new one, needs an entry; the part's name stays."""
    loggers = {
        ".".join(path.relative_to(_PACKAGE).with_suffix("").parts)
        for path in _PACKAGE.rglob("*.py")
        if _makes_logger(ast.parse(path.read_text())) and path.parent.name not in _OTHER_PROGRAMS
    }
    assert loggers
    assert loggers <= {module for modules in PARTS.values() for module in modules}


def test_a_module_is_of_one_part() -> None:
    """Else its part's name would depend on the order."""
    modules = [module for modules in PARTS.values() for module in modules]
    assert len(modules) == len(set(modules))


@pytest.mark.parametrize(
    ("namespace", "part"),
    [
        ("twisted_virtlog.logs.files.cleaner.Cleaner", "logs.cleaner"),
        ("twisted_virtlog.logs.open_log.OpenLog", "logs"),
        ("twisted_virtlog.daemon.configuration", "configuration"),
        ("twisted_virtlog.libvirt.protocol.LibvirtConversation", "clients.libvirt"),
        ("twisted.internet.udp.Port", "twisted.internet.udp.Port"),
        ("twisted_virtlog", "twisted_virtlog"),
        ("-", "-"),
    ],
)
def test_a_logger_has_the_name_of_its_part(namespace: str, part: str) -> None:
    """Whether it belongs to a module or to a class; others keep their own."""
    assert part_of_namespace(namespace) == part


@pytest.mark.parametrize(
    "match",
    [
        "logs.cleaner",
        "logs",
        "twisted_virtlog.logs.files.cleaner",
        # Its name before the rooms.
        "twisted_virtlog.logs.cleaner",
        "Cleaner",
        "twisted_virtlog",
    ],
)
def test_a_filter_means_a_part_by_its_name_or_its_module(match: str) -> None:
    """Those that named modules go on to work."""
    names = names_of("twisted_virtlog.logs.files.cleaner.Cleaner")
    assert wanted(parse_filters(f"1:{match}"), Priority.WARNING, names) is Priority.DEBUG


def test_a_filter_means_a_part_by_a_former_module_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a move of the source."""
    monkeypatch.setitem(PARTS, "logs.cleaner", ("logs.cleaner", "old.place"))
    names_of.cache_clear()
    names = names_of("twisted_virtlog.logs.files.cleaner.Cleaner")
    names_of.cache_clear()
    assert wanted(parse_filters("1:old.place"), Priority.WARNING, names) is Priority.DEBUG
