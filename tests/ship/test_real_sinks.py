"""A real collector and a real server of syslog understand what they are sent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.daemon import Daemon
from tests.ship.processes import Program, Rotel, Rsyslog, until
from twisted_virtlog.ship.counts import Counts
from twisted_virtlog.ship.messages import Message
from twisted_virtlog.ship.otlp import Otlp
from twisted_virtlog.ship.relp import Relp
from twisted_virtlog.ship.sink import Sink, Source, Unavailable
from twisted_virtlog.ship.sink_settings import OtlpSink, RelpSink
from twisted_virtlog.values import Domain, Position

_UUID = "11111111-2222-3333-4444-555555555555"
_SOURCE = Source("node17", '/var/log/"we]b\\.log', "QEMU", Domain(_UUID, "web"))


@pytest.fixture
def rotel(tmp_path: Path) -> Iterator[Rotel]:
    """Run one."""
    with contextlib.closing(Rotel(tmp_path / "rotel")) as one:
        yield one


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[Rsyslog]:
    """Run one."""
    with contextlib.closing(Rsyslog(tmp_path / "rsyslog")) as one:
        yield one


def message(text: bytes, offset: int = 0) -> Message:
    """Return one."""
    end = Position(7, offset + len(text), "h1.x")
    return Message(text, Position(7, offset, "h1.x"), end, ends_line=text.endswith(b"\n"))


def publish(sink: Sink, *messages: Message) -> str:
    """Send messages at once; return what is said of the sink."""

    async def send() -> str:
        said = await sink.check()
        await sink.connect()
        await asyncio.gather(*(sink.publish(_SOURCE, one, 0) for one in messages))
        await sink.close()
        return said

    return asyncio.run(asyncio.wait_for(send(), 60))


@pytest.mark.rotel
def test_a_collector_understands_all(rotel: Rotel) -> None:
    """Text, bytes, and where they stand."""
    counts = Counts()
    sink = Otlp(OtlpSink(consumer="c", url=rotel.url), counts)
    texts = (b"one\r\n\n" + "zw\u00f6lf\n".encode() + b"\xff\0\nno end", b"two\n" * 3000)
    said = publish(sink, message(texts[0], 100), message(texts[1], 1000))
    assert said == f"{rotel.url} takes logs"
    until(lambda: len(rotel.records()) >= 3005)
    found = rotel.records()
    assert [one.body for one in found][:5] == ["one", "", "zwölf", b"\xff\0", "no end"]
    assert [one.body for one in found][5:] == ["two"] * 3000
    assert [one.attributes["log.offset"] for one in found][:5] == [100, 105, 106, 113, 116]
    assert found[0].attributes["log.file.path"] == _SOURCE.path
    assert found[0].resource == {
        "service.name": "virtlog",
        "host.name": "node17",
        "vm.uuid": _UUID,
        "vm.name": "web",
    }
    assert counts == Counts()


@pytest.mark.rsyslog
def test_a_server_of_syslog_understands_all(rsyslog: Rsyslog) -> None:
    """Text, long lines in parts, and where they stand."""
    server = f"relp://127.0.0.1:{rsyslog.port}"
    counts = Counts()
    sink = Relp(RelpSink(consumer="c", servers=(server,)), counts)
    long = b"x" * 20000
    said = publish(sink, message(b"one\r\n\n\xff\n" + long, 100), message(b"two\n" * 600, 30000))
    assert said == f"{server} takes logs"
    until(lambda: len(rsyslog.lines()) >= 606)
    found = rsyslog.lines()
    assert [one[3] for one in found][:3] == [b"one", b"", b"\xff"]
    parts = found[3:6]
    assert b"".join(one[3] for one in parts) == long
    assert [one[2]["cut"] for one in parts] == ["end", "both", "both"]
    assert [one[3] for one in found][6:] == [b"two"] * 600
    assert {one[:2] for one in found} == {("node17", "web")}
    first = {
        "path": r"/var/log/\"we\]b\\.log",
        "driver": "QEMU",
        "uuid": _UUID,
        "domain": "web",
        "start": "7:100:h1.x",
        "end": "7:105:h1.x",
    }
    assert found[0][2] == first
    assert counts == Counts()


@pytest.mark.rsyslog
@pytest.mark.openssl
def test_over_tls(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    """A server has to prove its name, and may ask for a certificate."""
    made, key = certificate
    tls = (
        f'tls="on" tls.cacert="{made}" tls.mycert="{made}" tls.myprivkey="{key}"'
        ' tls.authmode="name" tls.permittedpeer=["127.0.0.1"]'
    )
    with contextlib.closing(Rsyslog(tmp_path / "rsyslog", tls)) as rsyslog:
        server = f"tls://127.0.0.1:{rsyslog.port}"
        files = {"tls_ca": str(made), "tls_cert": str(made), "tls_key": str(key)}
        publish(Relp(RelpSink(servers=(server,), **files), Counts()), message(b"one\n"))
        until(rsyslog.lines)
        assert [one[3] for one in rsyslog.lines()] == [b"one"]
        with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
            publish(Relp(RelpSink(servers=(server,)), Counts()))


def collector(rotel: Rotel, consumer: str = "otlp") -> str:
    """Return what names a collector."""
    return f'[[sinks]]\nkind = "otlp"\nconsumer = "{consumer}"\nurl = "{rotel.url}"\n'


def syslog(rsyslog: Rsyslog) -> str:
    """Return what names a server of syslog."""
    server = f"relp://127.0.0.1:{rsyslog.port}"
    return f'[[sinks]]\nkind = "relp"\nconsumer = "relp"\nservers = ["{server}"]\n'


@pytest.mark.rotel
@pytest.mark.rsyslog
@pytest.mark.lengthy
def test_each_line_comes_over_kills(
    rotel: Rotel, rsyslog: Rsyslog, daemon: Daemon, tmp_path: Path
) -> None:
    """To two sinks at once, at least once, over rollovers."""
    path, count = tmp_path / "guest.log", 0
    with (
        contextlib.closing(
            Program(tmp_path, daemon, collector(rotel) + syslog(rsyslog))
        ) as program,
        daemon.client() as client,
    ):
        write_end = client.open(str(path), "QEMU", _SOURCE.domain).write_end
        for kill in range(4):
            program.start()
            for _ in range(20):
                lines = b"".join(b"line %06d %s\n" % (count + one, b"x" * 90) for one in range(50))
                os.write(write_end, lines)
                count += 50
            if kill % 2:
                until(lambda kill=kill: len(rotel.records()) > 500 * kill)  # type: ignore[misc]
            program.end(signal.SIGKILL)
        program.start()
        os.write(write_end, b"the end\n")
        until(lambda: any(one.body == "the end" for one in rotel.records()))
        until(lambda: any(one[3] == b"the end" for one in rsyslog.lines()))
        size = client.position(str(path))
        os.close(write_end)
        until(lambda: [one.lag_bytes for one in client.consumers()] == [0, 0])
        assert {one.position for one in client.consumers()} == {size}
        assert program.end() == 0
    # (in order, as it happens to be that of the alphabet)
    expected = [f"line {one:06} {'x' * 90}" for one in range(count)] + ["the end"]
    places = {
        (one.attributes["log.file.inode"], one.attributes["log.offset"]): one.body
        for one in rotel.records()
    }
    # (it is the collector that sends several requests on at once)
    assert sorted(map(str, places.values())) == expected
    starts = {said["start"]: text.decode() for _, _, said, text in rsyslog.lines()}
    assert list(starts.values()) == expected


@pytest.mark.rsyslog
@pytest.mark.lengthy
def test_files_are_held_while_a_sink_is_away(
    rsyslog: Rsyslog, holding_daemon: Daemon, tmp_path: Path
) -> None:
    """Ten times as much as is kept otherwise, and nothing afterwards."""
    path = tmp_path / "guest.log"
    with (
        contextlib.closing(Program(tmp_path, holding_daemon, syslog(rsyslog))) as program,
        holding_daemon.client() as client,
    ):
        write_end = client.open(str(path)).write_end
        program.start()
        os.write(write_end, b"first\n")
        until(lambda: [one.lag_bytes for one in client.consumers()] == [0])
        rsyslog.end()
        lines = [b"%05d %s" % (number, b"x" * 93) for number in range(4000)]
        for line in lines:
            os.write(write_end, line + b"\n")
        until(lambda: client.position(str(path)) and client.consumers()[0].held_bytes > 200_000)
        rsyslog.start()
        until(lambda: len(rsyslog.lines()) > len(lines))
        until(lambda: client.consumers()[0].held_bytes == 0)
        assert client.consumers()[0].unread_bytes == 0
        os.close(write_end)
        assert program.end() == 0
    starts = {said["start"]: text for _, _, said, text in rsyslog.lines()}
    assert list(starts.values()) == [b"first", *lines]
    assert not any("missed" in said for _, _, said, _ in rsyslog.lines())


@pytest.mark.rotel
def test_check_says_who_may_acknowledge(rotel: Rotel, daemon: Daemon, tmp_path: Path) -> None:
    """And what can be reached."""
    program = Program(tmp_path, daemon, collector(rotel))
    done = program.run("--check")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[1:] == [
        "otlp: the consumer otlp may acknowledge",
        f"otlp: {rotel.url} takes logs",
    ]
    done = Program(tmp_path, daemon, collector(rotel, "vendor")).run("--check")
    assert done.returncode == 1
    assert "otlp: the consumer vendor: " in done.stdout
    assert "the configuration names no consumer 'vendor'" in done.stdout
    assert f"otlp: {rotel.url} takes logs" in done.stdout
