"""A desk to test a modem's driver on: a loop whose time is virtual, ports that are scripts, a host with a journal.

``Script`` expects octets and answers octets, exactly. ``Desk`` is a plain modem as tables: its answers can be replaced
one by one, every octet that it was given is kept with its time.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from appliance.errors import ModemError, ModemhubError, PortGone
from appliance.modem.modem import Intervals, Modem
from appliance.modem.profile import shipped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from appliance.modem.host import ArrivedPdu, ModemStatus, RungTaken
    from appliance.modem.ladder import Memory
    from appliance.modem.place import Remedy
    from appliance.modem.profile import Profile
    from appliance.types import Iccid, Imei, Imsi

IMEI = "356938035643809"
IMSI = "234100000000001"
ICCID = "8944100000000000018"
PDU = "07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07"
TPDU = bytes.fromhex(PDU[16:])
SUBMIT = bytes.fromhex("01000C91447700091032000005E8329BFD06")

USUAL = Intervals()

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Where nothing is ready it does not wait: the loop's time is set on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen any more")
            self.now += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which no time passes but the one that is waited for."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run a scenario in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)


class Wire:
    """The end of a line that a driver sees: a ``Port``."""

    def __init__(self, take: Callable[[bytes], None], name: str = "desk") -> None:
        self.name = name
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._take = take
        self._read: Callable[[bytes], object] | None = None

    def listen(self, read: Callable[[bytes], object]) -> None:
        self._read = read

    def write(self, data: bytes) -> None:
        if self.gone.done():
            raise PortGone(self.gone.result())
        self._take(data)

    async def close(self) -> None:
        self.hang_up("closed")

    def hang_up(self, why: str = "hung up") -> None:
        if not self.gone.done():
            self.gone.set_result(why)

    def put(self, data: bytes) -> None:
        """The driver reads this now."""
        if self._read is not None and not self.gone.done():
            self._read(data)


class Script:
    """A line on which exactly these octets are expected, each answered by those."""

    def __init__(self, *steps: tuple[bytes, bytes]) -> None:
        self._steps = list(steps)
        self.wire = Wire(self._take)

    def _take(self, data: bytes) -> None:
        assert self._steps, f"unexpected: {data!r}"
        expected, answer = self._steps.pop(0)
        assert data == expected
        if answer:
            asyncio.get_running_loop().call_soon(self.wire.put, answer)

    def done(self) -> bool:
        return not self._steps


def line(*texts: str) -> bytes:
    return b"".join(b"\r\n" + text.encode() + b"\r\n" for text in texts)


Reply = bytes | None
"""What a modem answers; None: nothing."""


@dataclass
class Desk:
    """A plain modem. ``answers`` come first, then the storages, then ``plain``; anything else is an ERROR."""

    answers: dict[str, Reply | list[Reply]] = field(default_factory=dict)
    plain: dict[str, bytes] = field(
        default_factory=lambda: {
            "AT": line("OK"),
            "ATE0": line("OK"),
            "ATV1": line("OK"),
            "AT+CMEE=1": line("OK"),
            "AT+CGSN": line(IMEI, "OK"),
            "AT+CGMI": line("ACME", "OK"),
            "AT+CGMM": line("M1", "OK"),
            "AT+CGMR": line("1.0", "OK"),
            "AT+CPIN?": line("+CPIN: READY", "OK"),
            "AT+CIMI": line(IMSI, "OK"),
            "AT+CCID": line(f"+CCID: {ICCID}", "OK"),
            "AT+CNUM": line('+CNUM: "","+447700900001",145', "OK"),
            "AT+CMGF=0": line("OK"),
            "AT+CSMS=0": line("+CSMS: 1,1,1", "OK"),
            "AT+CSMS=1": line("+CSMS: 1,1,1", "OK"),
            "AT+CPMS=?": line('+CPMS: ("ME","SM"),("ME","SM"),("ME","SM")', "OK"),
            "AT+CLIP=1": line("OK"),
            "AT+CREG=0": line("OK"),
            "AT+CEREG=0": line("OK"),
            "AT+CREG?": line("+CREG: 0,1", "OK"),
            "AT+CEREG?": line("+CEREG: 0,0", "OK"),
            "AT+CSQ": line("+CSQ: 20,99", "OK"),
            "AT+COPS?": line('+COPS: 0,0,"Desk Mobile",7', "OK"),
            "AT+CNMA": line("OK"),
        }
    )
    stores: dict[str, dict[int, str]] = field(default_factory=lambda: {"ME": {}, "SM": {}})
    """Storage, index, the lines behind the index: ``1,,27\\r\\n0791…``."""
    results: list[Reply] = field(default_factory=list)
    """Results of the next submits; behind them ``+CMGS`` with a number that counts."""
    prompt: Reply = b"\r\n> "
    boots: float | None = None
    """Seconds until AT+CFUN=1,1 has the modem answer again, with RDY; None: an ERROR."""
    mute: bool = False
    deaf_until_reopened: bool = False
    poison: dict[tuple[str, int], int | None] = field(default_factory=dict)
    """Messages whose reading makes it start anew, and how often; None: each time."""
    vanishes_at_poison: bool = False
    """It does so by hanging up, as on USB; else it is silent for some seconds and says RDY."""
    written: list[tuple[float, bytes]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    wire: Wire | None = None
    opened: int = 0
    turns: list[int] = field(default_factory=list)
    remedies: Sequence[Remedy] = ()
    vanishes: bool = False
    plugged: bool = True
    cnmi: str = "0,0,0,0,0"

    def __post_init__(self) -> None:
        self._selected = "ME"
        self._line = b""
        self._prompted = False
        self._mr = 0
        self._plugged_in = asyncio.Event()
        self._written_to = asyncio.Event()

    # -- the place

    name = port = "desk"

    async def present(self) -> None:
        if not self.plugged:
            await self._plugged_in.wait()

    def unplug(self) -> None:
        self.plugged = False
        self._plugged_in.clear()
        self.hang_up()

    def plug(self) -> None:
        self.plugged = True
        self._plugged_in.set()

    def worked(self) -> None:
        self.turns.append(-1)

    async def open(self, turn: int = 0) -> Wire:
        self.turns.append(turn)
        if self.wire is not None:
            self.wire.hang_up()
        self.wire = Wire(self._take)
        self.opened += 1
        self._line, self._prompted = b"", False
        if self.deaf_until_reopened and self.opened > 1:
            self.mute = self.deaf_until_reopened = False
        return self.wire

    def tell(self, *texts: str) -> None:
        """Say lines unasked."""
        assert self.wire is not None
        self.wire.put(line(*texts))

    def hang_up(self) -> None:
        assert self.wire is not None
        self.wire.hang_up()

    @property
    def commands(self) -> list[str]:
        """Every command line that was given."""
        return [data.decode().strip("\x1b\r") for _, data in self.written if data.endswith(b"\r")]

    async def given(self, command: str) -> None:
        """Wait until this command line was given."""
        while command not in self.commands:
            self._written_to.clear()
            await self._written_to.wait()

    def since(self, time: float) -> list[bytes]:
        return [data for at, data in self.written if at > time]

    # -- the modem

    def _take(self, data: bytes) -> None:
        self.written.append((asyncio.get_running_loop().time(), data))
        self._written_to.set()
        for octet in data:
            char = bytes([octet])
            if char == b"\x1b":
                if self._prompted and not self.mute:
                    self._answer(line("OK"))
                self._line, self._prompted = b"", False
            elif self._prompted:
                if char == b"\x1a":
                    self._prompted = False
                    self._submitted(self._line)
                    self._line = b""
                else:
                    self._line += char
            elif char == b"\r":
                text, self._line = self._line.decode(), b""
                if text == "AT+CFUN=1,1" and self.boots is not None:
                    self._boot()
                elif not self.mute:
                    self._command(text)
            else:
                self._line += char

    def _answer(self, data: bytes) -> None:
        if self.wire is not None:
            asyncio.get_running_loop().call_soon(self.wire.put, data)

    def _boot(self) -> None:
        assert self.boots is not None
        if not self.mute:
            self._answer(line("OK"))
        self.mute = True
        asyncio.get_running_loop().call_later(self.boots, self._up)

    def _poisoned(self, *indexes: int) -> bool:
        """Whether reading these in the selected storage makes it start anew; it does then."""
        for place in ((self._selected, index) for index in indexes):
            left = self.poison.get(place, 0)
            if left == 0 or place[1] not in self.stores[place[0]]:
                continue
            self.poison[place] = None if left is None else left - 1
            loop = asyncio.get_running_loop()
            if self.vanishes_at_poison:
                self.unplug()
                loop.call_later(4, self.plug)
            else:
                self.mute = True
                loop.call_later(4, self._up)
            return True
        return False

    def _up(self) -> None:
        self.mute = False
        self.cnmi = "0,0,0,0,0"
        self.tell("RDY")

    def _submitted(self, payload: bytes) -> None:
        self.sent.append(payload)
        if self.results:
            result = self.results.pop(0)
            if result is not None:
                self._answer(result)
        else:
            self._answer(line(f"+CMGS: {self._mr}", "OK"))
            self._mr = (self._mr + 1) % 256

    def _command(self, text: str) -> None:
        reply = self._reply(text)
        if reply is not None:
            self._answer(reply)

    def _reply(self, text: str) -> Reply:
        if text in self.answers:
            reply = self.answers[text]
            if isinstance(reply, list):
                if reply:
                    return reply.pop(0)
                del self.answers[text]
            else:
                return reply
        if text.startswith("AT+CMGS="):
            self._prompted = self.prompt == b"\r\n> "
            return self.prompt
        if text.startswith("AT+CPMS="):
            names = [name.strip('"') for name in text.removeprefix("AT+CPMS=").split(",")]
            if all(name in self.stores for name in names):
                self._selected = names[0]
                gauge = ",".join(f"{len(self.stores[self._selected])},50" for _ in range(3))
                return line(f"+CPMS: {gauge}", "OK")
        if text == "AT+CMGL=4":
            if self._poisoned(*self.stores[self._selected]):
                return None
            listed = [f"+CMGL: {index},{rest}" for index, rest in sorted(self.stores[self._selected].items())]
            return line(*listed, "OK")
        if text.startswith("AT+CMGR="):
            if self._poisoned(int(text[8:])):
                return None
            rest = self.stores[self._selected].get(int(text[8:]))
            return line(f"+CMGR: {rest}", "OK") if rest is not None else line("+CMS ERROR: 321")
        if text.startswith("AT+CMGD="):
            found = self.stores[self._selected].pop(int(text[8:]), None)
            return line("OK" if found is not None else "+CMS ERROR: 321")
        if text.startswith("AT+CNMI="):
            self.cnmi = text.removeprefix("AT+CNMI=")
            return line("OK")
        if text == "AT+CNMI?":
            return line(f"+CNMI: {self.cnmi}", "OK")
        return self.plain.get(text, line("ERROR"))


class Journal:
    """A host that keeps what it was told, in order; what it answers can be set."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.pdus: list[ArrivedPdu] = []
        self.statuses: list[ModemStatus] = []
        self.calls: list[str | None] = []
        self.refusals: list[ModemhubError] = []
        self.gate: asyncio.Event | None = None
        self.pins: set[tuple[str, str]] = set()
        self.memory: Memory | None = None
        self.memories: dict[str | None, Memory] = {}
        """By IMEI; of one that has not said it: by None."""
        self.taken: list[RungTaken] = []
        self._changed = asyncio.Event()

    def _note(self, entry: str) -> None:
        self.entries.append(entry)
        self._changed.set()

    async def until(self, true: Callable[[], object], within: float = 400.0) -> None:
        """Wait until something is true that the journal or the status shows."""
        async with asyncio.timeout(within):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def attached(self, modem: Modem) -> None:
        self._note(f"attached {modem.status.imei}")

    async def detached(self, modem: Modem, reason: str) -> None:
        assert modem.status.imei
        self._note(f"detached: {reason}")

    def changed(self, status: ModemStatus) -> None:
        self.statuses.append(status)
        self._changed.set()

    async def arrived(self, pdu: ArrivedPdu) -> None:
        self._note(f"arriving {pdu.storage} {pdu.index}")
        if self.gate is not None:
            await self.gate.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        self.pdus.append(pdu)
        self._note(f"arrived {pdu.storage} {pdu.index}")

    async def removed(self, pdu: ArrivedPdu) -> None:
        self._note(f"removed {pdu.storage} {pdu.index}")

    def called(self, imei: Imei, imsi: Imsi, number: str | None) -> None:
        assert (imei, imsi) == (IMEI, IMSI)
        self.calls.append(number)
        self._changed.set()

    async def may_try_pin(self, iccid: Iccid, pin: str) -> bool:
        fresh = (iccid, pin) not in self.pins
        self.pins.add((iccid, pin))
        self._note(f"may try: {fresh}")
        if self.gate is not None:
            await self.gate.wait()
        return fresh

    async def pin_taken(self, iccid: Iccid, pin: str) -> None:
        self.pins.discard((iccid, pin))
        self._note("PIN taken")

    async def troubles(self, place: str, imei: Imei | None) -> Memory | None:
        assert place == "desk"
        return self.memories.get(imei)

    async def recovering(self, place: str, imei: Imei | None, memory: Memory, taken: RungTaken | None) -> None:
        assert place == "desk"
        self.memory = self.memories[imei] = memory
        if taken is not None:
            self.taken.append(taken)
            self._note(f"{taken.name}: {taken.outcome}")

    def count(self, entry: str) -> int:
        return self.entries.count(entry)


