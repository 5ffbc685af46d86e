"""Real lines: a pty, a TCP line, and their one end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import grp
import os
import pty
import subprocess
import sys
import termios
import threading
import tty
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.errors import PortFailed, PortGone
from appliance.modem.modem import Modem
from appliance.modem.port import SerialPort, _in_words, holder, in_thread, modem_manager, open_port
from appliance.modem.profile import shipped
from tests.modem.desk import PDU, Desk, Journal, Wire, nothing

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pair:
    """A pty: what the driver opens is ``name``, ``master`` is the other end."""

    def __init__(self) -> None:
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        mode = termios.tcgetattr(slave)
        mode[2] |= termios.HUPCL
        termios.tcsetattr(slave, termios.TCSANOW, mode)
        self.name = os.ttyname(slave)
        os.close(slave)
        os.set_blocking(self.master, False)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.close(self.master)


@pytest.fixture
def pair() -> Iterator[Pair]:
    it = Pair()
    yield it
    it.close()


async def read_from(fd: int, count: int) -> bytes:
    """Read so many octets from the far end."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        ready = loop.create_future()
        loop.add_reader(fd, ready.set_result, None)
        await ready
        loop.remove_reader(fd)
        data += os.read(fd, 65536)
    return data


def test_octets_go_both_ways_unchanged(pair: Pair) -> None:
    async def scenario() -> None:
        port = await open_port(pair.name)
        every = bytes(range(256))
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        port.listen(heard.put_nowait)
        port.write(every)
        assert await read_from(pair.master, 256) == every
        os.write(pair.master, every)
        got = b""
        while len(got) < 256:
            got += await heard.get()
        assert got == every
        await port.close()

    asyncio.run(scenario())


def test_the_line_is_raw_ours_alone_and_keeps_dtr_when_closed(pair: Pair) -> None:
    async def scenario() -> None:
        port = await open_port(pair.name)
        iflag, oflag, cflag, lflag, _, _, chars = termios.tcgetattr(pair.master)
        assert not iflag & (termios.IXON | termios.IXOFF | termios.ICRNL)
        assert not oflag & termios.OPOST
        assert not cflag & termios.HUPCL
        assert not lflag & (termios.ECHO | termios.ICANON | termios.ISIG)
        assert chars[termios.VMIN] in {1, b"\x01"}
        with pytest.raises(PortGone):
            await open_port(pair.name)
        await port.close()
        again = await open_port(pair.name)
        await again.close()

    asyncio.run(scenario())


def test_a_hang_up_is_one_end_and_later_writes_say_so(pair: Pair) -> None:
    async def scenario() -> None:
        port = await open_port(pair.name)
        port.listen(lambda _: None)
        pair.close()
        await asyncio.wait_for(asyncio.shield(port.gone), 5)
        with pytest.raises(PortGone):
            port.write(b"AT\r")
        await port.close()
        await port.close()

    asyncio.run(scenario())


def test_what_the_line_does_not_take_waits_and_goes_later(pair: Pair) -> None:
    async def scenario() -> None:
        port = await open_port(pair.name)
        data = os.urandom(60_000)
        for at in range(0, len(data), 500):
            port.write(data[at : at + 500])
        assert await read_from(pair.master, len(data)) == data
        assert not port.gone.done()
        await port.close()

    asyncio.run(scenario())


def test_a_line_that_takes_nothing_for_too_long_has_ended(pair: Pair) -> None:
    async def scenario() -> None:
        port = await open_port(pair.name)
        with contextlib.suppress(PortGone):
            for _ in range(1000):
                port.write(b"x" * 500)
        with pytest.raises(PortGone, match="takes no octets"):
            port.write(b"x")
        assert port.gone.done()
        await port.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["/nonexistent/tty", "/etc/passwd", "socket://127.0.0.1:1", "nonsense://x"])
def test_what_cannot_be_opened_is_gone(name: str) -> None:
    async def scenario() -> None:
        with pytest.raises(PortGone):
            await open_port(name)

    asyncio.run(scenario())


def test_a_tcp_line() -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def far(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(3))
            await writer.drain()
            await ended.wait()
            writer.close()

        server = await asyncio.start_server(far, "127.0.0.1", 0)
        host, number = server.sockets[0].getsockname()
        port = await open_port(f"socket://{host}:{number}")
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        port.listen(heard.put_nowait)
        port.write(b"AT\r")
        assert await heard.get() == b"AT\r"
        ended.set()
        assert await asyncio.wait_for(asyncio.shield(port.gone), 5) == "hung up"
        await port.close()
        server.close()

    asyncio.run(scenario())


def test_what_blocks_for_ever_is_waited_for_only_so_long_and_what_comes_late_is_given_back() -> None:
    async def scenario() -> None:
        release = threading.Event()
        late: list[int] = []
        returned = asyncio.Event()
        loop = asyncio.get_running_loop()

        def blocking() -> int:
            release.wait()
            return 7

        def give_back(result: int) -> None:
            late.append(result)
            loop.call_soon_threadsafe(returned.set)

        with pytest.raises(TimeoutError):
            await in_thread(blocking, 0.01, "wedged", late=give_back)
        release.set()
        await asyncio.wait_for(returned.wait(), 5)
        assert late == [7]

    asyncio.run(scenario())


