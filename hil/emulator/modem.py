"""One emulated modem: the command line, the prompt, unsolicited lines, and messages that come from the network.

Promise: what a conforming reader sees is what 27.005, 27.007 and V.250 say, to the octet: ``CR LF line CR LF``, echo of
each character while E1, the prompt ``CR LF > space``. Deviations are switches: the persona's quirks, the settings, the
faults; nothing else deviates.

Theory of operation. Three states. COMMAND collects a line up to S3 and runs its commands one after another until one
fails; a command answers at once or defers. EXECUTING is a deferred command: characters wait in the input, or abort it
where the standard lets them. PROMPT collects text up to Ctrl-Z or ESC, as long as it takes. ``generation`` counts
resets: a timer of an earlier life is ignored.

Unsolicited lines are held while a command runs or a prompt is open and told right after the result; between a PDU and
its +CMGS they may come at once (``urc_during_submit``).

Mobile terminated messages follow the tables of 27.005 §3.4.1: <mt>, <ds> and the message class decide between storing
(+CMTI, +CDSI) and routing (+CMT, +CDS); with +CSMS=1 a routed one waits for +CNMA, else the network hears an error and
<mt> and <ds> become 0.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hil.emulator import commands_device, commands_sms, tpdu
from hil.emulator.at import CTRL_Z, DEFERRED, ESC, AtError, Call, cme, cms, parse_line
from hil.emulator.line import Line
from hil.emulator.network import MEMORY_EXCEEDED, SERVICE_CENTRE, Delivery, Network
from hil.emulator.storage import UNREAD, Joined, Memory, Storage, Stored

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from hil.emulator.opens import Opens
    from hil.emulator.persona import Persona
    from hil.emulator.settings import Settings
    from hil.emulator.sim import Sim

COMMAND, EXECUTING, PROMPT = "command", "executing", "prompt"
USABLE: Final = (1, 5, 6, 7, 9, 10)
"""Registration states in which short messages go through."""
CAUSE_NO_ACK: Final = 111
"""What the network hears when +CNMA does not come (24.011: protocol error, unspecified)."""
MAX_LINE: Final = 4096
MAX_PROMPT: Final = 65536
LOG_LENGTH: Final = 200
HELD_LIMIT: Final = 1000

_TABLE: Final = {**commands_device.TABLE, **commands_sms.TABLE}


@dataclass(slots=True)
class Prompt:
    """What to do with the text that is being entered."""

    entered: Callable[[str], None]
    text_mode: bool = False
    stuck: bool = False
    """Only ESC leaves it."""
    buffer: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Registers:
    """What a reset sets back."""

    echo: bool = True
    verbose: bool = True
    quiet: bool = False
    s: dict[int, int] = field(default_factory=lambda: {0: 0, 3: 13, 4: 10, 5: 8})
    cmee: int = 0
    csms: int = 0
    cmgf: int = 0
    cnmi: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0])
    cpms: list[str] = field(default_factory=lambda: ["SM", "SM", "SM"])
    csca: str = SERVICE_CENTRE
    cscs: str = "IRA"
    csmp: list[Any] = field(default_factory=lambda: [17, 167, 0, 0])
    csdh: int = 0
    cmms: int = 0
    clip: int = 0
    cusd: int = 0
    ctzr: int = 0
    cops_format: int = 0
    cops_mode: int = 0
    report: dict[str, int] = field(default_factory=lambda: {"+CREG": 0, "+CGREG": 0, "+CEREG": 0})


class Modem:
    """One modem with its SIM, on its line, in its network."""

    def __init__(
        self,
        name: str,
        *,
        imei: str,
        sim: Sim,
        persona: Persona,
        settings: Settings,
        network: Network,
        opens: Opens,
        directory: Path,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.name = name
        self.imei = imei
        self.sim = sim
        self.persona = persona
        self.settings = settings
        self.network = network
        self.loop = loop
        self.subscriber = network.subscribe(imsi=sim.imsi, number=sim.number, settings=settings)
        self.line = Line(directory / name, settings, opens, loop=loop, received=self.received, opened=self._port_opened)
        base = persona.index_base
        self.memories = {key: Memory(key, limit, base) for key, limit in persona.storages.items()}
        self.joined = Joined(self.memories["SM"], self.memories["ME"])
        self.registers = self._fresh()
        self.cfun = 1
        self.on = False
        self.generation = 0
        self.state = COMMAND
        self.commands: Counter[str] = Counter()
        self.log: deque[str] = deque(maxlen=LOG_LENGTH)
        self.mr = 0
        self.registered = False
        self.displayed: list[str] = []
        self.faults: dict[str, Any] = {}
        self.once: Counter[str] = Counter()
        self.boots = 0
        self.heard = 0
        self.calling: str | None = None
        self._input = bytearray()
        self._line = bytearray()
        self._last_line = ""
        self._calls: deque[Call] = deque()
        self._prompt: Prompt | None = None
        self._running = False
        self._submitting = False
        self._abort: Callable[[], None] | None = None
        self._held: deque[str] = deque(maxlen=HELD_LIMIT)
        self._buffered: list[str] = []
        self._ack: tuple[Delivery, asyncio.TimerHandle] | None = None

    # ------------------------------------------------------------------------------------------------ life

    def _fresh(self, old: Registers | None = None) -> Registers:
        fresh = Registers(cnmi=list(self.persona.cnmi), cpms=list(self.persona.cpms))
        if old is not None:
            fresh.csca = old.csca
            for key in self.persona.keeps:
                setattr(fresh, key, getattr(old, key))
        return fresh

    def start(self) -> None:
        """Plug in, booted long ago: no boot lines."""
        self.line.plug()
        self.on = True
        self.update_registration()

    def power_down(self) -> None:
        """Everything that a modem without power forgets."""
        self.generation += 1
        self.on = False
        self.registered = False
        self.state = COMMAND
        self.registers = self._fresh(self.registers)
        self.cfun = 1
        self._input.clear()
        self._line.clear()
        self._calls.clear()
        self._prompt = None
        self._abort = None
        self._running = self._submitting = False
        self._held.clear()
        self._buffered.clear()
        self.calling = None
        for key in ("mute_until_reset", "stuck", "flood"):
            self.faults.pop(key, None)
        if self._ack is not None:
            self._ack[1].cancel()
            self._ack = None
        self.subscriber.vanished()
        self.subscriber.terminal = None
        self.sim.power_cycle()
        self.network.changed()

    def reboot(self) -> None:
        """A reset: silence for ``boot_delay``, then the boot lines; the port may drop and come back before them."""
        self.power_down()
        if self.settings.reboot_drops_port:
            self.line.unplug()
            self.after(self.settings.boot_delay, self.replug)
        else:
            self.after(self.settings.boot_delay, self._booted)

    def _booted(self) -> None:
        self.boots += 1
        self.line.plug()
        self.on = True
        words = {"ready": "READY", "pin": "SIM PIN", "puk": "SIM PUK"}.get(self.sim.state, "NOT INSERTED")
        for line in self.persona.boot:
            self.urc(line.format(pin=words, imei=self.imei))
        self.sim_ready()
        self.network.changed()

    def unplug(self) -> None:
        self.power_down()
        self.line.unplug()

    def replug(self) -> None:
        """A new pty under the old symlink; the modem boots."""
        if self.line.plugged:
            self.unplug()
        self.line.plug()
        self.network.changed()
        self.after(self.settings.boot_delay, self._booted)

    def sim_ready(self) -> None:
        """The SIM is (or just became) usable: its lines, then the network."""
        if self.on and self.sim.state == "ready":
            for line in self.persona.ready:
                self.urc(line.format(imei=self.imei))
        self.update_registration()

    def after(self, delay: float, what: Callable[[], None]) -> None:
        """Call later, unless the modem is reset before."""
        generation = self.generation

        def act() -> None:
            if generation == self.generation:
                what()

        if delay > 0:
            self.loop.call_later(delay, act)
        else:
            self.loop.call_soon(act)

    # -------------------------------------------------------------------------------------- registration

    def stat(self, kind: str = "+CREG") -> int:
        """<stat> of one of the three registration commands."""
        if not self.registered:
            return 2 if self.on and self.cfun == 1 and self.sim.state == "ready" else 0
        own = getattr(self.settings, kind.removeprefix("+").lower())
        return self.settings.registration if own is None else int(own)

    @property
    def reachable(self) -> bool:
        return self.registered and any(self.stat(kind) in USABLE for kind in self.registers.report)

    def update_registration(self) -> None:
        """Register or deregister as power, SIM and +CFUN want it."""
        wanted = self.on and self.cfun == 1 and self.sim.state == "ready" and self.registers.cops_mode != 2
        if wanted == self.registered:
            return
        if not wanted:
            self.registered = False
            self.subscriber.vanished()
            self.subscriber.terminal = None
            self.registration_changed()
        elif self.settings.registration_delay:
            self.after(self.settings.registration_delay, self._register)
        else:
            self._register()

    def _register(self) -> None:
        if not self.registered and self.on and self.cfun == 1 and self.sim.state == "ready":
            self.registered = True
            self.subscriber.terminal = self
            self.registration_changed()

    def registration_changed(self) -> None:
        """Tell the state where it was asked for, and the network when it can send."""
        for kind, n in self.registers.report.items():
            if n and self.on:
                self.urc(f"{kind}: {commands_device.registration(self, kind, n)}")
        if self.reachable:
            self.subscriber.alert()
        self.network.changed()

    # --------------------------------------------------------------------------------------------- output

    def quirk(self, name: str) -> bool:
        return name in self.persona.quirks or name in self.settings.quirks

    @property
    def _mute(self) -> bool:
        return any(key in self.faults for key in ("mute", "mute_until_reopen", "mute_until_reset"))

    def send(self, text: str) -> None:
        """Octets to the reader, unless the modem is mute."""
        if not self._mute:
            self.line.write(text.encode("latin-1", "replace"))

    def block(self, text: str) -> None:
        """An information response or an unsolicited line; the text may hold several lines."""
        end = "\r\r\n" if self.quirk("crcrlf") else "\r\n"
        text = text.replace("\r\n", end)
        self.send(f"{end}{text}{end}" if self.registers.verbose else f"{text}{end}")

    def _final(self, text: str) -> None:
        if self.registers.quiet:
            return
        if self.registers.verbose:
            self.block(text)
        else:
            self.send({"OK": "0", "ERROR": "4", "NO CARRIER": "3", "RING": "2"}.get(text, text) + "\r")

    def urc(self, text: str) -> None:
        """An unsolicited line: now, or after the running command."""
        if not self.on:
            return
        policy = self.settings.urc_during_submit
        if (
            self._running
            or (self.state == PROMPT and policy != "prompt")
            or (self.state == EXECUTING and not (self._submitting and policy != "hold"))
        ):
            self._held.append(text)
        else:
            self.block(text)

    def _flush_held(self) -> None:
        while self._held and self.state == COMMAND:
            self.block(self._held.popleft())

    # ---------------------------------------------------------------------------------------------- input

    def _port_opened(self, is_open: bool) -> None:
        if is_open and self.faults.get("mute_until_reopen") == "closed":
            self.faults.pop("mute_until_reopen")
        elif not is_open and "mute_until_reopen" in self.faults and not self.line.users:
            self.faults["mute_until_reopen"] = "closed"
        self.network.changed()

    def received(self, data: bytes) -> None:
        """Octets from the reader."""
        self.heard += len(data)
        if not self.on:
            self.network.changed()
            return
        if "mute_until_reset" in self.faults:
            self._input += data
            if any(f"AT{reset}\r".encode() in bytes(self._input).upper() for reset in self.resets):
                self.reboot()
            return
        if self._mute:
            self.network.changed()
            return
        self._input += data
        self._process()

    @property
    def resets(self) -> tuple[str, ...]:
        """The commands that reset this modem."""
        return ("+CFUN=1,1", *self.persona.reset)

    def _process(self) -> None:
        while self._input and self.on:
            if self.state == COMMAND:
                self._command_octets()
            elif self.state == PROMPT:
                self._prompt_octets()
            elif self._abort is not None:
                del self._input[0]
                abort, self._abort = self._abort, None
                abort()
            else:
                return

    def _command_octets(self) -> None:
        s3, s5 = self.registers.s[3], self.registers.s[5]
        echo = bytearray()
        while self._input and self.state == COMMAND and self.on:
            octet = self._input.pop(0)
            if octet != 0x0A:
                echo.append(octet)
            if octet == s3:
                self._echo(echo)
                line, self._line = self._line.decode("latin-1"), bytearray()
                self._run(line)
            elif octet == s5:
                del self._line[-1:]
            elif octet == ESC:
                self._line.clear()
            elif octet not in (0x0A, 0x00, 0x11, 0x13, CTRL_Z) and len(self._line) < MAX_LINE:
                self._line.append(octet)
                if len(self._line) == 2 and self._line.upper() == b"A/":
                    self._echo(echo)
                    self._line.clear()
                    self._run(self._last_line)
        self._echo(echo)

    def _echo(self, octets: bytearray) -> None:
        if octets and self.registers.echo:
            self.send(octets.decode("latin-1"))
        octets.clear()

    def _prompt_octets(self) -> None:
        prompt = self._prompt
        assert prompt is not None
        echo = bytearray()
        while self._input and self.state == PROMPT:
            octet = self._input.pop(0)
            if octet in (ESC, CTRL_Z):
                self._echo(echo)
            if octet == ESC:
                self._leave_prompt()
                self._conclude("OK")
            elif octet == CTRL_Z and not prompt.stuck:
                self._leave_prompt()
                self.state = EXECUTING
                text = prompt.buffer.decode("latin-1")
                self._guard(prompt.entered, text)
                self.network.changed()
            elif octet in (0x08, 0x7F):
                if prompt.buffer:
                    del prompt.buffer[-1:]
                    echo += b"\b \b"
            elif octet == self.registers.s[3] and prompt.text_mode:
                self._echo(echo)
                prompt.buffer += b"\r\n"
                self.send("\r\n> ")
            elif octet != 0x0A or not prompt.text_mode:
                echo.append(octet)
                if len(prompt.buffer) < MAX_PROMPT:
                    prompt.buffer.append(octet)
        self._echo(echo)

    def _leave_prompt(self) -> None:
        self._prompt = None
        self.state = COMMAND
        self.faults.pop("stuck", None)

    # ------------------------------------------------------------------------------------------- commands

    def _run(self, line: str) -> None:
        at = line.upper().find("AT")
        if at < 0:
            return
        self._last_line = line
        self.commands["lines"] += 1
        self.log.append(line)
        try:
            self._calls = deque(parse_line(line[at + 2 :]))
        except AtError as error:
            self._fail(error)
            return
        self.state = EXECUTING
        self._next()

    def _next(self) -> None:
        while self._calls:
            call = self._calls.popleft()
            try:
                self._running = True
                blocks = self._execute(call)
            except AtError as error:
                self._running = False
                self._fail(error)
                return
            finally:
                self._running = False
            if blocks is DEFERRED or not self.on:
                self.network.changed()
                return
            for block in blocks:
                self.block(block)
        self._conclude("OK")

    def _execute(self, call: Call) -> list[str]:
        self.commands[call.name] += 1
        typed = call.typed.upper().replace(" ", "")
        if typed in self.persona.says:
            return list(self.persona.says[typed])
        if typed in self.persona.reset:
            self.loop.call_soon(self.reboot)
            return []
        if typed in self.persona.power_off:
            self.after(0, self.power_off)
            return []
        handler = _TABLE.get(call.name)
        if handler is None or call.name in self.persona.lacks:
            if self.quirk("unknown_text"):
                self.block("COMMAND NOT SUPPORT")
                self.silence()
                return DEFERRED
            raise AtError
        return handler(self, call)

    def _guard(self, entered: Callable[[str], None], text: str) -> None:
        """Run what follows a prompt; an AtError becomes the final result."""
        try:
            entered(text)
        except AtError as error:
            self._fail(error)

    def _fail(self, error: AtError) -> None:
        self._calls.clear()
        self._conclude(error.line(self.registers.cmee, bare_cms=self.quirk("bare_cms")))

    def _conclude(self, final: str) -> None:
        self.state = COMMAND
        self._submitting = False
        self._abort = None
        self._final(final)
        self._flush_held()
        self.network.changed()
        if self._input:
            self.loop.call_soon(self._process)

    # ---- for the commands

    def complete(self, *blocks: str) -> None:
        """A deferred command succeeded."""
        for block in blocks:
            self.block(block)
        self._next()

    def failed(self, error: AtError) -> None:
        """A deferred command failed."""
        self._fail(error)

    def silence(self) -> None:
        """The command ends without any result line."""
        self._calls.clear()
        self.state = COMMAND
        self._submitting = False
        self._flush_held()
        self.network.changed()
        if self._input:
            self.loop.call_soon(self._process)

    def abortable(self, abort: Callable[[], None]) -> None:
        """The running command ends with this at the next character."""
        self._abort = abort

    def prompt(self, entered: Callable[[str], None], *, text_mode: bool = False, stuck: bool = False) -> list[str]:
        """Ask for text; a command returns what this returns."""
        self.state = PROMPT
        self._prompt = Prompt(entered, text_mode, stuck)
        if self.faults.get("no_prompt", 0) and not stuck:
            self.faults["no_prompt"] -= 1
            if not self.faults["no_prompt"]:
                del self.faults["no_prompt"]
        else:
            self.send("\r\n>" if self.quirk("no_prompt_space") else "\r\n> ")
            if self.quirk("stray_ok"):
                self._final("OK")
        return DEFERRED

    def need_sim(self, kind: str) -> None:
        """Raise what 27.005 and 27.007 give while the SIM is not ready."""
        cms_code, cme_code = {"out": (310, 10), "pin": (311, 11), "puk": (316, 12), "dead": (313, 13)}.get(
            self.sim.state, (0, 0)
        )
        if cms_code:
            raise cms(cms_code) if kind == "CMS" else cme(cme_code)

    def power_off(self) -> None:
        for line in self.persona.shutdown:
            self.block(line)
        self.power_down()

    # ------------------------------------------------------------------------------------ sending messages

    def submit(self, octets: bytes, result: Callable[[int], str]) -> None:
        """Send a TPDU; ends the running command with ``result(mr)`` or an error, or not at all."""
        if not self.settings.use_host_mr:
            octets = octets[:1] + bytes((self.mr,)) + octets[2:]
            self.mr = (self.mr + 1) % 256
        mr = octets[1] if len(octets) > 1 else 0
        self._submitting = True
        order = self.settings.submit_errors.pop(0) if self.settings.submit_errors else None
        delay = self.settings.submit_delay + float(self.faults.pop("late_result", 0.0))
        sent, end = self._judge(order, octets)
        error: AtError | None = None
        if sent:
            cause = self.network.submit(self.subscriber, self.imei, octets, result_after=delay)
            error = None if cause is None else cms(cause)
        if end is not None and error is None:
            error = end

        def tell() -> None:
            if order in ("silent-sent", "silent-lost") or self.quirk("stray_ok"):
                self.silence()
            elif error is not None:
                self.failed(error)
            else:
                self.complete(result(mr))

        if delay > 0:
            self.after(delay, tell)
        else:
            tell()

    def _judge(self, order: Any, octets: bytes) -> tuple[bool, AtError | None]:
        """What an ordered error does: (does the network get it, the error told)."""
        if order is None or order == "silent-sent":
            return True, None
        sent, code = False, order
        if isinstance(order, dict):
            sent, code = bool(order.get("sent")), order.get("code", "ERROR")
        error = cms(code) if isinstance(code, int) else AtError()
        if not sent:
            detail = {"field": "order", "offset": 0, "detail": f"ordered by the test: {order}"}
            self.network.refuse(
                self.subscriber, self.imei, octets, {**detail, "cause": code if isinstance(code, int) else None}
            )
        return sent, None if order == "silent-lost" else error

    # ---------------------------------------------------------------------------------- messages that come

    def storage(self, name: str) -> Storage:
        return self.joined if name == "MT" else self.memories[name]

    def deliver(self, delivery: Delivery) -> None:
        """A TPDU from the network."""
        if delivery.tpdu and delivery.tpdu[0] & 3 == 2:
            self._take_report(delivery)
        else:
            self._take_message(delivery)

    def _take_message(self, delivery: Delivery) -> None:
        coding, pid = look(delivery.tpdu)
        stored = Stored(UNREAD, tpdu.write_sca(delivery.sca), delivery.tpdu)
        mt = self.registers.cnmi[1]
        message_class = coding.message_class
        to_sim = message_class == 2 or coding.waiting == "store"
        if (mt == 2 and not to_sim) or (mt == 3 and message_class == 3):
            self._route(delivery, commands_sms.routed_message(self, stored))
        elif message_class == 0 or coding.waiting == "discard" or pid == 0x40:
            self.displayed.append(delivery.tpdu.hex())
            self.subscriber.answered(delivery, None)
        else:
            name = "SM" if message_class == 2 else self.registers.cpms[2]
            self._store(delivery, stored, name, "+CMTI" if mt else "")

    def _take_report(self, delivery: Delivery) -> None:
        stored = Stored(UNREAD, tpdu.write_sca(delivery.sca), delivery.tpdu)
        ds = self.registers.cnmi[3]
        if ds == 1:
            self._route(delivery, commands_sms.routed_report(self, stored))
        elif ds == 2:
            name = "SR" if self.memories["SR"].limit else self.registers.cpms[2]
            self._store(delivery, stored, name, "+CDSI")
        else:
            self.subscriber.answered(delivery, None)

    def _store(self, delivery: Delivery, stored: Stored, name: str, urc: str) -> None:
        memories = ("SM", "ME") if name == "MT" else (name,)
        for memory in memories:
            index = self.memories[memory].add(stored)
            if index is not None:
                shown = "SM" if memory == "SR" and self.quirk("sr_as_sm") else memory
                if urc:
                    self._indicate(f'{urc}: "{shown}",{index}')
                self.subscriber.answered(delivery, None)
                return
        if self.persona.storage_full:
            self.urc(self.persona.storage_full.format(memory=name))
        self.subscriber.answered(delivery, MEMORY_EXCEEDED)

    def _indicate(self, text: str) -> None:
        if not self.settings.urc:
            return
        if self.registers.cnmi[0] == 0:
            self._buffered.append(text)
        else:
            self.urc(text)

    def _route(self, delivery: Delivery, text: str) -> None:
        if self.registers.csms == 0 or self.registers.cnmi[0] == 0:
            self._indicate(text)
            self.subscriber.answered(delivery, None)
            return
        timer = self.loop.call_later(self.settings.cnma_timeout, self._not_acknowledged)
        self._ack = (delivery, timer)
        self._indicate(text)

    def _not_acknowledged(self) -> None:
        if self._ack is not None:
            self.registers.cnmi[1] = self.registers.cnmi[3] = 0
            self.acknowledge(CAUSE_NO_ACK)

    @property
    def awaits_acknowledgement(self) -> bool:
        return self._ack is not None

    def acknowledge(self, cause: int | None) -> None:
        """+CNMA came (None), refused the message (a cause), or did not come."""
        if self._ack is None:
            raise cms(340)
        delivery, timer = self._ack
        self._ack = None
        timer.cancel()
        self.subscriber.answered(delivery, cause)

    def cnmi_changed(self, bfr: int) -> None:
        """+CNMI was set: tell or clear what mode 0 had kept."""
        if self.registers.cnmi[0]:
            kept, self._buffered = self._buffered, []
            for text in kept if bfr == 0 else ():
                self.urc(text)

    def memory_freed(self) -> None:
        """A slot is free again: tell the network (RP-SMMA)."""
        if self.subscriber.memory_full and self.reachable:
            self.after(0, self.subscriber.alert)

    # ---------------------------------------------------------------------------------------------- status

    def status(self) -> dict[str, Any]:
        """Everything a test may want to know."""
        r = self.registers
        return {
            "name": self.name, "imei": self.imei, "imsi": self.sim.imsi, "iccid": self.sim.iccid,
            "number": self.sim.number, "persona": self.persona.name, "on": self.on, "plugged": self.line.plugged,
            "port": str(self.line.link), "users": self.line.users, "opens": self.line.opens,
            "heard": self.heard, "state": self.state, "boots": self.boots, "cfun": self.cfun,
            "echo": r.echo, "cmee": r.cmee,
            "csms": r.csms, "cmgf": r.cmgf, "cnmi": list(r.cnmi), "cpms": list(r.cpms), "csca": r.csca,
            "registered": self.registered, "creg": self.stat("+CREG"), "cgreg": self.stat("+CGREG"),
            "cereg": self.stat("+CEREG"), "reachable": self.reachable, "mr": self.mr,
            "sim": {"state": self.sim.state, "pin_left": self.sim.pin_left, "puk_left": self.sim.puk_left,
                    "pin_attempts": self.sim.pin_attempts, "pin_enabled": self.sim.pin_enabled},
            "storages": {
                name: {"used": m.used, "limit": m.limit,
                       "messages": [{"index": i, "stat": s.stat, "tpdu": s.tpdu.hex()} for i, s in m.items()]}
                for name, m in self.memories.items()
            },
            "awaits_cnma": self.awaits_acknowledgement, "displayed": list(self.displayed),
            "held": [{"delivery": d.number, "kind": d.kind, "attempts": d.attempts, "tpdu": d.tpdu.hex()}
                     for d in self.subscriber.queue],
            "held_reports": len(self.subscriber.held_reports), "memory_full": self.subscriber.memory_full,
            "open_parts": self.subscriber.open_parts(),
            "commands": self.commands["lines"], "command_counts": dict(self.commands), "log": list(self.log),
            "faults": {key: value for key, value in self.faults.items() if isinstance(value, str | int | float | bool)},
        }  # fmt: skip


def look(octets: bytes) -> tuple[tpdu.Coding, int]:
    """Coding and protocol identifier of an SMS-DELIVER, as far as they can be found in it."""
    try:
        at = 3 + (octets[1] + 1) // 2
        return tpdu.lenient_dcs(octets[at + 1]), octets[at]
    except IndexError:
        return tpdu.Coding("gsm7"), 0
