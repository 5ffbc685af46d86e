"""The AT command line of one port: V.250 line editing and echo, commands in turn, the prompt, lines held meanwhile.

Promise: what a conforming reader sees is what V.250 and 27.005 say, to the octet: ``CR LF line CR LF``, echo of each
character while E1, the prompt ``CR LF > space``. Deviations are switches of the modem; nothing else deviates.

Theory of operation. Three states. COMMAND collects a line up to S3 and runs its commands one after another until one
fails; a command answers at once or defers. EXECUTING is a deferred command: characters wait in the input, or abort it
where the standard lets them. PROMPT collects text up to Ctrl-Z or ESC, as long as it takes.

Unsolicited lines are held while a command runs or a prompt is open and told right after the result; between a PDU and
its +CMGS they may come at once (``urc_during_submit``).

A modem has one session for each port that speaks AT. Each has its own buffers and its own V.250 parameters; all else
is the modem's, and so is what happened: a command on one port is told on that port only, but its effect is everywhere.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from hil.emulator.at import CTRL_Z, DEFERRED, ESC, AtError, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from hil.emulator.at import Call
    from hil.emulator.modem import Modem
    from hil.emulator.shape import Interface
    from hil.emulator.transport import Line

COMMAND, EXECUTING, PROMPT = "command", "executing", "prompt"
MAX_LINE: Final = 4096
MAX_PROMPT: Final = 65536
HELD_LIMIT: Final = 1000
_NOISE_SEED: Final = 9600


@dataclass(slots=True)
class Prompt:
    """What to do with the text that is being entered."""

    entered: Callable[[str], None]
    text_mode: bool = False
    stuck: bool = False
    """Only ESC leaves it."""
    buffer: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Parameters:
    """What V.250 has for each port; a reset sets it back."""

    echo: bool = True
    verbose: bool = True
    quiet: bool = False
    s: dict[int, int] = field(default_factory=lambda: {0: 0, 3: 13, 4: 10, 5: 8})


class Session:
    """One AT port of a modem; a ``Listener`` of the line that carries it."""

    line: Line
    """Set by the modem once the cable is there."""

    def __init__(self, modem: Modem, interface: Interface, *, primary: bool) -> None:
        self.modem = modem
        self.interface = interface
        self.primary = primary
        self.parameters = Parameters()
        self.state = COMMAND
        self.heard = 0
        self.closed = True
        """Nobody had it open since it was closed by all, or since it came."""
        self._noise = random.Random(_NOISE_SEED)
        self._input = bytearray()
        self._line = bytearray()
        self._last_line = ""
        self._calls: deque[Call] = deque()
        self._prompt: Prompt | None = None
        self._running = False
        self.submitting = False
        self._abort: Callable[[], None] | None = None
        self._held: deque[str] = deque(maxlen=HELD_LIMIT)

    def reset(self) -> None:
        """As after power on."""
        self.parameters = Parameters()
        self.restart()

    def restart(self) -> None:
        """The port came anew, but the modem did not: what was typed and what ran here is gone."""
        self.state = COMMAND
        self.closed = not self.line.users
        self._input.clear()
        self._line.clear()
        self._calls.clear()
        self._prompt = None
        self._abort = None
        self._running = self.submitting = False
        self._held.clear()

    # --------------------------------------------------------------------------------------------- output

    @property
    def _mute(self) -> bool:
        return self.modem.mute(self)

    def _detuned(self) -> bool:
        """The host listens at another rate than the modem speaks at."""
        rate = self.modem.faults.get("wrong_baud")
        return rate is not None and self.line.rate not in (None, rate)

    def send(self, text: str) -> None:
        """Octets to the reader, unless the modem is mute."""
        if self._mute:
            return
        octets = text.encode("latin-1", "replace")
        self.line.write(self._noise.randbytes(len(octets)) if self._detuned() else octets)

    def block(self, text: str) -> None:
        """An information response or an unsolicited line; the text may hold several lines."""
        end = "\r\r\n" if self.modem.quirk("crcrlf") else "\r\n"
        text = text.replace("\r\n", end)
        self.send(f"{end}{text}{end}" if self.parameters.verbose else f"{text}{end}")

    def final(self, text: str) -> None:
        """A final result line."""
        if self.parameters.quiet:
            return
        if self.parameters.verbose:
            self.block(text)
        else:
            self.send({"OK": "0", "ERROR": "4", "NO CARRIER": "3", "RING": "2"}.get(text, text) + "\r")

    def urc(self, text: str) -> None:
        """An unsolicited line: now, or after the running command."""
        policy = self.modem.settings.urc_during_submit
        if (
            self._running
            or (self.state == PROMPT and policy != "prompt")
            or (self.state == EXECUTING and not (self.submitting and policy != "hold"))
        ):
            self._held.append(text)
        else:
            self.block(text)

    def _flush_held(self) -> None:
        while self._held and self.state == COMMAND:
            self.block(self._held.popleft())

    # ---------------------------------------------------------------------------------------------- input

    def opened(self, is_open: bool) -> None:
        self.modem.port_opened(self, is_open)

    def received(self, data: bytes) -> None:
        """Octets from the reader."""
        modem = self.modem
        self.heard += len(data)
        if not modem.on:
            modem.network.changed()
            return
        if self._detuned():
            self.line.write(self._noise.randbytes(len(data)))
            modem.network.changed()
            return
        if not modem.synced and not (data := self._synchronised(data)):
            modem.network.changed()
            return
        if modem.hears_resets_only(self):
            self._input += data
            typed = bytes(self._input).upper()
            if any(f"AT{reset}\r".encode() in typed for reset in modem.resets):
                modem.reset()
            modem.network.changed()
            return
        if self._mute:
            modem.network.changed()
            return
        self._input += data
        self.process()

    def _synchronised(self, data: bytes) -> bytes:
        """What to answer once the rate is found: from the second AT since power on; nothing before."""
        self._line += data
        typed = bytes(self._line)
        if typed.upper().count(b"AT") < 2:
            return b""
        self._line.clear()
        self.modem.found_rate()
        return typed[typed.upper().rindex(b"AT") :]

    def process(self) -> None:
        """Work off the input."""
        while self._input and self.modem.on:
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
        s3, s5 = self.parameters.s[3], self.parameters.s[5]
        echo = bytearray()
        while self._input and self.state == COMMAND and self.modem.on:
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
        if octets and self.parameters.echo:
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
                self._guard(prompt.entered, prompt.buffer.decode("latin-1"))
                self.modem.network.changed()
            elif octet in (0x08, 0x7F):
                if prompt.buffer:
                    del prompt.buffer[-1:]
                    echo += b"\b \b"
            elif octet == self.parameters.s[3] and prompt.text_mode:
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
        self.modem.faults.pop("stuck", None)

    # ------------------------------------------------------------------------------------------- commands

    def _run(self, line: str) -> None:
        at = line.upper().find("AT")
        if at < 0:
            return
        self._last_line = line
        self.modem.typed(line)
        try:
            self._calls = deque(parse_line(line[at + 2 :]))
        except AtError as error:
            self.failed(error)
            return
        self.state = EXECUTING
        self._next()

    def _next(self) -> None:
        while self._calls:
            call = self._calls.popleft()
            try:
                self._running = True
                with self.modem.acting(self):
                    blocks = self.modem.execute(call)
            except AtError as error:
                self._running = False
                self.failed(self.modem.own(error))
                return
            finally:
                self._running = False
            if blocks is DEFERRED or not self.modem.on:
                self.modem.network.changed()
                return
            for block in blocks:
                self.block(block)
        self._conclude("OK")

    def _guard(self, entered: Callable[[str], None], text: str) -> None:
        """Run what follows a prompt; an AtError becomes the final result."""
        try:
            with self.modem.acting(self):
                entered(text)
        except AtError as error:
            self.failed(self.modem.own(error))

    def _conclude(self, final: str) -> None:
        self.state = COMMAND
        self.submitting = False
        self._abort = None
        self.final(final)
        self._flush_held()
        self.modem.network.changed()
        if self._input:
            self.modem.loop.call_soon(self.process)

    # ---- for the commands

    def complete(self, *blocks: str) -> None:
        """A deferred command succeeded."""
        for block in blocks:
            self.block(block)
        self._next()

    def failed(self, error: AtError) -> None:
        """A command failed."""
        self._calls.clear()
        self._conclude(error.line(self.modem.registers.cmee, bare_cms=self.modem.quirk("bare_cms")))

    def silence(self) -> None:
        """The command ends without any result line."""
        self._calls.clear()
        self.state = COMMAND
        self.submitting = False
        self._flush_held()
        self.modem.network.changed()
        if self._input:
            self.modem.loop.call_soon(self.process)

    def abortable(self, abort: Callable[[], None]) -> None:
        """The running command ends with this at the next character."""
        self._abort = abort

    def prompt(self, entered: Callable[[str], None], *, text_mode: bool = False, stuck: bool = False) -> list[str]:
        """Ask for text; a command returns what this returns."""
        self.state = PROMPT
        self._prompt = Prompt(entered, text_mode, stuck)
        if self.modem.prompt_is_missing(stuck=stuck):
            return DEFERRED
        self.send("\r\n>" if self.modem.quirk("no_prompt_space") else "\r\n> ")
        if self.modem.quirk("stray_ok"):
            self.final("OK")
        return DEFERRED


class Streamer:
    """A port that speaks no AT: noise, NMEA or nothing; a ``Listener`` too."""

    line: Line

    NMEA = "GPGGA,,,,,,0,,,,,,,,"
    """No fix, as in a house."""
    NMEA_INTERVAL = 1.0
    DIAG_INTERVAL = 2.0

    def __init__(self, modem: Modem, interface: Interface) -> None:
        self.modem = modem
        self.interface = interface
        self._noise = random.Random(_NOISE_SEED + interface.number)
        self._running = False

    def received(self, data: bytes) -> None:
        """Hears nothing."""

    def opened(self, is_open: bool) -> None:
        if is_open and not self._running and self.interface.role in ("nmea", "diag"):
            self._running = True
            self.modem.loop.call_soon(self._speak)

    def _speak(self) -> None:
        """As long as somebody listens: what nobody reads would only fill the pty."""
        if not self.line.users:
            self._running = False
            return
        if self.modem.on and not self.modem.wedged:
            if self.interface.role == "nmea":
                check = 0
                for octet in self.NMEA.encode():
                    check ^= octet
                self.line.write(f"${self.NMEA}*{check:02X}\r\n".encode())
            else:
                self.line.write(b"\x7e" + self._noise.randbytes(24) + b"\x7e")
        interval = self.NMEA_INTERVAL if self.interface.role == "nmea" else self.DIAG_INTERVAL
        self.modem.loop.call_later(interval, self._speak)
