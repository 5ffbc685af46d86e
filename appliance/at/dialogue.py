r"""The dialogue with a modem as a state machine: which line answers which command (V.250, 27.005, 27.007).

Promises
    * A result is never taken for another command's: not a late one after a time-out, not one of an older probe.
    * A command owns the prefixes of its answer; every other line is a URC, wherever it comes: inside an answer,
      between the prompt and the result, behind an echo.
    * The events depend on the octets alone, never on how they were cut into reads.
    * Whatever comes in, ``feed`` returns; memory is bounded; nothing that came in ever goes out.
    * Only ``payload`` writes Ctrl-Z, once, and only to a prompt that was seen.

It does no I/O and knows no time. The caller writes the octets that ``send``, ``payload``, ``abort`` and
``resynchronise`` return, feeds what it reads, and says ``expire`` when its own clock has run out.

States::

    DESYNCHRONISED --resynchronise, own IMEI, OK--> IDLE       the state of a fresh dialogue too
    IDLE           --send-->            ANSWER | PROMPT
    ANSWER         --final result-->    IDLE                   Answered
    PROMPT         --">"-->             PROMPTED               Prompted
    PROMPT, PROMPTED --error-->         IDLE                   Answered; an OK there is a stray
    PROMPTED       --payload-->         ANSWER                 the result must bring the owned line, or be an error
    any but IDLE   --expire, abort-->   DESYNCHRONISED

Desynchronised
    The result of the command that timed out may still come, at any time. So none is believed until the modem has
    shown that it has come to our own question: ``resynchronise`` sends ESC (out of an open prompt: Ctrl-Z would submit)
    and AT+CGSN. The own IMEI, and after it an OK, ends the state: an OK alone may be the late one. Several probes
    may be on the way by then; a modem answers in order, so each late probe shows itself by its IMEI line: outside of
    an AT+CGSN, that line and the next final result are dropped together. A line that only the given-up command owns
    (and a late ``+CMGS:`` always) is dropped the same way, should a modem answer out of order.

Lines
    CR and LF both end a line, empty lines are nothing: this reads ``\r\n``, ``\r\r\n``, echo's ``\r`` and bare ``\n``.
    Control and 8-bit octets at the ends of a line are noise of a UART that wakes up. A line that equals a command sent
    before is its echo; so the echo may be on, off, or turned on by a reset in the middle.
    ``+CMT``, ``+CDS`` and ``+CBM`` take the next line as their payload, +CMGL and +CMGR headers theirs. A payload is
    not believed to come: a final result or another URC in its place is taken as that.
    A quoted string that is open at the end of ``+CUSD`` goes on in the next line.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from appliance.at.answers import AnswerError, Result, final, imei

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from appliance.types import Imei

__all__ = [
    "Answered",
    "Bare",
    "Command",
    "Dialogue",
    "Event",
    "Prompted",
    "State",
    "Stray",
    "Synchronised",
    "Urc",
    "WrongState",
]

LINE_LIMIT: Final = 4096
"""Octets of one line. The longest honest one is a PDU of 176 octets, 352 digits; the rest is room."""

ANSWER_LIMIT: Final = 4096
"""Lines of one answer: a storage of 255 messages has 510."""

QUOTE_LIMIT: Final = 32
"""Lines of one quoted string. A USSD text has at most 182 characters (23.038 §5)."""

_ESC: Final = b"\x1b"
_CTRL_Z: Final = b"\x1a"
_PROBE: Final = "AT+CGSN"

_SENDABLE: Final = re.compile(r"[\x20-\x7e]{1,500}")
_PAYLOAD: Final = re.compile(rb"[0-9A-F]{2,600}")
_NOISE: Final = "".join(map(chr, [*range(0x21), *range(0x7F, 0x100)]))
_URC: Final = re.compile(r"[+^*%$#!][A-Za-z]")
_HEX: Final = re.compile(r"[0-9A-Fa-f]{16,}")
_DIGITS: Final = re.compile(r'"?[0-9]{14,20}[Ff]{0,2}"?')
_WITH_PAYLOAD: Final = ("+CMT:", "+CDS:", "+CBM:")
_LATE: Final = ("+CMGS:", "+CMSS:")
"""Answers that are no URC of any modem: where nobody waits for one, it is late, and so is its OK."""
_ALSO_URC: Final = frozenset({"+CREG:", "+CGREG:", "+CEREG:", "+CPIN:", "+CUSD:", "+CFUN:"})
"""Prefixes that come unasked too: no sign of a late answer."""
_OF_A_CALL: Final = frozenset({"NO CARRIER", "NO ANSWER", "NO DIALTONE", "NO DIAL TONE", "BUSY"})
"""Final results of ATD and ATA only; else they tell of a call that ended."""
_PLAIN_URCS: Final = ("RING", *_OF_A_CALL)


class Bare(Enum):
    """Which lines without a prefix a command takes as its answer."""

    NONE = auto()
    """None: they are URCs."""
    DIGITS = auto()
    """14 to 20 digits: AT+CGSN, AT+CIMI, AT+CCID."""
    TEXT = auto()
    """Any that does not look like a URC: AT+CGMI, AT+CGMM, AT+CGMR."""


@dataclass(frozen=True, slots=True)
class Command:
    """One AT command and what its answer looks like.

    Attributes:
        text: the command line without its CR, printable ASCII.
        owns: prefixes of its answer's lines with their colon, as ``+CSQ:``.
        bare: which lines without a prefix it owns.
        body: each owned line is a header that one more line may follow (+CMGL, +CMGR).
        prompt: it waits for ``>`` and a payload; its result must bring an owned line or be an error.
        final_may_be_missing: the answer may come without its OK; ``expire`` then completes it.
        secret: the text behind ``=`` is not to be told to anybody.
    """

    text: str
    owns: tuple[str, ...] = ()
    bare: Bare = Bare.NONE
    body: bool = False
    prompt: bool = False
    final_may_be_missing: bool = False
    secret: bool = False

    def __post_init__(self) -> None:
        if _SENDABLE.fullmatch(self.text) is None:
            raise ValueError("a command is 1 to 500 printable ASCII characters")

    @property
    def label(self) -> str:
        """The command for logs and errors, without its secret."""
        return self.text.partition("=")[0] + "=…" if self.secret else self.text


@dataclass(frozen=True, slots=True)
class Answered:
    """The command in progress has ended: its own lines in order, and the final result."""

    command: Command
    lines: tuple[str, ...]
    final: Result


@dataclass(frozen=True, slots=True)
class Prompted:
    """The modem waits for the payload."""

    command: Command


@dataclass(frozen=True, slots=True)
class Urc:
    """An unsolicited line; with the line that belongs to it for +CMT, +CDS and +CBM, None where that did not come."""

    line: str
    payload: str | None = None


@dataclass(frozen=True, slots=True)
class Stray:
    """A line that belongs to nothing: a late result, an answer of a command that was given up, noise."""

    line: str


@dataclass(frozen=True, slots=True)
class Synchronised:
    """Our own question was answered: the next result is the next command's. The IMEI that answered is told."""

    imei: Imei