class PtyDesk(Desk):
    """The plain modem at the far end of a pty."""

    def serve(self, master: int) -> None:
        loop = asyncio.get_running_loop()
        self.wire = Wire(self._take)
        self.wire.listen(lambda data: os.write(master, data))

        def readable() -> None:
            try:
                self._take(os.read(master, 65536))
            except OSError as error:
                assert error.errno == errno.EIO  # nobody has the other end open  # noqa: PT017
                loop.remove_reader(master)

        loop.add_reader(master, readable)


def test_a_modem_over_a_pty(pair: Pair) -> None:
    async def scenario() -> None:
        keep = os.open(pair.name, os.O_RDWR | os.O_NOCTTY)
        desk = PtyDesk(stores={"ME": {1: f"0,,30\r\n{PDU}"}, "SM": {}})
        desk.serve(pair.master)
        host = Journal()
        opened: list[SerialPort] = []

        class OnAPty(PtyDesk):
            async def open(self, _: int = 0) -> SerialPort:  # type: ignore[override] # a real port this time
                opened.append(await open_port(pair.name))
                return opened[-1]

        modem = Modem(OnAPty(), profiles=shipped(), host=host)
        task = asyncio.create_task(modem.run())
        await host.until(lambda: host.count("removed ME 1"), within=10)
        tpdu = bytes.fromhex("01000C91447700091032000005E8329BFD06")
        references = [await modem.submit(tpdu, payload_next=nothing) for _ in range(50)]
        assert references == list(range(50))
        asyncio.get_running_loop().remove_reader(pair.master)
        os.close(keep)
        pair.close()
        with pytest.raises(PortGone):
            await asyncio.wait_for(task, 10)
        assert opened[0].gone.done()

    asyncio.run(scenario())


def test_another_program_that_has_the_line_keeps_it(pair: Pair) -> None:
    async def scenario() -> None:
        other = os.open(pair.name, os.O_RDWR | os.O_NOCTTY)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(PortGone, match="is in use by another program"):
            await open_port(pair.name)
        os.close(other)

    asyncio.run(scenario())


HOLD = """
import fcntl, os, sys
line = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
fcntl.flock(line, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_the_program_that_has_the_line_is_named(pair: Pair) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, pair.name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        comm = Path(f"/proc/{other.pid}/comm").read_text(encoding="utf-8").strip()
        with pytest.raises(PortGone) as told:
            asyncio.run(open_port(pair.name))
        assert f"is in use by {comm} (pid {other.pid})" in str(told.value)
        other.communicate("")


def proc_with(proc: Path, *processes: tuple[int, str, str]) -> Path:
    """A /proc in which each process (pid, name) has one file open."""
    for pid, name, target in processes:
        (proc / str(pid) / "fd").mkdir(parents=True)
        (proc / str(pid) / "comm").write_text(name + "\n", encoding="utf-8")
        (proc / str(pid) / "fd" / "7").symlink_to(target)
    (proc / "self").mkdir()
    return proc


def test_the_holder_is_found_through_links_and_only_where_the_file_is_the_same(tmp_path: Path) -> None:
    tty_node = tmp_path / "ttyUSB2"
    tty_node.touch()
    link = tmp_path / "by-id"
    link.symlink_to(tty_node)
    proc = proc_with(tmp_path / "proc", (12, "bash", "/dev/null"), (312, "ModemManager", str(tty_node)))
    assert holder(str(link), proc=proc) == "ModemManager (pid 312)"
    assert holder(str(tmp_path / "ttyUSB3"), proc=proc) is None


def test_modem_manager_is_seen_by_its_name_alone(tmp_path: Path) -> None:
    proc = proc_with(tmp_path / "proc", (12, "bash", "/dev/null"), (99, "ModemManager", "/dev/null"))
    assert modem_manager(proc=proc) == 99
    assert modem_manager(proc=proc_with(tmp_path / "other", (12, "bash", "/dev/null"))) is None


def test_the_group_that_may_open_a_port_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ttyUSB0"
    file.touch()
    told = asyncio.run(_in_words(str(file), PermissionError(errno.EACCES, "Permission denied")))
    assert "this user may not open it; its group is " in told
    assert grp.getgrgid(file.stat().st_gid).gr_name in told


@pytest.mark.asyncio
async def test_a_port_that_is_there_and_cannot_be_opened_has_failed_and_is_not_gone(pair: Pair) -> None:
    slave = os.open(pair.name, os.O_RDWR | os.O_NOCTTY)
    try:
        pair.close()
        with pytest.raises(PortFailed):  # the other end of a tty has closed: EIO
            await open_port(f"/proc/self/fd/{slave}")
    finally:
        os.close(slave)
    with pytest.raises(PortGone) as gone:
        await open_port("/dev/is-not-there")
    assert not isinstance(gone.value, PortFailed)
