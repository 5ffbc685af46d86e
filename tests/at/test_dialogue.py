"""The dialogue's laws: whose line is it, whatever comes between, late, or cut into pieces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.at.answers import Result
from appliance.at.dialogue import (
    LINE_LIMIT,
    Answered,
    Bare,
    Command,
    Dialogue,
    Event,
    Prompted,
    State,
    Stray,
    Synchronised,
    Urc,
    WrongState,
)
from appliance.types import Imei

if TYPE_CHECKING:
    from collections.abc import Callable

IMEI = Imei("356938035643809")
OTHER = Imei("490154203237518")

CSQ = Command("AT+CSQ", ("+CSQ:",))
CMGD = Command("AT+CMGD=3")
CMGS = Command("AT+CMGS=18", ("+CMGS:",), prompt=True)
CMGR = Command("AT+CMGR=3", ("+CMGR:",), body=True)
CMGL = Command("AT+CMGL=4", ("+CMGL:",), body=True)
CGMI = Command("AT+CGMI", ("+CGMI:",), Bare.TEXT)
CIMI = Command("AT+CIMI", ("+CIMI:",), Bare.DIGITS)
CGSN = Command("AT+CGSN", ("+CGSN:",), Bare.DIGITS)
CPIN = Command("AT+CPIN?", ("+CPIN:",), final_may_be_missing=True)

PDU = b"0001000C91447700091032000005E8329BFD06"
PDU_LINE = "07911326040000F0040B911346610089F60000208062917314080CC8F71D14969741F977FD07"

OK = Result("OK", "OK")
MT = '+CMTI: "SM",3'

Do = "Command | bytes | str"


@dataclass(frozen=True)
class Pay:
    """The payload is written now."""

    data: bytes = PDU


class Expire:
    """The caller's time is over."""


class Resync:
    """The caller asks for the IMEI."""


Step = Command | bytes | Pay | Expire | Resync


def play(steps: tuple[Step, ...], cut: Callable[[bytes], list[bytes]]) -> list[Event]:
    """What a synchronised dialogue tells, when what it reads is cut so."""
    dialogue = Dialogue(plain_urcs=["RDY", "NORMAL POWER DOWN"])
    dialogue.resynchronise(IMEI)
    assert dialogue.feed(f"{IMEI}\r\nOK\r\n".encode()) == [Synchronised(IMEI)]
    events: list[Event] = []
    for step in steps:
        match step:
            case Command():
                dialogue.send(step)
            case Pay(data):
                dialogue.payload(data)
            case Expire():
                events += dialogue.expire()
            case Resync():
                dialogue.resynchronise(IMEI)
            case bytes():
                for part in cut(step):
                    events += dialogue.feed(part)
    return events


def every(size: int) -> Callable[[bytes], list[bytes]]:
    return lambda data: [data[at : at + size] for at in range(0, len(data), size)]


def answered(command: Command, *lines: str, final: Result = OK) -> Answered:
    return Answered(command, lines, final)


CMS_38 = Result("+CMS ERROR: 38", "CMS", 38)
ERROR = Result("ERROR", "ERROR")

