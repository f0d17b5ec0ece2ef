"""Decode and check parameters, by name or by position, and explain what is wrong with them."""

from __future__ import annotations

import re
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec
from msgspec import Raw

from twisted_virtlog.jsonrpc.messages import ABSENT

P = TypeVar("P", bound=msgspec.Struct)

# Longer parameters are not quoted in errors: decoding them could take much memory.
_MAX_QUOTED_PARAMS_BYTES = 4096
_MAX_QUOTED_VALUE_CHARACTERS = 60
_MAX_FAULT_CHARACTERS = 200

_AT = " - at `$"
_STEP = re.compile(r"\.([^.\[`]+)|\[(\d+)\]")
_ARRAY_START = ord("[")

_IN_OUR_WORDS = (
    ("Object missing required field", "missing"),
    ("Object contains unknown field", "unknown:"),
    ("Expected `array` of at most length", "more values than"),
    ("Expected `array` of at least length", "fewer values than"),
    ("Invalid enum value", "not a valid value:"),
    ("Expected", "expected"),
)


class InvalidParams(ValueError):
    """Parameters that a method does not accept; the message says which, and what it accepts.

    :ivar path: the log that they name, if any.
    """

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


class ParamsDecoder(Generic[P]):
    """Decodes the parameters of one method.

    :param type_: their Struct, whose members are in the order of parameters by position.
    """

    def __init__(self, type_: type[P]) -> None:
        self.type = type_
        by_position: type[P] = msgspec.defstruct(  # type: ignore[assignment]  # (its base is P)
            f"{type_.__name__}ByPosition",
            [],
            bases=(type_,),
            frozen=True,
            array_like=True,
            forbid_unknown_fields=True,
        )
        self._by_name = msgspec.json.Decoder(type_).decode
        self._by_position = msgspec.json.Decoder(by_position).decode

    def decode(self, params: Raw) -> P:
        """Decode and check an object, an array or ABSENT.

        :raises InvalidParams: a parameter is missing, unknown, or of a wrong type or value.
        """
        try:
            if params is ABSENT:
                return self._by_name(b"{}")
            if memoryview(params)[0] == _ARRAY_START:
                return self._by_position(params)
            return self._by_name(params)
        except msgspec.ValidationError as error:
            raise self._explained(str(error), params) from None

    def _explained(self, fault: str, params: Raw) -> InvalidParams:
        fields = self.type.__struct_fields__
        quoted = _decoded(params)
        path = quoted.get("path") if isinstance(quoted, dict) else None
        if isinstance(quoted, list) and quoted and "path" in fields:
            path = quoted[fields.index("path")]
        fault, _, where = fault.partition(_AT)
        for theirs, ours in _IN_OUR_WORDS:
            fault = fault.replace(theirs, ours, 1)
        fault = fault[:_MAX_FAULT_CHARACTERS]
        steps = [name or int(index) for name, index in _STEP.findall(where)]
        if steps:
            fault = f"{self._named(steps, quoted)}: {fault}{self._description(steps)}"
        elif not fault.startswith(fields):
            fault += f"; the parameters are: {', '.join(fields) or 'none'}"
        return InvalidParams(f"Invalid params: {fault}", path if isinstance(path, str) else None)

    def _named(self, steps: list[str | int], quoted: Any) -> str:
        """Return the place and the value there, such as ``position.inode is -1``."""
        top, *rest = (self._field(steps), *steps[1:])
        name = top + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in rest)
        try:
            for step in steps:
                quoted = quoted[step]
        except (LookupError, TypeError):
            return str(name)
        value = msgspec.json.encode(quoted).decode()
        if len(value) > _MAX_QUOTED_VALUE_CHARACTERS:
            value = value[:_MAX_QUOTED_VALUE_CHARACTERS] + "..."
        return f"{name} is {value}"

    def _field(self, steps: list[str | int]) -> str:
        first = steps[0]
        return self.type.__struct_fields__[first] if isinstance(first, int) else first

    def _description(self, steps: list[str | int]) -> str:
        hint = get_type_hints(self.type, include_extras=True).get(self._field(steps))
        for meta in getattr(hint, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.description:
                return f" ({meta.description})"
        return ""


def _decoded(params: Raw) -> Any:
    """Decode parameters to quote them; return None if that is impossible or too expensive."""
    if params is ABSENT or len(memoryview(params)) > _MAX_QUOTED_PARAMS_BYTES:
        return None
    try:
        return msgspec.json.decode(params)
    except (msgspec.DecodeError, RecursionError):
        return None
