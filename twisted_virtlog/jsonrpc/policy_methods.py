"""The method that says how a log is kept, and why, with the types of its parameters and result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct, field

from twisted_virtlog import values
from twisted_virtlog.interfaces import Answer
from twisted_virtlog.jsonrpc.codes import Code
from twisted_virtlog.jsonrpc.method import Example, Method, Services
from twisted_virtlog.jsonrpc.params import ParamsDecoder
from twisted_virtlog.jsonrpc.schema import PathParams, exact
from twisted_virtlog.jsonrpc.text import printable


class PolicyParams(PathParams, frozen=True, forbid_unknown_fields=True, gc=False):
    """A log, open or not."""


class PolicyWord(Struct, frozen=True, gc=False, omit_defaults=True):
    """One word of a policy."""

    value: Annotated[int | str, Meta(description="as in the configuration file")]
    source: Annotated[
        str,
        Meta(
            description=(
                'what says so: "policies[N]", an entry of that key, counted from 0, the name of the'
                ' key that the configuration file sets, or "default"'
            )
        ),
    ] = field(name="from")
    entry: Annotated[str | None, Meta(description="the text of that entry, if it is one")] = None


def _policy(services: Services, params: PolicyParams) -> Answer[Mapping[str, values.PolicyWord]]:
    return services.handler.policy(params.path)


def _presented(
    words: Mapping[str, values.PolicyWord], _params: PolicyParams
) -> dict[str, PolicyWord]:
    return {name: _word(word) for name, word in words.items()}


def _word(word: values.PolicyWord) -> PolicyWord:
    value = exact(word.value) if isinstance(word.value, int) else word.value
    return PolicyWord(value, word.source, None if word.entry is None else printable(word.entry))


POLICY_METHODS: tuple[Method[Any, Any], ...] = (
    Method(
        name="log.policy",
        summary=(
            "Return how a log is kept, by the keys of the configuration that may stand in policies,"
            " and what says so. A log that is not open is kept as at its last opening, as far as"
            " it is known who opened it."
        ),
        params=ParamsDecoder(PolicyParams),
        result=dict[str, PolicyWord],
        ask=_policy,
        present=_presented,
        example=Example(
            "a log with a policy of its own",
            PolicyParams("/var/lib/nova/instances/ci-7/console.log"),
            {
                "max_size": PolicyWord(2097152, "default"),
                "max_backups": PolicyWord(7, "max_backups"),
                "rate": PolicyWord(262144, "policies[0]", "domain:ci-* rate=262144"),
            },
        ),
        errors=(Code.NOT_ALLOWED, Code.SYSTEM_ERROR),
        read_only=True,
    ),
)