LAWS: dict[str, tuple[tuple[Step, ...], list[Event]]] = {
    "an answer": ((CSQ, b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n"), [answered(CSQ, "+CSQ: 20,99")]),
    "with echo": ((CSQ, b"AT+CSQ\r\r\n+CSQ: 20,99\r\n\r\nOK\r\n"), [answered(CSQ, "+CSQ: 20,99")]),
    "without verbose line ends": ((CSQ, b"+CSQ: 20,99\nOK\n"), [answered(CSQ, "+CSQ: 20,99")]),
    "with three line ends": ((CSQ, b"\r\r\n+CSQ: 20,99\r\r\n\r\r\nOK\r\r\n"), [answered(CSQ, "+CSQ: 20,99")]),
    "with the noise of a UART": ((CSQ, b"\x00\xff\r\n\xf8+CSQ: 20,99\r\n\x00OK\r\n"), [answered(CSQ, "+CSQ: 20,99")]),
    "an error": ((CMGD, b"\r\nERROR\r\n"), [answered(CMGD, final=ERROR)]),
    "the error of a Huawei": (
        (CMGD, b"\r\nCOMMAND NOT SUPPORT\r\n"),
        [answered(CMGD, final=Result("COMMAND NOT SUPPORT", "COMMAND NOT SUPPORT"))],
    ),
    "an error without its number": (
        (CMGD, b"\r\n+CMS ERROR:\r\n"),
        [answered(CMGD, final=Result("+CMS ERROR:", "CMS"))],
    ),
    "a URC inside an answer": (
        (CSQ, b'\r\n+CSQ: 20,99\r\n\r\n+CMTI: "SM",3\r\n\r\nOK\r\n'),
        [Urc(MT), answered(CSQ, "+CSQ: 20,99")],
    ),
    "a URC behind the echo": (
        (CSQ, b'AT+CSQ\r\r\n+CMTI: "SM",3\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n'),
        [Urc(MT), answered(CSQ, "+CSQ: 20,99")],
    ),
    "a URC with its PDU inside an answer": (
        (CSQ, f"\r\n+CMT: ,27\r\n{PDU_LINE}\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n".encode()),
        [Urc("+CMT: ,27", PDU_LINE), answered(CSQ, "+CSQ: 20,99")],
    ),
    "a URC between a message's header and its PDU": (
        (CMGR, f'\r\n+CMGR: 0,,27\r\n+CMTI: "SM",3\r\n{PDU_LINE}\r\n\r\nOK\r\n'.encode()),
        [Urc(MT), answered(CMGR, "+CMGR: 0,,27", PDU_LINE)],
    ),
    "a report without commas or with them": (
        (f"\r\n+CDS: 27\r\n{PDU_LINE}\r\n\r\n+CDS: ,27\r\n{PDU_LINE}\r\n".encode(),),
        [Urc("+CDS: 27", PDU_LINE), Urc("+CDS: ,27", PDU_LINE)],
    ),
    "a report of text mode has no PDU line": (
        (b'\r\n+CDS: 6,13,"+447700900123",145,"26/11/23,12:00:00+00","26/11/23,12:00:01+00",0\r\nRDY\r\n',),
        [Urc('+CDS: 6,13,"+447700900123",145,"26/11/23,12:00:00+00","26/11/23,12:00:01+00",0'), Urc("RDY")],
    ),
    "a direct delivery whose PDU does not come": (
        (CSQ, b"\r\n+CMT: ,27\r\n\r\nOK\r\n"),
        [Urc("+CMT: ,27"), answered(CSQ)],
    ),
    "what is no hexadecimal is a direct delivery's PDU too": (
        (b"\r\n+CMT: ,27\r\n07X1 garbage\r\n",),
        [Urc("+CMT: ,27", "07X1 garbage")],
    ),
    "a listing": (
        (CMGL, f"\r\n+CMGL: 0,1,,27\r\n{PDU_LINE}\r\n+CMGL: 1,1,27\r\nnonsense\r\n\r\nOK\r\n".encode()),
        [answered(CMGL, "+CMGL: 0,1,,27", PDU_LINE, "+CMGL: 1,1,27", "nonsense")],
    ),
    "an empty message": ((CMGR, b"\r\n+CMGR: 0,,0\r\n\r\n\r\nOK\r\n"), [answered(CMGR, "+CMGR: 0,,0")]),
    "nothing at that index": ((CMGR, b"\r\nOK\r\n"), [answered(CMGR)]),
    "a text that begins as a result": (
        (CMGR, b'\r\n+CMGR: "REC UNREAD","+447700900123",,"26/11/23,12:00:00+00"\r\nOK\r\n\r\nOK\r\n'),
        [answered(CMGR, '+CMGR: "REC UNREAD","+447700900123",,"26/11/23,12:00:00+00"', "OK")],
    ),
    "a text that begins as a prompt": (
        (CMGR, b'\r\n+CMGR: "REC READ","+447700900123",,"26/11/23,12:00:00+00"\r\n> hello\r\n\r\nOK\r\n'),
        [answered(CMGR, '+CMGR: "REC READ","+447700900123",,"26/11/23,12:00:00+00"', "> hello")],
    ),
    "a text that begins as a URC": (
        (CMGR, b'\r\n+CMGR: "REC READ","+447700900123",,"26/11/23,12:00:00+00"\r\n+CMTI: "SM",3\r\n\r\nOK\r\n'),
        [answered(CMGR, '+CMGR: "REC READ","+447700900123",,"26/11/23,12:00:00+00"', MT)],
    ),
    "a line that only begins with OK": ((CGMI, b"\r\nOKI Electric\r\n\r\nOK\r\n"), [answered(CGMI, "OKI Electric")]),
    "a bare answer with a URC inside": (
        (CGMI, b"\r\nRDY\r\nhuawei\r\n^RSSI:12\r\n\r\nOK\r\n"),
        [Urc("RDY"), Urc("^RSSI:12"), answered(CGMI, "huawei")],
    ),
    "a submit": (
        (CMGS, b"\r\n> ", Pay(), b"\r\n+CMGS: 12\r\n\r\nOK\r\n"),
        [Prompted(CMGS), answered(CMGS, "+CMGS: 12")],
    ),
    "a submit with echo": (
        (CMGS, b"AT+CMGS=18\r\r\n> ", Pay(), PDU + b"\x1a\r\n+CMGS: 12\r\n\r\nOK\r\n"),
        [Prompted(CMGS), answered(CMGS, "+CMGS: 12")],
    ),
    "a prompt in the middle of noise": (
        (CMGS, b"\xf0\x00> ", Pay(), b"\r\n+CMGS: 12\r\n\r\nOK\r\n"),
        [Prompted(CMGS), answered(CMGS, "+CMGS: 12")],
    ),
    "a prompt that is told again": (
        (CMGS, b"\r\n> ", Pay(), b"\r\n> \r\n> +CMGS: 12\r\n\r\nOK\r\n"),
        [Prompted(CMGS), answered(CMGS, "+CMGS: 12")],
    ),
    "a URC before the prompt and before the result": (
        (CMGS, b'\r\n+CMTI: "SM",3\r\n\r\n> ', Pay(), b'\r\n+CMTI: "SM",3\r\n\r\n+CMGS: 12\r\n\r\nOK\r\n'),
        [Urc(MT), Prompted(CMGS), Urc(MT), answered(CMGS, "+CMGS: 12")],
    ),
    "a URC with a > inside, while a prompt is awaited": (
        (CMGS, b'\r\n+CUSD: 0,"1> top up",15\r\n\r\n> ', Pay(), b"\r\n+CMGS: 12\r\n\r\nOK\r\n"),
        [Urc('+CUSD: 0,"1> top up",15'), Prompted(CMGS), answered(CMGS, "+CMGS: 12")],
    ),
    "a > while no prompt is awaited": ((CSQ, b"\r\n> \r\n+CSQ: 20,99\r\nOK\r\n"), [answered(CSQ, "+CSQ: 20,99")]),
    "an error instead of the prompt": (
        (CMGS, b"\r\n+CMS ERROR: 38\r\n"),
        [answered(CMGS, final=CMS_38)],
    ),
    "an error behind the prompt": (
        (CMGS, b"\r\n> \r\n+CMS ERROR: 38\r\n"),
        [Prompted(CMGS), answered(CMGS, final=CMS_38)],
    ),
    "an OK before the prompt, or behind it, is none of a submit": (
        (CMGS, b"\r\nOK\r\n\r\n> \r\nOK\r\n", Pay(), b"\r\nOK\r\n\r\n+CMGS: 12\r\n\r\nOK\r\n"),
        [Stray("OK"), Prompted(CMGS), Stray("OK"), Stray("OK"), answered(CMGS, "+CMGS: 12")],
    ),
    "a call that ends is no result": (
        (CMGS, b"\r\n> ", Pay(), b"\r\nNO CARRIER\r\n\r\n+CMGS: 12\r\n\r\nOK\r\n"),
        [Prompted(CMGS), Urc("NO CARRIER"), answered(CMGS, "+CMGS: 12")],
    ),
    "a quoted string of several lines": (
        (CSQ, b'\r\n+CUSD: 0,"Credit:\r\nOK\r\n> 5.00",15\r\n+CSQ: 20,99\r\nOK\r\n'),
        [Urc('+CUSD: 0,"Credit:\nOK\n> 5.00",15'), answered(CSQ, "+CSQ: 20,99")],
    ),
    "an OK that nobody waits for": ((b"\r\nOK\r\n", CMGD, b"\r\nOK\r\n"), [Stray("OK"), answered(CMGD)]),
    "a final result that is missing": (
        (CPIN, b"\r\n+CPIN: READY\r\n", Expire()),
        [answered(CPIN, "+CPIN: READY", final=Result("", "OK"))],
    ),
    "a late OK cannot pass": (
        (CMGD, Expire(), Resync(), b"\r\nOK\r\n\r\nOK\r\n", Resync(), f"\r\n{IMEI}\r\n\r\nOK\r\n".encode()),
        [Stray("OK"), Stray("OK"), Synchronised(IMEI)],
    ),
    "a foreign IMEI cannot pass": (
        (CMGD, Expire(), Resync(), f"\r\n{OTHER}\r\n\r\nOK\r\n\r\n{IMEI}\r\n\r\nOK\r\n".encode()),
        [Stray(OTHER), Stray("OK"), Synchronised(IMEI)],
    ),
    "an IMEI with an error cannot pass": (
        (CMGD, Expire(), Resync(), f'\r\n{IMEI}\r\nERROR\r\nOK\r\n{IMEI}\r\n+CMTI: "SM",3\r\nOK\r\n'.encode()),
        [Stray("ERROR"), Stray("OK"), Urc(MT), Synchronised(IMEI)],
    ),
    "a late answer with its result": (
        (CSQ, Expire(), b"\r\n+CSQ: 20,99\r\n\r\nOK\r\n", Resync(), f"{IMEI}\r\nOK\r\n".encode(), CMGD, b"\r\nOK\r\n"),
        [Stray("+CSQ: 20,99"), Stray("OK"), Synchronised(IMEI), answered(CMGD)],
    ),
    "the answers of probes that were given up belong to no command": (
        (
            *(CMGD, Expire(), Resync(), Resync(), Resync(), f"{IMEI}\r\nOK\r\n".encode()),
            *(CMGD, f'{IMEI}\r\nOK\r\n{IMEI}\r\n+CMTI: "SM",3\r\nOK\r\n'.encode(), b"\r\nERROR\r\n"),
        ),
        [
            *(Synchronised(IMEI), Stray(IMEI), Stray("OK"), Stray(IMEI), Urc(MT), Stray("OK")),
            answered(CMGD, final=ERROR),
        ],
    ),
    "nor to one that takes digits": (
        (
            *(CMGD, Expire(), Resync(), Resync(), f"{IMEI}\r\nOK\r\n".encode()),
            *(CIMI, f"{IMEI}\r\nOK\r\n234100000000001\r\nOK\r\n".encode()),
        ),
        [Synchronised(IMEI), Stray(IMEI), Stray("OK"), answered(CIMI, "234100000000001")],
    ),
    "nor to the same question": (
        (
            *(CMGD, Expire(), Resync(), Resync(), f"{IMEI}\r\nOK\r\n".encode()),
            *(CGSN, f"{IMEI}\r\nOK\r\n{IMEI}\r\nOK\r\n".encode(), CMGD, b"ERROR\r\n"),
        ),
        [Synchronised(IMEI), answered(CGSN, IMEI), Stray(IMEI), Stray("OK"), answered(CMGD, final=ERROR)],
    ),
    "the late result of a submit is not the next command's": (
        (
            *(CMGS, b"\r\n> ", Pay(), Expire(), Resync(), f"{IMEI}\r\nOK\r\n".encode()),
            *(CMGD, b"\r\n+CMGS: 12\r\n\r\nOK\r\n\r\nERROR\r\n"),
        ),
        [
            *(Prompted(CMGS), Synchronised(IMEI), Stray("+CMGS: 12"), Stray("OK")),
            answered(CMGD, final=ERROR),
        ],
    ),
    "the late answer of another command is not the next command's": (
        (
            *(CSQ, Expire(), Resync(), f"{IMEI}\r\nOK\r\n".encode()),
            *(CMGL, f"\r\n+CMGL: 0,1,,27\r\n{PDU_LINE}\r\nOK\r\n".encode()),
        ),
        [Synchronised(IMEI), answered(CMGL, "+CMGL: 0,1,,27", PDU_LINE)],
    ),
    "a listing that was given up is not the next command's": (
        (
            *(CMGL, f"\r\n+CMGL: 0,1,,27\r\n{PDU_LINE}\r\n".encode(), Expire()),
            *(f"+CMGL: 1,1,,27\r\n{PDU_LINE}\r\nOK\r\n".encode(), Resync(), f"{IMEI}\r\nOK\r\n".encode()),
        ),
        [Stray("+CMGL: 1,1,,27"), Stray(PDU_LINE), Stray("OK"), Synchronised(IMEI)],
    ),
    "echo turned on by a reset": (
        (CMGD, b"\r\nRDY\r\n", Expire(), Resync(), f"AT+CGSN\r\r\n{IMEI}\r\n\r\nOK\r\n".encode()),
        [Urc("RDY"), Synchronised(IMEI)],
    ),
    "URCs come while it is desynchronised": (
        (CSQ, Expire(), f'\r\n+CMTI: "SM",3\r\n+CDS: 27\r\n{PDU_LINE}\r\n'.encode()),
        [Urc(MT), Urc("+CDS: 27", PDU_LINE)],
    ),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("law", LAWS)
def test_whose_line_it_is(law: str, size: int) -> None:
    steps, events = LAWS[law]
    assert play(steps, every(size)) == events


NOISE = [
    *(b"\r\n", b"\n", b"OK\r\n", b"\r\nERROR\r\n", b"> ", b">", b'+CMTI: "SM",3\r\n', b"+CMT: ,27\r\n"),
    *(PDU_LINE.encode() + b"\r\n", IMEI.encode() + b"\r\n", b"+CSQ: 1,2\r\n", b"+CMGL: 1,1,,27\r\n", b"AT+CSQ\r"),
    *(b'+CUSD: 0,"a\r\n', b'"\r\n', b"RDY\r\n", b"\x00\xff", b"+CMGS: 7\r\n", b"NO CARRIER\r\n", b"x" * 5000),
]


@settings(max_examples=300, deadline=None)
@given(
    begin=st.sampled_from(
        [(CSQ,), (CMGL,), (CGMI,), (CMGS,), (CIMI,), (), (CMGD, Expire()), (CMGD, Expire(), Resync())]
    ),
    parts=st.lists(st.one_of(st.sampled_from(NOISE), st.binary(max_size=12)), max_size=25),
    data=st.data(),
)
def test_how_it_is_cut_into_reads_changes_nothing(
    begin: tuple[Step, ...], parts: list[bytes], data: st.DataObject
) -> None:
    whole = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))

    def pieces(octets: bytes) -> list[bytes]:
        return [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]

    assert play((*begin, whole), pieces) == play((*begin, whole), lambda octets: [octets])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(NOISE), st.binary(max_size=64)), max_size=20))
