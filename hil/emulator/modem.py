"""One emulated modem: its life, its registers, its commands, and the messages that come from the network.

Its ports are ``Session`` (AT) and ``Streamer`` (the rest) on a ``Cable``; see ``session`` and ``transport``. Deviations
from 27.005 and 27.007 are switches: the persona's quirks, the settings, the faults; nothing else deviates.

Life. ``supplied`` is the supply, ``on`` is that it answers. Power on is silence for ``boot_delay``, then the boot
lines, then the SIM's, then the last ones; a modem on USB is on the bus for the last fifth of the silence, and is gone
while it is off. ``generation`` counts the ends: a timer of an earlier life is ignored. A ``remedy`` is what a host can
do to a modem that hangs; a wedged one reacts to none that is too weak for it (``REMEDIES``).

Mobile terminated messages follow the tables of 27.005 §3.4.1: <mt>, <ds> and the message class decide between storing
(+CMTI, +CDSI) and routing (+CMT, +CDS); with +CSMS=1 a routed one waits for +CNMA, else the network hears an error and
<mt> and <ds> become 0.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hil.emulator import commands_device, commands_sms, tpdu
from hil.emulator.at import DEFERRED, AtError, Call, cme, cms
from hil.emulator.line import PtyLine, Wire
from hil.emulator.network import MEMORY_EXCEEDED, SERVICE_CENTRE, Delivery, Network
from hil.emulator.session import Session, Streamer
from hil.emulator.shape import ANSWERING, UART
from hil.emulator.storage import UNREAD, Joined, Memory, Storage, Stored

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hil.emulator.family import Persona
    from hil.emulator.inotify import Inotify
    from hil.emulator.settings import Settings
    from hil.emulator.shape import Interface
    from hil.emulator.sim import Sim
    from hil.emulator.transport import Cable, CableFactory, Listener

USABLE: Final = (1, 5, 6, 7, 9, 10)
"""Registration states in which short messages go through."""
CAUSE_NO_ACK: Final = 111
"""What the network hears when +CNMA does not come (24.011: protocol error, unspecified)."""
LOG_LENGTH: Final = 200
ON_THE_BUS: Final = 0.8
"""The share of the boot time after which a modem is on USB: an A7670 after 9 of 11.1 s."""

REMEDIES: Final[Mapping[str, frozenset[str]]] = {
    "reopen": frozenset({"reopen"}),
    "soft_reset": frozenset({"reopen", "soft_reset", "usb"}),
    "usb": frozenset({"reopen", "usb"}),
    "reset_line": frozenset({"reopen", "soft_reset", "usb", "reset_line"}),
    "power_key": frozenset({"reopen", "soft_reset", "usb", "reset_line", "power_key"}),
    "supply": frozenset({"reopen", "soft_reset", "usb", "reset_line", "power_key", "supply"}),
}
"""What each remedy cures: a new start of the USB stack is less than a reset, a reset brings one with it."""

_TABLE: Final = {**commands_device.TABLE, **commands_sms.TABLE}


@dataclass(slots=True)
class Registers:
    """What a reset sets back; V.250's are in the sessions."""

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
    cgsms: int = 1
    clip: int = 0
    cusd: int = 0
    ctzr: int = 0
    cops_format: int = 0
    cops_mode: int = 0
    report: dict[str, int] = field(default_factory=lambda: {"+CREG": 0, "+CGREG": 0, "+CEREG": 0})


