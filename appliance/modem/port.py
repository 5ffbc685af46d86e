"""A serial line: octets in and out, and one end.

Promise: whatever ends a line (hang-up, EOF, EIO, ENODEV, the device gone, a buffer that nobody empties) is one thing:
``gone`` gets its result, once, and every later ``write`` raises ``PortGone``. Opening and closing may block in the
kernel when a bus is wedged; they run in a daemon thread of their own and are waited for only so long.

Theory of operation
    pyserial opens tty paths, ptys and ``socket://host:port``, sets 115200 8N1 raw without any flow control and takes
    the exclusive flock. The rest is done on its file descriptor: TIOCEXCL against programs that do not flock; HUPCL
    off, so that closing does not drop DTR (which resets or hangs up some modems); VMIN 1, so that a read of nothing
    means the end and not "no octets now". The descriptor is non-blocking and is watched by the running loop.

    ``write`` hands over what the kernel takes and keeps the rest for when it takes more. A dialogue writes one
    command and waits for its answer: that is the back-pressure. A line that leaves ``_BACKLOG`` octets waiting is gone.

Who has a busy port is looked up in /proc and told by name: it is nearly always ModemManager, and then a person can do
something about it.

It does not know AT.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import grp
import os
import termios
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from appliance.errors import PortFailed, PortGone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import serial

__all__ = ["MODEM_MANAGER", "Port", "SerialPort", "holder", "in_thread", "modem_manager", "open_port"]

_CHUNK: Final = 65536
_BACKLOG: Final = 65536
"""Octets waiting to be written at which the line counts as gone; a command is at most 500, a probe 10."""

_OPEN_TIMEOUT: Final = 10.0
"""Seconds. A tty opens in milliseconds; a TCP connection gets 5 s from pyserial."""

_CLOSE_TIMEOUT: Final = 5.0
"""Seconds. Closing waits up to 30 s for unsent octets in the kernel (closing_wait); they are flushed before."""


_BUSY: Final = frozenset({errno.EBUSY, errno.EAGAIN, errno.EWOULDBLOCK})
"""What an open ends with where another program has the port: TIOCEXCL says EBUSY, a foreign flock says EAGAIN."""

_FAILED: Final = frozenset({errno.EIO, errno.ETIMEDOUT, errno.EPROTO, errno.EPIPE, errno.EILSEQ})
"""What an open ends with where the device does not answer its bus (Linux, usb/error-codes: -71, -32, -84, -110)."""

MODEM_MANAGER: Final = (
    "ModemManager speaks to every modem by itself: switch it off (systemctl disable --now ModemManager), or have it "
    "leave this one alone (udev property ID_MM_DEVICE_IGNORE=1)"
)
"""What there is to do about it."""

_PROC: Final = Path("/proc")


class Port(Protocol):
    """What a channel needs of a line."""

    @property
    def name(self) -> str:
        """What people call it: the path or URL that it was opened by."""

    @property
    def gone(self) -> asyncio.Future[str]:
        """Done when the line has ended; the result says why."""

    def listen(self, read: Callable[[bytes], object]) -> None:
        """Begin to deliver what arrives, each time at least one octet, in order."""

    def write(self, data: bytes) -> None:
        """Send octets, in order, without waiting.

        Raises:
            PortGone: the line has ended.
        """

    async def close(self) -> None:
        """End the line; returns when it is free to be opened again, or after a bounded time."""


class SerialPort:
    """A tty, pty or TCP line that is open. Made by ``open_port``."""

    def __init__(self, name: str, device: serial.SerialBase) -> None:
        """Take over an open pyserial device; within a running loop."""
        self._name = name
        self._device = device
        self._fd: int = device.fileno()
        self._loop = asyncio.get_running_loop()
        self._gone: asyncio.Future[str] = self._loop.create_future()
        self._unsent = bytearray()
        self._read: Callable[[bytes], object] | None = None
        self._closed: asyncio.Future[None] | None = None

    @property
    def name(self) -> str:
        """The path or URL."""
        return self._name

    @property
    def gone(self) -> asyncio.Future[str]:
        """Done when the line has ended; the result says why."""
        return self._gone

    def listen(self, read: Callable[[bytes], object]) -> None:
        """Begin to deliver what arrives."""
        self._read = read
        if not self._gone.done():
            self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error.strerror or "read error")
            return
        if not data:
            self._end("hung up")
        elif self._read is not None:
            self._read(data)

    def write(self, data: bytes) -> None:
        """Send octets, in order, without waiting.

        Raises:
            PortGone: the line has ended.
        """
        if self._gone.done():
            raise PortGone(f"{self._name}: {self._gone.result()}")
        if self._unsent:
            self._unsent += data
            if len(self._unsent) > _BACKLOG:
                self._end("takes no octets")
                raise PortGone(f"{self._name}: takes no octets")
            return
        sent = self._send(data)
        if self._gone.done():
            raise PortGone(f"{self._name}: {self._gone.result()}")
        if sent < len(data):
            self._unsent += data[sent:]
            self._loop.add_writer(self._fd, self._writable)

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._fd, data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            self._end(error.strerror or "write error")
            return 0

    def _writable(self) -> None:
        sent = self._send(self._unsent)
        if not self._gone.done():
            del self._unsent[:sent]
            if not self._unsent:
                self._loop.remove_writer(self._fd)

    def _end(self, why: str) -> None:
        if not self._gone.done():
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._gone.set_result(why)

    async def close(self) -> None:
        """End the line and give the device back; after 5 s without an answer of the kernel it is left to itself."""
        self._end("closed")
        if self._closed is None:
            self._closed = self._loop.create_future()
            with contextlib.suppress(TimeoutError):
                await in_thread(self._close, _CLOSE_TIMEOUT, "close " + self._name)
            self._closed.set_result(None)
        else:
            await asyncio.shield(self._closed)

    def _close(self) -> None:
        with contextlib.suppress(OSError, termios.error):
            termios.tcflush(self._fd, termios.TCIOFLUSH)
            if os.isatty(self._fd):
                fcntl.ioctl(self._fd, termios.TIOCNXCL)  # it outlives us where another one holds the line open
        with contextlib.suppress(OSError):
            self._device.close()


async def open_port(name: str, *, baudrate: int = 115200) -> SerialPort:
    """Open a tty path, a pty or ``socket://host:port`` for ourselves alone.

    Raises:
        PortGone: it does not exist, another program has it (named where that can be found out), this user may not open
            it, or it does not answer.
        PortFailed: it is there, and the kernel cannot open it, or not in 10 s.
    """
    try:
        device = await in_thread(lambda: _open(name, baudrate), _OPEN_TIMEOUT, "open " + name, late=_give_back)
    except TimeoutError:
        raise PortFailed(f"{name}: cannot be opened in {_OPEN_TIMEOUT:.0f} s") from None
    except (OSError, ValueError, termios.error) as error:
        if "://" not in name and _number(error) in _FAILED:
            raise PortFailed(f"{name}: {error}") from error
        raise PortGone(f"{name}: {await _in_words(name, error)}") from error
    return SerialPort(name, device)


def _number(error: BaseException | None) -> int | None:
    """The errno of an error, or of the one that it was raised for: pyserial wraps those of termios."""
    while error is not None:
        number = error.args[0] if isinstance(error, termios.error) else getattr(error, "errno", None)
        if isinstance(number, int):
            return number
        error = error.__context__
    return None


async def _in_words(name: str, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in _BUSY:
        try:
            who = await in_thread(lambda: holder(name), _CLOSE_TIMEOUT, "holder of " + name)
            manager = await in_thread(modem_manager, _CLOSE_TIMEOUT, "ModemManager")
        except TimeoutError:
            who = manager = None
        if manager is not None and (who is None or who.startswith("ModemManager")):
            suspect = f"ModemManager (pid {manager})"
            return f"is in use by {suspect if who else f'another program, probably {suspect}'}. {MODEM_MANAGER}"
        return f"is in use by {who or 'another program'}"
    if number == errno.EACCES:
        return f"this user may not open it{_whose(name)}"
    return str(error)


def _whose(name: str) -> str:
    """The group that may open it, and what to do."""
    try:
        group = grp.getgrgid(Path(name).stat().st_gid).gr_name
    except (OSError, KeyError):
        return ""
    return f"; its group is {group}: add the user to it (usermod -aG {group} USER) and start the program again"


def holder(path: str, *, proc: Path = _PROC) -> str | None:
    """Which other program has a tty open, as ``ModemManager (pid 312)``.

    None: nobody has, or this user may not see who (only root sees the files of other users' programs). Reads a few
    thousand links: not for the loop's thread.
    """
    real = os.path.realpath(path)
    for process in _processes(proc):
        if process.name == str(os.getpid()) and proc == _PROC:
            continue
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            for link in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(link.readlink()) == real:
                        return f"{_command(process)} (pid {process.name})"
    return None


def modem_manager(*, proc: Path = _PROC) -> int | None:
    """The process id of ModemManager, which any user may know; None: it does not run."""
    return next((int(process.name) for process in _processes(proc) if _command(process) == "ModemManager"), None)


def _processes(proc: Path) -> Iterator[Path]:
    for process in sorted(proc.glob("[0-9]*")):
        if process.name.isdecimal():
            yield process


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"


def _open(name: str, baudrate: int) -> serial.SerialBase:
    import serial  # noqa: PLC0415 - 30 ms that only a hub with modems pays

    device = serial.serial_for_url(name, do_not_open=True, baudrate=baudrate, timeout=0, write_timeout=0)
    device.xonxoff = device.rtscts = device.dsrdtr = False
    device.dtr = device.rts = True
    if "://" not in name:
        device.exclusive = True
    device.open()
    try:
        fd: int = device.fileno()
        fcntl.fcntl(
            fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK
        )  # not an ioctl, which umockdev eats
        if os.isatty(fd):
            if not os.ttyname(fd).startswith("/dev/pts/"):  # a pty keeps it after kill -9 while its master's side lives
                fcntl.ioctl(fd, termios.TIOCEXCL)
            mode = termios.tcgetattr(fd)
            mode[2] &= ~termios.HUPCL
            mode[6][termios.VMIN] = 1
            mode[6][termios.VTIME] = 0
            termios.tcsetattr(fd, termios.TCSANOW, mode)
    except BaseException:
        device.close()
        raise
    return device


def _give_back(device: serial.SerialBase) -> None:
    with contextlib.suppress(OSError):
        device.close()


_T = TypeVar("_T")


async def in_thread(
    work: Callable[[], _T], within: float, name: str, *, late: Callable[[_T], object] | None = None
) -> _T:
    """Run what may block for ever in a daemon thread, so that neither the loop nor the exit of the process waits.

    Raises:
        TimeoutError: it did not return in time; ``late`` gets its result should it ever come. So also on cancellation.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[_T] = loop.create_future()

    def deliver(result: Any, error: BaseException | None) -> None:
        if outcome.done():
            if error is None and late is not None:
                late(result)
        elif error is None:
            outcome.set_result(result)
        else:
            outcome.set_exception(error)

    def run() -> None:
        result: _T | None = None
        caught: BaseException | None = None
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - carried over to the waiting coroutine whatever it is
            caught = error
        try:
            loop.call_soon_threadsafe(deliver, result, caught)
        except RuntimeError:  # the loop has ended meanwhile
            if caught is None and late is not None and result is not None:
                late(result)

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(within):
        return await outcome
