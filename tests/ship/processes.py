"""The program, and real collectors and servers of syslog with what they were sent: processes."""

from __future__ import annotations

import gzip
import importlib.util
import os
import pwd
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness.daemon import CHECKOUT, Daemon
from tests.ship.decoded import Record, records

SECONDS = 60.0
_PROGRAM = "from twisted_virtlog.ship.program import main; main()"
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"


def user() -> str:
    """Return whose tests these are."""
    return pwd.getpwuid(os.geteuid()).pw_name


def until(condition: Callable[[], object]) -> None:
    """Look until something of another process holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def is_served(port: int) -> bool:
    """Return whether somebody listens."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


class Program:
    """``virtlog-ship`` with a configuration."""

    def __init__(self, directory: Path, daemon: Daemon, text: str) -> None:
        """Have one that is not running yet.

        :param text: the configuration but for the daemon and the host.
        """
        self._file = directory / "virtlog-ship.toml"
        self.metrics = directory / "virtlog-ship.prom"
        self._log = directory / "virtlog-ship.log"
        self._file.write_text(f'socket = "{daemon.socket}"\nhost = "node.17"\n{text}')
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *arguments: str) -> Sequence[str]:
        """Return a command line."""
        return [sys.executable, "-c", _PROGRAM, "--config", str(self._file), *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=CHECKOUT, capture_output=True, text=True, check=False
        )

    def start(self) -> None:
        """Start it."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command("--metrics", str(self.metrics)), cwd=CHECKOUT, stderr=log
            )

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End it; return its status."""
        assert self.process is not None
        self.process.send_signal(how)
        status = self.process.wait(SECONDS)
        self.process = None
        return status

    def close(self) -> None:
        """End it for good, if it runs."""
        if self.process is not None:
            self.end(signal.SIGKILL)

    def log(self) -> str:
        """Return what it said."""
        return self._log.read_text()


class _Served:
    """A process that serves a port, which it keeps over restarts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir()
        self.port = free_port()
        self.process = self.start()

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, and wait until it serves."""
        libraries = sysconfig.get_config_var("LIBDIR")
        environment = {**os.environ, "PATH": _PATH, "LD_LIBRARY_PATH": libraries or ""}
        while True:
            with (self.directory / "log").open("ab") as log:
                process = subprocess.Popen(
                    self.command(), cwd=self.directory, env=environment, stdout=log, stderr=log
                )
            until(lambda process=process: process.poll() is not None or is_served(self.port))  # type: ignore[misc]
            if process.poll() is None:
                self.process = process
                return process
            # (somebody else has the port by now)
            assert "in use" in (self.directory / "log").read_text().lower()
            self.port = free_port()

    def end(self) -> None:
        """End it; it sends on, or writes, what it has."""
        self.process.terminate()
        self.process.wait(SECONDS)


class _Receiver(ThreadingHTTPServer):
    """Takes what a collector sends on."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Reception)
        self.bodies: list[bytes] = []


class _Reception(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.bodies.append(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Rotel(_Served):
    """A collector that takes OTLP and sends it on."""

    def __init__(self, directory: Path) -> None:
        """Start it."""
        self._receiver = _Receiver()
        threading.Thread(target=self._receiver.serve_forever, daemon=True).start()
        super().__init__(directory)

    @property
    def url(self) -> str:
        """Where it takes logs."""
        return f"http://127.0.0.1:{self.port}/v1/logs"

    def command(self) -> Sequence[str]:
        found = importlib.util.find_spec("rotel")
        assert found is not None
        assert found.origin is not None
        return [
            *(str(Path(found.origin).parent / "rotel-agent"), "start"),
            *("--pid-file", str(self.directory / "pid")),
            *("--otlp-http-endpoint", f"127.0.0.1:{self.port}"),
            *("--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"),
            # (when it puts requests together, it loses some of what is in them)
            "--disable-batching",
            *("--exporter", "otlp", "--otlp-exporter-protocol", "http"),
            *("--otlp-exporter-endpoint", f"http://127.0.0.1:{self._receiver.server_port}"),
        ]

    def records(self) -> list[Record]:
        """Return what it has sent on."""
        return [record for body in list(self._receiver.bodies) for record in records(body)]

    def close(self) -> None:
        """End it for good."""
        self.end()
        self._receiver.shutdown()
        self._receiver.server_close()


class Rsyslog(_Served):
    """A server that takes RELP and writes what it gets to a file."""

    def __init__(self, directory: Path, tls: str = "") -> None:
        """Start it.

        :param tls: more parameters of its input.
        """
        self._tls = tls
        super().__init__(directory)

    def command(self) -> Sequence[str]:
        configuration = self.directory / "rsyslog.conf"
        output = self.directory / "output"
        configuration.write_text(
            'module(load="imrelp")\n'
            'template(name="all" type="string"'
            ' string="%hostname%|%app-name%|%structured-data%|%msg%\\n")\n'
            f'input(type="imrelp" port="{self.port}" address="127.0.0.1" {self._tls})\n'
            f'action(type="omfile" file="{output}" template="all")\n'
        )
        pid_file = self.directory / "pid"
        return ["rsyslogd", "-n", "-f", str(configuration), "-i", str(pid_file)]

    def lines(self) -> list[tuple[str, str, dict[str, str], bytes]]:
        """Return host, program, structured data and text of what came."""
        output = self.directory / "output"
        found = output.read_bytes() if output.exists() else b""
        lines = []
        # (it may be in the middle of the last one)
        for line in found[: found.rfind(b"\n") + 1].splitlines():
            host, program, said, text = line.split(b"|", 3)
            members = dict(re.findall(r' (\w+)="((?:[^"\\]|\\.)*)"', said.decode()))
            lines.append((host.decode(), program.decode(), members, text))
        return lines

    def close(self) -> None:
        """End it for good."""
        self.end()