class Modem:
    """One modem with its SIM, on its cable, in its network."""

    def __init__(
        self,
        name: str,
        *,
        imei: str,
        sim: Sim,
        persona: Persona,
        settings: Settings,
        network: Network,
        loop: asyncio.AbstractEventLoop,
        interfaces: Sequence[Interface] = UART,
        cable: CableFactory,
    ) -> None:
        self.name = name
        self.imei = imei
        self.sim = sim
        self.persona = persona
        self.settings = settings
        self.network = network
        self.loop = loop
        self.subscriber = network.subscribe(imsi=sim.imsi, number=sim.number, settings=settings)
        base = persona.index_base
        self.memories = {key: Memory(key, limit, base) for key, limit in persona.storages.items()}
        self.joined = Joined(self.memories["SM"], self.memories["ME"])
        self.cards: dict[str, tuple[Sim, Memory]] = {}
        """The SIMs that were in it before, with what they hold."""
        self.registers = self._fresh()
        self.cfun = 1
        self.supplied = True
        self.off_at_first = False
        self.on = False
        self.autostart = True
        """False: with the supply alone it does not start; it waits for its power key."""
        self.booting = self.stopping = self.in_reset = False
        self.harm: list[str] = []
        """What was done to it that its data sheet forbids."""
        self.sim_up = self.sms_up = True
        self.sim_busy = False
        self.synced = True
        self.generation = 0
        self.commands: Counter[str] = Counter()
        self.log: deque[str] = deque(maxlen=LOG_LENGTH)
        self.mr = 0
        self.registered = False
        self.displayed: list[str] = []
        self.faults: dict[str, Any] = {}
        self.once: Counter[str] = Counter()
        self.remedies: Counter[str] = Counter()
        self.boots = 0
        self.calling: str | None = None
        self.urc_role = "at"
        self.technology = ""
        """The last command that chose one, as typed."""
        self.dialogue: dict[str, Any] | None = None
        """The open USSD session: what the network answers next."""
        self._active: Session | None = None
        self._untold: list[str] = []
        self._buffered: list[str] = []
        self._ack: tuple[Delivery, asyncio.TimerHandle] | None = None
        self._hushed = False
        listeners = self._listen(interfaces)
        self.cable: Cable = cable(self, listeners)
        self.sessions = [listener for listener in listeners if isinstance(listener, Session)]
        for listener, line in zip(listeners, self.cable.lines, strict=True):
            listener.line = line
        self.primary = next(session for session in self.sessions if session.primary)
        self.line = self.primary.line

    def _listen(self, interfaces: Sequence[Interface]) -> list[Session | Streamer]:
        serial = [interface for interface in interfaces if interface.serial]
        first = next(interface for interface in serial if interface.role == "at")
        return [
            Session(self, interface, primary=interface is first)
            if interface.role in ANSWERING
            else Streamer(self, interface)
            for interface in serial
        ]

    # ------------------------------------------------------------------------------------------------ life

    def _fresh(self, old: Registers | None = None) -> Registers:
        persona = self.persona
        fresh = Registers(cnmi=list(persona.cnmi), cpms=list(persona.cpms), cgsms=persona.cgsms, csms=persona.csms)
        if old is not None:
            fresh.csca = old.csca
            for key in persona.keeps:
                setattr(fresh, key, getattr(old, key))
        return fresh

    def start(self) -> None:
        """Plug in, booted long ago: no boot lines; or supplied, but not switched on."""
        if self.off_at_first:
            if not self.cable.usb:
                self.cable.plug()
            return
        self.cable.plug()
        self.on = True
        self.update_registration()
        self._chat()

    def _end(self) -> None:
        """Everything that a modem without power forgets."""
        self.generation += 1
        self.on = self.booting = self.stopping = False
        self.registered = False
        self.registers = self._fresh(self.registers)
        self.cfun = 1
        self.sim_busy = False
        self.technology = ""
        self.dialogue = None
        for session in self.sessions:
            session.reset()
        self._untold.clear()
        self._buffered.clear()
        self._hushed = False
        self.calling = None
        for key in ("mute_until_reset", "stuck", "flood"):
            self.faults.pop(key, None)
        if self._ack is not None:
            self._ack[1].cancel()
            self._ack = None
        self.subscriber.vanished()
        self.subscriber.terminal = None
        self.sim.power_cycle()

    def power_down(self) -> None:
        """Dead at once; on USB it is gone."""
        self._end()
        if self.cable.usb:
            self.cable.unplug()
        self.network.changed()

    def reboot(self) -> None:
        """A reset: silence, then the boot lines; the port may drop and come back before them."""
        self.power_down()
        if self.settings.reboot_drops_port and not self.cable.usb:
            self.cable.unplug()
            self.after(self._boot_seconds, self.replug)
        else:
            self.power_up()

    @property
    def _boot_seconds(self) -> float:
        delay = self.settings.boot_delay
        return self.persona.boot_seconds if delay == "real" else float(delay)

    def _phase(self, seconds: float) -> float:
        """The later part of a start: real only where the start is."""
        own = self.settings.sim_delay
        if own is not None:
            return float(own)
        return seconds if self.settings.boot_delay == "real" else 0.0

    def power_up(self) -> None:
        """Switch on what is off and supplied; the modem boots."""
        if self.on or self.booting or not self.supplied:
            return
        self.booting = True
        seconds = self._boot_seconds
        if self.cable.usb:
            self.after(seconds * ON_THE_BUS, self.cable.plug)
        self.after(seconds, self._booted)

    def _booted(self) -> None:
        self.boots += 1
        self.booting = False
        self.cable.plug()
        self.on = True
        self.sim_up = self.sms_up = False
        self.synced = not self.quirk("autobaud")
        lines = self.persona.boot
        first = next((place for place, line in enumerate(lines) if "{pin}" in line), len(lines))
        for line in lines[:first]:
            self._tell_boot(line)
        self._then(self._phase(self.persona.sim_seconds), lambda: self._sim_rises(lines[first:]))
        self._chat()
        self.network.changed()

    def _then(self, delay: float, what: Callable[[], None]) -> None:
        """At once without a delay, so that a start without delays is one piece."""
        if delay > 0:
            self.after(delay, what)
        else:
            what()

    def _tell_boot(self, line: str) -> None:
        words = {"ready": "READY", "pin": "SIM PIN", "puk": "SIM PUK"}.get(self.sim.state, "NOT INSERTED")
        self.urc(line.format(pin=words, imei=self.imei))

    def _sim_rises(self, lines: Sequence[str]) -> None:
        self.sim_up = True
        for line in lines:
            self._tell_boot(line)
        if self.sim.state == "ready":
            self._then(self._phase(self.persona.ready_seconds), self.sim_ready)
        self.network.changed()

    def unplug(self) -> None:
        """Pulled out: without supply and gone."""
        self.remedy("supply")
        self.supplied = False
        self._end()
        self.cable.unplug()
        self.network.changed()

    def replug(self) -> None:
        """A new pty under the old symlink, or the device again; the modem boots."""
        if self.cable.plugged:
            self.unplug()
        self.supplied = self.cable.powered_by_host
        if not self.cable.usb:
            self.cable.plug()
        self.power_up()
        self.network.changed()

    def set_supply(self, supplied: bool) -> None:
        """Cut or give the supply, as a HAT's enable line or a hub's port does."""
        if supplied == self.supplied:
            return
        if supplied:
            self.supplied = True
            if self.autostart:
                self.power_up()
        else:
            if self.on:
                self.harm.append("supply cut while running")
            self.remedy("supply")
            self.supplied = self.in_reset = False
            self.power_down()
        self.network.changed()

    def power_key(self) -> None:
        """The key was held long enough: on or off."""
        if not self.remedy("power_key"):
            return
        if self.on:
            self.shut_down()
        else:
            self.power_up()

    def hold_in_reset(self) -> None:
        """The reset line was held long enough: dead until it is let go. One that is off stays off."""
        if (self.on or self.booting) and self.remedy("reset_line"):
            self.power_down()
            self.in_reset = True

    def leave_reset(self) -> None:
        """The reset line was let go."""
        if self.in_reset:
            self.in_reset = False
            self.power_up()

    def set_flight(self, flying: bool) -> None:
        """The flight mode line."""
        self.cfun = 4 if flying else 1
        self.update_registration()

    def shut_down(self) -> None:
        """Switch off in order: the farewell, off the network, and after ``shutdown_delay`` dead."""
        if not self.on or self.stopping:
            return
        self.stopping = True
        delay = self.settings.shutdown_delay
        seconds = self.persona.shutdown_seconds if delay == "real" else float(delay)
        self.update_registration()

        def end() -> None:
            for line in self.persona.shutdown:
                self.primary.block(line)
            self.power_down()

        self._then(seconds, end)

    def sim_ready(self) -> None:
        """The SIM is (or just became) usable: its lines, then the network."""
        if self.on and self.sim.state == "ready" and not self.quirk("sms_never"):
            self.sms_up = True
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

    # -------------------------------------------------------------------------------------- what may cure it

    @property
    def wedged(self) -> bool:
        """Hangs, on all its ports."""
        return "wedged" in self.faults

    def remedy(self, name: str) -> bool:
        """Something was done to the modem; returns whether it reacts at all."""
        self.remedies[name] += 1
        for fault in ("wedged", "dead_port"):
            until = self.faults.get(fault)
            if until is not None and until in REMEDIES[name]:
                del self.faults[fault]
        self.network.changed()
        return not self.wedged

    def renumber(self) -> None:
        """The ports vanish and return under other names; the modem lives on."""
        self.cable.renumber()
        for session in self.sessions:
            session.restart()
        self.network.changed()

    def switch_mode(self, usb_id: str) -> None:
        """Return on the bus as another device (a mode switch), or as itself with an empty id; it lives on."""
        self.settings.set("reboot_as", usb_id)
        self.cable.unplug()
        for session in self.sessions:
            session.restart()
        if self.on:
            self.cable.plug()
        self.network.changed()

    def usb_restarted(self) -> None:
        """The host let the device go and took it again: its power and its state stay."""
        for session in self.sessions:
            session.restart()
        self.remedy("usb")

    # -------------------------------------------------------------------------------------- registration

    def stat(self, kind: str = "+CREG") -> int:
        """<stat> of one of the three registration commands."""
        if not self.registered:
            return 2 if self._may_register else 0
        own = getattr(self.settings, kind.removeprefix("+").lower())
        return self.settings.registration if own is None else int(own)

    @property
    def _may_register(self) -> bool:
        return self.on and not self.stopping and self.cfun == 1 and self.sim_up and self.sim.state == "ready"

    @property
    def reachable(self) -> bool:
        return self.registered and any(self.stat(kind) in USABLE for kind in self.registers.report)

    def update_registration(self) -> None:
        """Register or deregister as power, SIM and +CFUN want it."""
        wanted = self._may_register and self.registers.cops_mode != 2
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
        if not self.registered and self._may_register:
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

    def insert(self, sim: Sim, memory: Memory | None = None) -> None:
        """Another card in the holder; ``memory`` is what it holds. The old one can come back."""
        self.cards[self.sim.iccid] = (self.sim, self.memories["SM"])
        self.registered = False
        self.subscriber.vanished()
        self.subscriber.terminal = None
        self.sim = sim
        self.subscriber = self.network.subscriber(imsi=sim.imsi, number=sim.number, settings=self.settings)
        self.memories["SM"] = memory or Memory("SM", self.memories["SM"].limit, self.persona.index_base)
        self.joined = Joined(self.memories["SM"], self.memories["ME"])

    # --------------------------------------------------------------------------------------------- output

    def quirk(self, name: str) -> bool:
        return name in self.persona.quirks or name in self.settings.quirks

    def mute(self, session: Session) -> bool:
        """Whether this port neither answers nor tells."""
        if "dead_port" in self.faults and session.primary:
            return True
        return any(key in self.faults for key in ("mute", "mute_until_reopen", "mute_until_reset", "wedged"))

    def hears_resets_only(self, session: Session) -> bool:
        """Whether this port hears nothing but a command that resets."""
        if "mute_until_reset" in self.faults or self.faults.get("wedged") == "soft_reset":
            return True
        return session.primary and self.faults.get("dead_port") == "soft_reset"

    def send(self, text: str) -> None:
        """Octets to the reader of the primary port, unless the modem is mute."""
        self.primary.send(text)

    def urc(self, text: str) -> None:
        """An unsolicited line, on the ports that are chosen for it: now, or after the running command."""
        if not self.on:
            return
        if not self.synced:
            self._untold.append(text)
            return
        for session in self._told():
            session.urc(text)

    def _told(self) -> list[Session]:
        if self.urc_role == "elsewhere":
            return []
        if self.urc_role == "all" or len(self.sessions) == 1:
            return self.sessions
        if self.urc_role == "ppp":
            return [session for session in self.sessions if session.interface.role in ("ppp", "at2")][:1]
        return [self.primary] if self.urc_role == "at" else []

    def found_rate(self) -> None:
        """The rate is found: what had to wait is told."""
        self.synced = True
        untold, self._untold = self._untold, []
        for text in untold:
            self.after(0, functools.partial(self.urc, text))

    def _chat(self) -> None:
        """The family's chatter, as long as the setting wants it and nobody hushed it."""
        interval = self.settings.chatter
        if not interval or not self.persona.chatter:
            return

        def chat(n: int) -> None:
            if self._hushed or not self.settings.chatter:
                return
            self.urc(self.persona.chatter[n % len(self.persona.chatter)])
            self.after(self.settings.chatter, lambda: chat(n + 1))

        self.after(interval, lambda: chat(0))

    def chatter_changed(self) -> None:
        """The setting came or went."""
        self._hushed = False
        if self.on:
            self._chat()

    # ------------------------------------------------------------------------------------------- commands

    def port_opened(self, session: Session, is_open: bool) -> None:
        """Somebody opened or closed one of the AT ports."""
        if is_open and session.closed:
            session.closed = False
            self.faults.pop("mute_until_reopen", None)
            if session.primary or self.wedged:
                self.remedy("reopen")
        elif not is_open and not session.line.users:
            session.closed = True
        self.network.changed()

    @property
    def resets(self) -> tuple[str, ...]:
        """The commands that reset this modem."""
        return ("+CFUN=1,1", *self.persona.reset)

    @property
    def active(self) -> Session:
        """The port on which the running command was typed."""
        return self._active or self.primary

    @contextlib.contextmanager
    def acting(self, session: Session) -> Iterator[None]:
        """What happens inside happens for this port."""
        before, self._active = self._active, session
        try:
            yield
        finally:
            self._active = before

    def typed(self, line: str) -> None:
        """Count and remember a command line."""
        self.commands["lines"] += 1
        self.log.append(line)

    def execute(self, call: Call) -> list[str]:
        """Run one command; its information lines, or DEFERRED; raises AtError."""
        persona = self.persona
        self.commands[call.name] += 1
        typed = call.typed.upper().replace(" ", "")
        if typed in persona.hush:
            self._hushed = True
        if typed.startswith(persona.technology):
            self.technology = typed
        if typed in persona.says:
            return list(persona.says[typed])
        if typed in persona.routes:
            self.urc_role = persona.routes[typed]
            return []
        if typed in persona.reset:
            self.loop.call_soon(self.reset)
            return []
        if typed in persona.power_off:
            self.after(0, self.shut_down)
            return list(persona.off_answer)
        if typed.rstrip("?") in persona.iccid or typed in persona.iccid:
            return commands_device.iccid(self, call, typed)
        if typed.startswith(persona.accepts):
            return []
        if call.name in commands_sms.TABLE:
            commands_sms.refuse_while_not_ready(self, call)
        handler = _TABLE.get(call.name)
        foreign = call.name in commands_device.VENDOR and not persona.has(call.name)
        if handler is None or foreign or call.name in persona.lacks:
            if self.quirk("unknown_text"):
                self.block("COMMAND NOT SUPPORT")
                self.silence()
                return DEFERRED
            raise AtError
        return handler(self, call)

    def reset(self) -> None:
        """A command reset it."""
        self.remedy("soft_reset")
        self.reboot()

    def own(self, error: AtError) -> AtError:
        """The error in the numbers of this family."""
        if error.kind == "CMS" and error.code in self.persona.cms:
            return cms(self.persona.cms[error.code])
        return error

    # ---- for the commands: on the port on which the running one was typed

    def block(self, text: str) -> None:
        self.active.block(text)

    def complete(self, *blocks: str) -> None:
        """A deferred command succeeded."""
        self.active.complete(*blocks)

    def silence(self) -> None:
        """The command ends without any result line."""
        self.active.silence()

    def prompt(self, entered: Callable[[str], None], *, text_mode: bool = False, stuck: bool = False) -> list[str]:
        """Ask for text; a command returns what this returns."""
        return self.active.prompt(entered, text_mode=text_mode, stuck=stuck)

    def prompt_is_missing(self, *, stuck: bool) -> bool:
        """A prompt is about to be shown; True: the fault no_prompt swallows it."""
        if stuck:
            return False
        if self.faults.get("reboot_mid_send") == "prompt":
            del self.faults["reboot_mid_send"]
            self.after(0, self.reboot)
        if not self.faults.get("no_prompt", 0):
            return False
        self.faults["no_prompt"] -= 1
        if not self.faults["no_prompt"]:
            del self.faults["no_prompt"]
        return True

    def need_sim(self, kind: str) -> None:
        """Raise what 27.005 and 27.007 give while the SIM is not ready."""
        state = self.sim.state
        cms_code, cme_code = {"out": (310, 10), "pin": (311, 11), "puk": (316, 12), "dead": (313, 13)}.get(
            state, (0, 0)
        )
        if not self.sim_up:
            cme_code = self.persona.early_sim
            cms_code = 300 + cme_code
        elif state == "ready" and (self.sim_busy or "busy_sim" in self.faults):
            cms_code, cme_code = 314, 14
            self._use_up("busy_sim")
        if cms_code:
            raise cms(cms_code) if kind == "CMS" else cme(cme_code)

    def _use_up(self, fault: str) -> None:
        """A fault that lasts so many times; 0 is without end."""
        left = self.faults.get(fault, 0)
        if left == 1:
            del self.faults[fault]
        elif left:
            self.faults[fault] = left - 1

    def pin_entered(self) -> None:
        """The SIM was unlocked just now."""
        self.urc("+CPIN: READY")
        if self.quirk("sim_busy_after_pin"):
            self.sim_busy = True
            self.after(self.settings.sim_busy, self._sim_idle)
        self.sim_ready()

    def _sim_idle(self) -> None:
        self.sim_busy = False
        self.network.changed()

    # ------------------------------------------------------------------------------------ sending messages

    def submit(self, octets: bytes, result: Callable[[int], str]) -> None:
        """Send a TPDU; ends the running command with ``result(mr)`` or an error, or not at all."""
        session = self.active
        if not self.settings.use_host_mr:
            octets = octets[:1] + bytes((self.mr,)) + octets[2:]
            self.mr = (self.mr + 1) % 256
        mr = octets[1] if len(octets) > 1 else 0
        session.submitting = True
        end_at = self.faults.pop("reboot_mid_send", None)
        if end_at == "payload":
            self.after(0, self.reboot)
            return
        order = self._bearer() or (self.settings.submit_errors.pop(0) if self.settings.submit_errors else None)
        delay = self.settings.submit_delay + float(self.faults.pop("late_result", 0.0))
        sent, end = self._judge(order, octets)
        error: AtError | None = None
        if sent:
            cause = self.network.submit(self.subscriber, self.imei, octets, result_after=delay)
            error = None if cause is None else cms(cause)
        if end is not None and error is None:
            error = end
        if end_at == "accepted":
            self.after(0, self.reboot)
            return
        lost = "lost_result" in self.faults
        self._use_up("lost_result")

        def tell() -> None:
            if lost or order in ("silent-sent", "silent-lost") or self.quirk("stray_ok"):
                session.silence()
            elif error is not None:
                session.failed(error)
            else:
                session.complete(result(mr))

        if delay > 0:
            self.after(delay, tell)
        else:
            tell()

    def _bearer(self) -> int | None:
        """The +CMS number while the chosen bearer is not one that works, under the fault ``bearer``."""
        fault = self.faults.get("bearer")
        if fault is None:
            return None
        works = [str(one).upper().replace(" ", "") for one in fault["only"]]
        if str(self.registers.cgsms) in works or self.technology in works:
            return None
        return int(fault["code"])

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
        elif ds == 2 and self.quirk("cdsi_lost"):
            self._indicate('+CDSI: "SM",0')
            self.subscriber.answered(delivery, None)
        elif ds == 2:
            name = "SR" if self.memories["SR"].limit else self.registers.cpms[2]
            self._store(delivery, stored, name, "+CDSI")
        else:
            self.subscriber.answered(delivery, None)

    def _store(self, delivery: Delivery, stored: Stored, name: str, urc: str) -> None:
        if urc == "+CMTI" and self.quirk("cmti_no_index"):
            self._indicate("+CMTI: ,-1")
            self.subscriber.answered(delivery, None)
            return
        memories = ("SM", "ME") if name == "MT" else (name,)
        self._poison(stored)
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

    def _poison(self, stored: Stored) -> None:
        """The fault ``poison``: this message, or the first one with that text, kills whoever reads it."""
        wanted = self.faults.get("poison")
        if wanted is None:
            return
        if wanted:
            try:
                text = tpdu.read_deliver(stored.tpdu).ud.text or ""
            except tpdu.Refusal:
                return
            if wanted not in text:
                return
        stored.poison = True
        del self.faults["poison"]

    def _indicate(self, text: str) -> None:
        if not self.settings.urc:
            return
        if "deaf" in self.faults and text.startswith(("+CMTI", "+CDSI")):
            return
        if self.registers.cnmi[0] == 0:
            self._buffered.append(text)
        else:
            self.urc(text)

    def _route(self, delivery: Delivery, text: str) -> None:
        if self.registers.csms == 0 or self.registers.cnmi[0] == 0 or self.quirk("auto_ack"):
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
            "number": self.sim.number, "persona": self.persona.name, "on": self.on, "supplied": self.supplied,
            "booting": self.booting, "stopping": self.stopping, "sim_up": self.sim_up, "sms_up": self.sms_up,
            "sim_busy": self.sim_busy, "plugged": self.cable.plugged,
            "port": self.line.place, "users": self.line.users, "opens": self.line.opens,
            "heard": self.primary.heard, "state": self.primary.state, "boots": self.boots, "cfun": self.cfun,
            "ports": [{"interface": s.interface.number, "role": s.interface.role, "port": s.line.place,
                       "users": s.line.users, "state": s.state, "heard": s.heard} for s in self.sessions],
            "urcs": self.urc_role, "usb": self.cable.status(), "remedies": dict(self.remedies),
            "harm": list(self.harm),
            "echo": self.primary.parameters.echo, "cmee": r.cmee, "cgsms": r.cgsms, "technology": self.technology,
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
            "faults": {key: value for key, value in self.faults.items()
                       if isinstance(value, str | int | float | bool | dict)},
        }  # fmt: skip


def look(octets: bytes) -> tuple[tpdu.Coding, int]:
    """Coding and protocol identifier of an SMS-DELIVER, as far as they can be found in it."""
    try:
        at = 3 + (octets[1] + 1) // 2
        return tpdu.lenient_dcs(octets[at + 1]), octets[at]
    except IndexError:
        return tpdu.Coding("gsm7"), 0


def swap(one: Modem, other: Modem) -> None:
    """Pull both out and plug each in where the other was; raises ValueError where their places are not alike."""
    if type(one.cable) is not type(other.cable):
        raise ValueError("only modems on the same kind of port can be swapped")
    one.unplug()
    other.unplug()
    one.cable.exchange(other.cable)
    one.replug()
    other.replug()


def on_pty(link: Path, watcher: Inotify) -> CableFactory:
    """The cable of a modem on a UART: a pty under this link."""

    def make(modem: Modem, listeners: Sequence[Listener]) -> Cable:
        (listener,) = listeners
        return Wire(PtyLine(link, modem.settings, watcher, loop=modem.loop, listener=listener))

    return make
