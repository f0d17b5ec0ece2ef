"""What happens on a private machine: each function does one thing and tells what came out.

The results are plain values, which go to the tests as JSON.
"""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.stack import guest
from tests.stack.guest import End
from tests.stack.numbered_lines import NumberedLines, missing
from twisted_virtlog.client.feed import Feed, FeedEnd

if TYPE_CHECKING:
    from tests.stack.machine import Machine

#: Where libvirt has its guests' logs.
LOGS = "/var/log/libvirt/qemu"
IMAGES = "/var/lib/libvirt/images"
_STARTS_OF_ONE_VIRSH = 50
_UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1800"


def life_of_a_guest(machine: Machine, json_rpc: bool) -> dict[str, Any]:
    """Define, start, list, destroy a guest, three times; look at its logs each time."""
    console = Path(LOGS, "alice-serial0.log")
    console.write_text("from earlier days\n")
    disk = _disk("alice", 100, End.HALT)
    steps = []
    # The first run adds to the console's log, as does the second; the third empties it.
    for append in ("on", "on", "off"):
        xml = guest.domain("alice", _UUID, disk, console, append == "on")
        before = console.stat().st_size if append == "on" else 0
        step: dict[str, Any] = {
            "append": append,
            "define": machine.must("define", _file("alice.xml", xml)),
            "start": machine.must("start", "alice"),
        }
        machine.until(lambda before=before: console.read_bytes()[before:].endswith(guest.CLOSING))
        step["list"] = machine.must("list", "--all")
        if json_rpc:
            step["open"] = _open_logs(machine)
            with machine.client() as client:
                step["read"] = client.read(str(console)).data.decode()
        step["destroy"] = machine.must("destroy", "alice")
        step["list afterwards"] = machine.must("list", "--all")
        step["undefine"] = machine.must("undefine", "alice")
        if json_rpc:
            machine.until(lambda: not _open_logs(machine))
        step["console"] = console.read_text()
        step["log"] = Path(LOGS, "alice.log").read_text()
        step["mode"] = oct(console.stat().st_mode)
        steps.append(step)
    return {"steps": steps, "files": sorted(path.name for path in Path(LOGS).iterdir())}


def much_output(machine: Machine, lines: int) -> dict[str, Any]:
    """Let a guest print so much that its log is rotated."""
    console = Path(LOGS, "bob-serial0.log")
    xml = guest.domain("bob", disk=_disk("bob", lines, End.POWER_OFF), console=console)
    machine.must("create", _file("bob.xml", xml))
    machine.until(lambda: _shut_down("bob"), seconds=100)
    kept = _kept(console)
    return {"sizes": [len(text) for text in kept], "lines": guest.lines_of(b"".join(kept))}


def many_guests(machine: Machine, guests: int, lines: int) -> dict[str, Any]:
    """Start so many guests at once; when all have printed and still run, destroy them."""
    names = [f"guest{number}" for number in range(guests)]
    consoles = {name: Path(LOGS, f"{name}-serial0.log") for name in names}
    for name in names:
        xml = guest.domain(name, disk=_disk("many", lines, End.HALT), console=consoles[name])
        machine.must("define", _file(f"{name}.xml", xml))
    starts = [machine.begin_virsh("start", name) for name in names]
    errors = [start.communicate(timeout=100)[1] for start in starts]
    size = len(guest.console(lines))
    machine.until(lambda: all(path.stat().st_size >= size for path in consoles.values()), 100)
    result = {
        "errors": errors,
        "running": machine.must("list", "--name").split(),
        "open": [log["path"] for log in _open_logs(machine)],
    }
    for name in names:
        machine.must("destroy", name)
        machine.must("undefine", name)
    machine.until(lambda: not _open_logs(machine))
    result["lines"] = [guest.lines_of(path.read_bytes()) for path in consoles.values()]
    result["ends"] = [Path(LOGS, f"{name}.log").read_text()[-34:] for name in names]
    return result