def test_nothing_that_comes_in_ends_the_state_of_doubt_but_our_own_imei(parts: list[bytes]) -> None:
    dialogue = Dialogue()
    dialogue.resynchronise(OTHER)
    for part in parts:
        assert not any(isinstance(event, Synchronised | Answered | Prompted) for event in dialogue.feed(part))
    assert dialogue.state is State.DESYNCHRONISED


def test_a_fresh_dialogue_has_to_be_synchronised_and_learns_who_answers() -> None:
    dialogue = Dialogue()
    with pytest.raises(WrongState):
        dialogue.send(CSQ)
    assert dialogue.resynchronise(None) == b"\x1bAT+CGSN\r"
    assert dialogue.feed(b'OK\r\n+CGSN: "' + IMEI.encode() + b'"\r\n\r\nOK\r\n') == [Stray("OK"), Synchronised(IMEI)]
    assert dialogue.send(CSQ) == b"AT+CSQ\r"


def test_one_command_at_a_time() -> None:
    dialogue = Dialogue()
    dialogue.resynchronise(IMEI)
    dialogue.feed(f"{IMEI}\r\nOK\r\n".encode())
    dialogue.send(CSQ)
    with pytest.raises(WrongState):
        dialogue.send(CMGD)
    with pytest.raises(WrongState):
        dialogue.resynchronise(IMEI)


