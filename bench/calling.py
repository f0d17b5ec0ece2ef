"""Loads that call: how soon answers come, and how many there are in a second."""

from __future__ import annotations

import time

from bench.figures import (
    CALLS,
    CPU_PER_MILLION,
    LONGEST,
    LONGEST_WRITE,
    MIB,
    P50,
    P99,
    THROUGHPUT,
    Figures,
    Stand,
)
from bench.load import Called
from bench.rpc import Place, position_request, read_request
from bench.writing import check, files, opened
from twisted_virtlog.client import Position
from twisted_virtlog.client.calls import Requests
from twisted_virtlog.client.dialogue import Dialogue

_BURST_BYTES = 200
_FLOOD_BYTES = 64 * 1024
#: Until the flood has found its pace.
_SETTLING_SECONDS = 0.2
_LOGGED_BYTES = 7 * MIB


def after_a_write(stand: Stand) -> Figures:
    """Write a little to a log and ask for its position at once."""
    with opened(stand, 1) as (paths, pipes):
        used = stand.target.cpu()
        called = stand.generator.call(
            stand.target.socket,
            [position_request(paths[0])],
            seconds=stand.seconds,
            burst=(pipes[0], _BURST_BYTES),
        )
        used = stand.target.cpu() - used
        check(paths, [called.calls], _BURST_BYTES)
        return {**_latencies(called), CPU_PER_MILLION: used / called.calls * 1e6}


def beside_a_flood(stand: Stand, of_flooded: bool) -> Figures:
    """Ask for a position while a log is flooded without end.

    :param of_flooded: ask for that of the flooded log, otherwise for that of a quiet one, after
        a little was written to it.
    """
    with opened(stand, 2) as (paths, pipes), stand.target.client() as client:
        with stand.generator.flooding(pipes[0], _FLOOD_BYTES) as seen:
            time.sleep(_SETTLING_SECONDS)
            called = stand.generator.call(
                stand.target.socket,
                [position_request(paths[0 if of_flooded else 1])],
                seconds=stand.seconds,
                burst=None if of_flooded else (pipes[1], _BURST_BYTES),
            )
        client.positions(paths)
        (written,) = seen
        check(paths[1:], [0 if of_flooded else called.calls], _BURST_BYTES)
        flooded = sum(written.records) * _FLOOD_BYTES
        return {
            **_latencies(called),
            f"flood {THROUGHPUT}": flooded / MIB / (written.ended - written.began),
            f"flood {LONGEST_WRITE}": written.longest * 1e3,
        }


def positions(stand: Stand, connections: int, window: int, jsonrpc: bool = False) -> Figures:
    """Ask for a position over and over.

    :param connections: so many clients.
    :param window: requests that each sends at once, before it waits for all answers.
    :param jsonrpc: by JSON-RPC, of a daemon that has it.
    """
    with opened(stand, 1) as (paths, _):
        path = paths[0]
        socket, request = stand.target.socket, position_request(path)
        if jsonrpc and stand.target.jsonrpc:
            socket, request = stand.target.jsonrpc, Dialogue().request(Requests().position(path))[1]
        used = stand.target.cpu()
        called = stand.generator.call(
            socket,
            [request],
            seconds=stand.seconds,
            connections=connections,
            window=window,
            lines=socket == stand.target.jsonrpc,
        )
        used = stand.target.cpu() - used
        return {
            CALLS: called.calls / called.seconds,
            CPU_PER_MILLION: used / called.calls * 1e6,
            "client busy": called.cpu / called.seconds,
        }


def reading_back(stand: Stand, size: int, jsonrpc: bool = False) -> Figures:
    """Read the same bytes of a log over and over, from its oldest file on."""
    with opened(stand, 1) as (paths, pipes), stand.target.client() as client:
        path = paths[0]
        stand.generator.write(pipes, 4096, 60.0, most_bytes=_LOGGED_BYTES)
        client.position(path)
        start = Place(files(path)[0].stat().st_ino, 0)
        socket, request = stand.target.socket, read_request(path, start, size)
        if jsonrpc and stand.target.jsonrpc:
            call = Requests().read(path, Position(*start), size)
            socket, request = stand.target.jsonrpc, Dialogue().request(call)[1]
        used = stand.target.cpu()
        called = stand.generator.call(
            socket, [request], seconds=stand.seconds, lines=socket == stand.target.jsonrpc
        )
        used = stand.target.cpu() - used
        if called.received < called.calls * size:
            raise ValueError(f"{called.received} bytes for {called.calls} reads of {size} bytes")
        return {
            CALLS: called.calls / called.seconds,
            THROUGHPUT: called.calls * size / MIB / called.seconds,
            CPU_PER_MILLION: used / called.calls * 1e6,
        }


def _latencies(called: Called) -> Figures:
    return {P50: called.p50 * 1e6, P99: called.p99 * 1e6, LONGEST: called.longest * 1e6}