def awaited(machine: Machine, name: str, times: int) -> list[dict[str, Any]]:
    """Start a guest again and again, each time with somebody who waits for its firmware's words.

    Who waits begins before the guest does, from the end of what former guests printed. Every other
    time libvirt empties the log.
    """
    console = Path(LOGS, f"{name}-serial0.log")
    results = []
    for number in range(times):
        xml = guest.domain(name, console=console, append=number % 2 == 0, firmware=True)
        with machine.client() as client:
            end = client.append(str(console), "")
        position = f"{end.inode}:{end.offset}:{end.birth}"
        waits = ("wait", str(console), "--for", "SeaBIOS", "--from", position, "--timeout", "60")
        with machine.begin_virtlogctl(*waits) as waiting:
            machine.must("create", _file(f"{name}.xml", xml))
            said, error = waiting.communicate(timeout=100)
        results.append({"status": waiting.returncode, "said": said, "error": error})
        machine.must("destroy", name)
    return results


def printing(machine: Machine, name: str, lines: int) -> str:
    """Start a guest whose firmware prints, and then the guest; return the path of its log."""
    console = Path(LOGS, f"{name}-serial0.log")
    disk = _disk(name, lines, End.HALT)
    xml = guest.domain(name, disk=disk, console=console, firmware=True)
    machine.must("create", _file(f"{name}.xml", xml))
    return str(console)


def reset(machine: Machine, name: str) -> None:
    """Reset a guest."""
    machine.must("reset", name)


def reset_and_handed_over(machine: Machine, name: str) -> None:
    """Reset a guest, and let the log daemon hand over to its next image while the guest prints."""
    # (where the kernel put the program, which is random)
    image = Path(f"/proc/{machine.log_daemon.pid}/auxv")
    before = image.read_bytes()
    machine.must("reset", name)
    machine.log_daemon.send_signal(signal.SIGUSR1)
    machine.until(lambda: image.read_bytes() != before)


def destroyed(machine: Machine, name: str) -> str:
    """Destroy a guest; return all that is kept of its console, a character for each byte."""
    machine.must("destroy", name)
    return b"".join(_kept(Path(LOGS, f"{name}-serial0.log"))).decode("latin-1")


def libvirtd_restarted(machine: Machine) -> dict[str, Any]:
    """Restart libvirtd while two guests print; they print until a key is pressed."""
    names = ["carol", "dave"]
    consoles = {name: Path(LOGS, f"{name}-serial0.log") for name in names}
    for name in names:
        # Some 60 kB a second, so that the file is not rotated meanwhile.
        disk = _disk(name, guest.UNTIL_KEY, End.POWER_OFF, burst=50)
        machine.must(
            "create", _file(f"{name}.xml", guest.domain(name, disk=disk, console=consoles[name]))
        )

    def print_on() -> list[str]:
        """Wait until each guest has printed more; tell which logs are open then."""
        sizes = {path: path.stat().st_size for path in consoles.values()}
        machine.until(lambda: all(path.stat().st_size > sizes[path] for path in sizes))
        return [log["path"] for log in _open_logs(machine)]

    result = {"before": print_on()}
    machine.stop_libvirtd()
    result["without"] = print_on()
    machine.start_libvirtd()
    result["after"] = print_on()
    for name in names:
        machine.must("send-key", name, "KEY_ENTER")
    machine.until(lambda: all(_shut_down(name) for name in names))
    machine.until(lambda: not _open_logs(machine))
    result["lines"] = [guest.lines_of(path.read_bytes()) for path in consoles.values()]
    return result