@dataclass
class Bench:
    """A modem on a desk, being served."""

    desk: Desk
    host: Journal
    modem: Modem
    ends: list[ModemError]

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def submit(self, tpdu: bytes = SUBMIT) -> int:
        return await self.modem.submit(tpdu, payload_next=nothing)

    async def ready(self, times: int = 1) -> None:
        await self.host.until(lambda: self.host.count(f"attached {IMEI}") >= times)


async def nothing() -> None:
    """A ``payload_next`` that has nothing to do."""


@contextlib.asynccontextmanager
async def bench(
    desk: Desk | None = None,
    *,
    profile: Profile | None = None,
    pin: str | None = None,
    wait: bool = True,
    intervals: Intervals = USUAL,
    memory: Memory | None = None,
    pause: float = 1.0,
    hang_up: bool = True,
    host: Journal | None = None,
    profiles: Sequence[Profile] | None = None,
) -> AsyncIterator[Bench]:
    """Serve a modem as the supervisor does: run it again, ``pause`` seconds after each end."""
    desk = desk or Desk()
    host = host or Journal()
    if memory is not None:
        host.memory = host.memories[None] = host.memories[IMEI] = memory
    modem = Modem(
        desk,
        profiles=shipped() if profiles is None else profiles,
        profile=profile,
        host=host,
        pin=lambda _: pin,
        hang_up=hang_up,
        intervals=intervals,
    )
    ends: list[ModemError] = []

    async def tended() -> None:
        while True:
            try:
                await modem.run()
            except ModemError as error:
                ends.append(error)
            await asyncio.sleep(pause)

    task = asyncio.create_task(tended())
    try:
        it = Bench(desk, host, modem, ends)
        if wait:
            await it.ready()
            await asyncio.sleep(0.5)
        yield it
    finally:
        task.cancel()
        failed: Sequence[object] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(failed[0], asyncio.CancelledError), failed[0]