Event = Answered | Prompted | Urc | Stray | Synchronised


class State(Enum):
    """Where the dialogue stands; see the module's table."""

    DESYNCHRONISED = auto()
    IDLE = auto()
    ANSWER = auto()
    PROMPT = auto()
    PROMPTED = auto()


class WrongState(RuntimeError):
    """The caller asked for what the state does not allow: a fault of ours, not of the modem."""


class Dialogue:
    """The state machine. One command at a time; see the module for the rules."""

    def __init__(self, *, plain_urcs: Collection[str] = ()) -> None:
        """Begin desynchronised; ``plain_urcs`` are the URCs without a prefix (``RDY``), compared without case."""
        self.dropped = 0
        """Octets and lines thrown away because a bound was reached."""
        self._plain_urcs = frozenset(text.upper() for text in (*_PLAIN_URCS, *plain_urcs))
        self._state = State.DESYNCHRONISED
        self._command: Command | None = None
        self._paid = False
        self._lines: list[str] = []
        self._owner: tuple[str, ...] = ()
        self._late_owner: tuple[str, ...] = ()
        self._echoes: deque[str] = deque(maxlen=6)
        self._imei: Imei | None = None
        self._shown: Imei | None = None
        self._foreign = False
        self._buffer = bytearray()
        self._overflow = False
        self._urc_header: str | None = None
        self._body_due = False
        self._quoted: list[str] = []

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @property
    def lingering(self) -> bool:
        """Whether the answer is there and only a final result that may be missing is not."""
        command = self._command
        return command is not None and command.final_may_be_missing and bool(self._lines)

    # ------------------------------------------------------------------------------------------ out

    def send(self, command: Command) -> bytes:
        """Begin a command; return what to write.

        Raises:
            WrongState: a command is in progress, or the dialogue is desynchronised.
        """
        if self._state is not State.IDLE:
            raise WrongState(f"{command.label} while {self._state.name}")
        self._command = command
        self._owner = command.owns
        self._lines = []
        self._paid = False
        self._body_due = False
        self._state = State.PROMPT if command.prompt else State.ANSWER
        self._echoes.append(command.text)
        return command.text.encode("ascii") + b"\r"

    def payload(self, data: bytes) -> bytes:
        """Answer the prompt with hexadecimal digits; return them with Ctrl-Z, the octet that submits.

        Raises:
            WrongState: no prompt is open.
            ValueError: not upper-case hexadecimal digits.
        """
        if self._state is not State.PROMPTED:
            raise WrongState(f"payload while {self._state.name}")
        if _PAYLOAD.fullmatch(data) is None:
            raise ValueError("a payload is upper-case hexadecimal digits")
        self._paid = True
        self._state = State.ANSWER
        self._echoes.append(data.decode("ascii"))
        return data + _CTRL_Z

    def abort(self) -> bytes:
        """Give the command in progress up; return the ESC that frees the prompt. Desynchronised afterwards."""
        self._give_up()
        return _ESC

    def expire(self) -> list[Event]:
        """Say that the command's time is over; desynchronised afterwards.

        Returns:
            ``Answered`` where all but a final result that may be missing had come, else nothing.
        """
        events: list[Event] = []
        if self.lingering and self._command is not None:
            events.append(Answered(self._command, tuple(self._lines), Result("", "OK")))
        self._give_up()
        return events

    def _give_up(self) -> None:
        self._late_owner = self._owner or self._late_owner
        self._end()
        self._shown = None
        self._foreign = False
        self._quoted = []
        self._state = State.DESYNCHRONISED

    def _end(self) -> None:
        self._command = None
        self._owner = ()
        self._lines = []
        self._body_due = False
        self._state = State.IDLE

    def resynchronise(self, own: Imei | None) -> bytes:
        """Ask for the IMEI; return what to write. To be repeated until ``Synchronised`` comes.

        Args:
            own: the only IMEI that is believed; None on a port that was just opened: the first that comes.

        Raises:
            WrongState: a command is in progress.
        """
        if self._state not in {State.IDLE, State.DESYNCHRONISED}:
            raise WrongState(f"resynchronise while {self._state.name}")
        self._state = State.DESYNCHRONISED
        self._imei = own
        self._echoes.append(_PROBE)
        return _ESC + _PROBE.encode("ascii") + b"\r"

    # ------------------------------------------------------------------------------------------ in

    def feed(self, data: bytes) -> list[Event]:
        """Take what was read; return what it means, in order."""
        return list(self._events(data))

    def _events(self, data: bytes) -> Iterator[Event]:
        buffer = self._buffer
        for part in re.split(rb"([\r\n>])", data):
            if part in {b"\r", b"\n"}:
                line, overflow = bytes(buffer), self._overflow
                buffer.clear()
                self._overflow = False
                if overflow:
                    self.dropped += 1
                else:
                    yield from self._line(line.decode("latin-1").strip(_NOISE))
            elif part == b">" and self._may_prompt():
                if line := bytes(buffer):
                    buffer.clear()
                    yield from self._line(line.decode("latin-1").strip(_NOISE))
                yield from self._prompt()
            elif self._overflow:
                self.dropped += len(part)
            else:
                buffer += part
                if len(buffer) > LINE_LIMIT:
                    self.dropped += len(buffer)
                    buffer.clear()
                    self._overflow = True

    def _may_prompt(self) -> bool:
        """Whether a ``>`` here is the awaited prompt and not a character inside a URC or a quoted string."""
        if self._state is not State.PROMPT or self._overflow:
            return False
        head = self._buffer.decode("latin-1").strip(_NOISE)
        return not self._quoted and _URC.match(head) is None

    def _prompt(self) -> Iterator[Event]:
        if self._state is State.PROMPT and self._command is not None:
            yield from self._no_payload()
            self._state = State.PROMPTED
            yield Prompted(self._command)

    def _line(self, line: str) -> Iterator[Event]:
        if not line:
            return
        if self._quoted:
            yield from self._quote(line)
            return
        if self._body_due and self._text_mode():
            self._body_due = False
            self._keep(line)
            return
        if line[0] == ">":  # a prompt told again, or a result on the prompt's line
            line = line.lstrip("> ")
            if not line:
                return
        if line in self._echoes:
            return
        result = final(line)
        if result is not None and result.kind in _OF_A_CALL and not self._dialling():
            result = None
        if result is None and self._urc_header is not None:
            header, self._urc_header = self._urc_header, None
            if _URC.match(line) is None and line.upper() not in self._plain_urcs:
                yield Urc(header, line)
                return
            yield Urc(header)
        if result is not None:
            yield from self._no_payload()
            yield from self._result(result)
        elif line.startswith("+CUSD") and line.count('"') % 2:
            self._quoted = [line]
        else:
            yield from self._sort(line)

    def _no_payload(self) -> Iterator[Event]:
        """Let a URC go whose payload line did not come."""
        header, self._urc_header = self._urc_header, None
        if header is not None:
            yield Urc(header)

    def _quote(self, line: str) -> Iterator[Event]:
        self._quoted.append(line)
        if line.count('"') % 2 or len(self._quoted) >= QUOTE_LIMIT:
            whole, self._quoted = "\n".join(self._quoted), []
            yield from self._sort(whole)

    def _dialling(self) -> bool:
        return self._command is not None and self._command.text.upper().startswith(("ATD", "ATA"))

    # ------------------------------------------------------------------------------------------ results

    def _result(self, result: Result) -> Iterator[Event]:
        if self._foreign:
            self._foreign = False
            yield Stray(result.line)
            return
        command = self._command
        match self._state:
            case State.DESYNCHRONISED:
                shown, self._shown = self._shown, None
                if result.ok and shown is not None:
                    self._imei = shown
                    self._end()
                    yield Synchronised(shown)
                else:
                    yield Stray(result.line)
            case State.ANSWER if command is not None and not (result.ok and command.prompt and not self._lines):
                answered = Answered(command, tuple(self._lines), result)
                self._end()
                yield answered
            case State.PROMPT | State.PROMPTED if command is not None and not result.ok:
                self._end()
                yield Answered(command, (), result)
            case _:  # nobody asked; or an OK that a submit does not end with: its +CMGS has not come
                yield Stray(result.line)

    # ------------------------------------------------------------------------------------------ lines

    def _sort(self, line: str) -> Iterator[Event]:
        """Give a line that is no result to the command that owns it, or call it a URC or a stray."""
        command = self._command
        is_urc = _URC.match(line) is not None or line.upper() in self._plain_urcs
        probe = self._probe(line)
        if command is not None and probe is None and (self._paid or not command.prompt):
            if self._body_due and not is_urc:
                self._body_due = False
                self._keep(line)
                return
            if line.startswith(self._owner):
                self._keep(line)
                self._body_due = command.body
                return
            if not is_urc and self._takes_bare(command, line):
                self._keep(line)
                return
        if probe is not None and self._state is State.DESYNCHRONISED:
            self._shown = probe
        elif probe is not None or line.startswith(_LATE) or self._is_late(line):
            self._foreign = self._state is not State.DESYNCHRONISED
            yield Stray(line)
        elif self._state is State.DESYNCHRONISED and not is_urc:
            yield Stray(line)
        elif line.startswith(_WITH_PAYLOAD):
            yield from self._header(line)
        elif not is_urc and (_HEX.fullmatch(line) or line[:2].upper() == "AT"):
            yield Stray(line)
        else:
            yield Urc(line)

    def _is_late(self, line: str) -> bool:
        """Whether the command that was given up owns the line, and no other may have sent it."""
        return line.startswith(self._late_owner) and not line.startswith(tuple(_ALSO_URC))

    def _header(self, line: str) -> Iterator[Event]:
        """Keep the header of a direct delivery until its PDU line comes; text mode's +CDS has none."""
        if line.startswith("+CDS:") and line.count(",") > 1:
            yield Urc(line)
        else:
            self._urc_header = line

    def _text_mode(self) -> bool:
        """Whether the header that waits for its body is one of text mode: then the body may be any text."""
        header = self._lines[-1] if self._lines else ""
        return re.match(r'\+CMG[LR]:\s*(?:\d+\s*,\s*)?"[A-Z]', header) is not None

    @staticmethod
    def _takes_bare(command: Command, line: str) -> bool:
        match command.bare:
            case Bare.DIGITS:
                return _DIGITS.fullmatch(line) is not None
            case Bare.TEXT:
                return line[:3].upper() not in {"AT+", "AT^"}
            case Bare.NONE:
                return False

    def _keep(self, line: str) -> None:
        if len(self._lines) < ANSWER_LIMIT:
            self._lines.append(line)
        else:
            self.dropped += 1

    def _probe(self, line: str) -> Imei | None:
        """The IMEI of a line that answers one of our probes, and not the AT+CGSN in progress.

        Our own IMEI; any while we do not know our own and ask for it.
        """
        command = self._command
        if command is not None and command.text == _PROBE:
            return None
        try:
            number = imei(line)
        except AnswerError:
            return None
        if self._imei is None:
            return number if self._state is State.DESYNCHRONISED else None
        return number if number == self._imei else None