def switched(
    machine: Machine, command: str, ours: str, virtlogd: str, times: int
) -> dict[str, Any]:
    """Let the log daemons take over from one another while two guests and a program write.

    The last time, ours is asked to hand over to virtlogd.

    :param command: the path that the log daemon was started by, a symbolic link.
    """
    consoles = {name: Path(LOGS, f"{name}-serial0.log") for name in ("grace", "heidi")}
    for name, console in consoles.items():
        disk = _disk(name, guest.UNTIL_KEY, End.POWER_OFF, burst=50)
        xml = guest.domain(name, disk=disk, console=console)
        machine.must("create", _file(f"{name}.xml", xml))
    lines = NumberedLines("/run/libvirt/virtlogd-sock", f"{LOGS}/numbers.log")
    failed = guest.domain("ivan", arguments=("-nosuchoption",))
    result: dict[str, Any] = {"programs": [], "errors": []}
    for number, program in enumerate((ours, virtlogd) * times, 1):
        before = _program(machine)
        if number == 2 * times:
            with machine.client() as client, machine.feed() as feed:
                feed.follow(f"{LOGS}/numbers.log")
                with ThreadPoolExecutor(1) as pool:
                    end = pool.submit(_end_of, feed)
                    client.reexec(virtlogd)
                result["told"] = end.result()
        else:
            Path(command).unlink()
            Path(command).symlink_to(program)
            machine.log_daemon.send_signal(signal.SIGUSR1)
        machine.until(lambda before=before: _program(machine) != before)
        result["programs"].append(_program(machine))
        lines.position()
        sizes = {path: path.stat().st_size for path in consoles.values()}
        machine.until(lambda sizes=sizes: all(path.stat().st_size > sizes[path] for path in sizes))
        result["errors"].append(machine.virsh("create", _file("ivan.xml", failed)).error)
    written = lines.stop()
    for name in consoles:
        machine.must("send-key", name, "KEY_ENTER")
    machine.until(lambda: all(_shut_down(name) for name in consoles))
    numbers = Path(LOGS, "numbers.log")
    machine.until(lambda: not missing(_kept(numbers), written))
    result["lines"] = [guest.lines_of(path.read_bytes()) for path in consoles.values()]
    result["log daemon ended"] = machine.log_daemon.poll()
    return result


def _end_of(feed: Feed) -> str:
    """Read until the end of what is followed; return why it ends."""
    while not isinstance(told := feed.next(), FeedEnd):
        """Until then its bytes come."""
    return told.reason


def _program(machine: Machine) -> str:
    """Return whose log daemon runs."""
    executable = Path(f"/proc/{machine.log_daemon.pid}/exe").readlink().name
    return "virtlogd" if executable == "virtlogd" else "twisted-virtlogd"


def failing_starts(machine: Machine, name: str, starts: int) -> dict[str, Any]:
    """Start a guest that QEMU refuses, again and again; collect what virsh says of it.

    The log is not made anew: each start adds to it. The bad argument is another each time, so that
    an old error is not taken for this one. One virsh does it all, so that one start follows at once
    on the other.
    """
    said = ""
    for first in range(0, starts, _STARTS_OF_ONE_VIRSH):
        commands = []
        for number in range(first, min(first + _STARTS_OF_ONE_VIRSH, starts)):
            xml = guest.domain(name, arguments=(f"-nosuchoption{number}",))
            commands.append(f"create {_file(f'{name}{number}.xml', xml)}")
        said += machine.virsh("; ".join(commands)).error
    return {"said": said, "log": b"".join(_kept(Path(LOGS, f"{name}.log"))).decode()}


def destroyed_and_started(machine: Machine, times: int) -> dict[str, Any]:
    """Destroy a guest and start it at once, again and again."""
    console = Path(LOGS, "frank-serial0.log")
    xml = guest.domain("frank", disk=_disk("frank", 10, End.HALT), console=console)
    machine.must("define", _file("frank.xml", xml))
    said = machine.virsh("start frank; " + "destroy frank; start frank; " * times)
    running = machine.must("list", "--name").split()
    machine.must("destroy", "frank")
    machine.must("undefine", "frank")
    log = Path(LOGS, "frank.log").read_text()
    return {
        "error": said.error,
        "running": running,
        "starts": log.count(": starting up libvirt version: "),
        "ends": log.count(": shutting down, reason=destroyed\n"),
    }


def _disk(name: str, lines: int, end: End, burst: int = 0) -> Path:
    path = Path(IMAGES, f"{name}.img")
    path.write_bytes(guest.disk(lines, end, burst))
    return path


def _file(name: str, text: str) -> str:
    path = Path(IMAGES, name)
    path.write_text(text)
    return str(path)


def _kept(log: Path) -> list[bytes]:
    """Read a log's files, the oldest first."""
    files = [Path(f"{log}{end}") for end in (".2", ".1", ".0", "")]
    return [file.read_bytes() for file in files if file.exists()]


def _shut_down(name: str) -> bool:
    return Path(LOGS, f"{name}.log").read_text().endswith("shutting down, reason=shutdown\n")


def _open_logs(machine: Machine) -> list[dict[str, Any]]:
    with machine.client() as client:
        return [
            {
                "path": log.path,
                "driver": log.driver,
                "domain": log.domain and [log.domain.uuid, log.domain.name],
                "state": log.state,
            }
            for log in client.list()
        ]