def test_only_a_payload_writes_ctrl_z_and_only_to_a_prompt() -> None:
    dialogue = Dialogue()
    dialogue.resynchronise(IMEI)
    dialogue.feed(f"{IMEI}\r\nOK\r\n".encode())
    assert dialogue.send(CMGS) == b"AT+CMGS=18\r"
    with pytest.raises(WrongState):
        dialogue.payload(PDU)
    dialogue.feed(b"\r\n> ")
    for wrong in (b"", b"0g", b"00\x1a", b"00\r", b"0a", b"hello"):
        with pytest.raises(ValueError, match="hexadecimal"):
            dialogue.payload(wrong)
    assert dialogue.payload(PDU) == PDU + b"\x1a"
    with pytest.raises(WrongState):
        dialogue.payload(PDU)


def test_a_prompt_is_left_by_esc() -> None:
    dialogue = Dialogue()
    dialogue.resynchronise(IMEI)
    dialogue.feed(f"{IMEI}\r\nOK\r\n".encode())
    dialogue.send(CMGS)
    dialogue.feed(b"\r\n> ")
    assert dialogue.abort() == b"\x1b"
    assert dialogue.state is State.DESYNCHRONISED
    assert b"\x1a" not in dialogue.resynchronise(IMEI)


@pytest.mark.parametrize("text", ["", "AT\r", "AT\n", "AT\x1a", "AT\x1b", "AT+CMGD=\u0663", "A" * 501])
def test_a_command_is_printable_ascii_and_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        Command(text)


def test_a_secret_is_not_told() -> None:
    assert "1234" not in Command('AT+CPIN="1234"', secret=True).label


@pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
def test_a_flood_without_line_ends_is_dropped_and_counted_and_the_next_line_is_read(size: int) -> None:
    dialogue = Dialogue()
    dialogue.resynchronise(IMEI)
    dialogue.feed(f"{IMEI}\r\nOK\r\n".encode())
    dialogue.send(CSQ)
    flood = b"U" * (LINE_LIMIT * 3)
    events = [event for part in every(size)(flood + b"\r\n+CSQ: 20,99\r\nOK\r\n") for event in dialogue.feed(part)]
    assert events == [answered(CSQ, "+CSQ: 20,99")]
    assert dialogue.dropped >= len(flood)


def test_a_quoted_string_that_never_closes_swallows_a_bounded_number_of_lines() -> None:
    dialogue = Dialogue()
    dialogue.resynchronise(IMEI)
    dialogue.feed(f"{IMEI}\r\nOK\r\n".encode())
    events = dialogue.feed(b'+CUSD: 0,"open\r\n' + b"line\r\n" * 40 + b'+CMTI: "SM",3\r\n')
    assert events[-1] == Urc(MT)
