"""Every public method says what it does, or is a method of something that says it."""

from __future__ import annotations

import functools
import importlib
import inspect
import types
from collections.abc import Iterator

import pytest
from zope.interface import implementedBy

from tests.test_architecture import MODULES, PACKAGE

NAMES = [
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in MODULES
    if path.name not in {"__init__.py", "__main__.py"}
]


def classes(module: types.ModuleType) -> Iterator[type]:
    """Yield the classes that a module defines."""
    for _name, kind in inspect.getmembers(module, inspect.isclass):
        if kind.__module__ == module.__name__:
            yield kind


def methods(kind: type) -> Iterator[tuple[str, object]]:
    """Yield the public methods and properties that a class defines itself, by name."""
    for name, member in list(vars(kind).items()):
        wanted = (types.FunctionType, classmethod, staticmethod, property)
        if not name.startswith("_") and isinstance(member, wanted):
            yield name, member


def promised(kind: type) -> set[str]:
    """Return the names that the interfaces of a class document."""
    return {str(name) for interface in implementedBy(kind) for name in interface.names(all=True)}


@functools.cache
def of_protocols() -> frozenset[str]:
    """Return the names that typing's protocols document, which no class names as its own."""
    return frozenset(
        name
        for module in NAMES
        for kind in classes(importlib.import_module(module))
        if getattr(kind, "_is_protocol", False)
        for name, _member in methods(kind)
        if inspect.getdoc(getattr(kind, name))
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", NAMES)
def test_public_methods_are_documented(name: str) -> None:
    """In the class, in a base class, or in an interface."""
    for kind in classes(importlib.import_module(name)):
        if kind.__name__.startswith("_"):
            continue
        for method, _member in methods(kind):
            documented = (
                inspect.getdoc(getattr(kind, method))
                or method in promised(kind)
                or method in of_protocols()
            )
            assert documented, f"{kind.__name__}.{method} says nowhere what it does"
