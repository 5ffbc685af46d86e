"""USSD sessions (22.090, 27.007 §7.15): what the host asks, and what the network answers by the test's script.

The script is the setting ``ussd``: a code, and its answer. An answer is a text, ``null`` (the network never answers),
or ``{"text", "status", "dcs", "next"}``. ``status`` is <m> of +CUSD: 0 done, 1 the network waits for a reply, 2 ended
by the network, 3 another client answered, 4 not supported, 5 time out. While it is 1 the session stays open, and what
the host sends next is looked up in ``next`` ("*" for anything). Codes that the script does not know are those of
``CODES``, or not supported.

How a string goes over the AT line is the family's: in the character set of +CSCS, or packed GSM 7 bit as hexadecimal
octets (Huawei). A text that GSM 7 bit cannot write is UCS2 in hexadecimal octets, with <dcs> 72.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from hil.emulator import alphabet
from hil.emulator.at import cme

if TYPE_CHECKING:
    from hil.emulator.modem import Modem

GSM7: Final = 15
"""23.038 §5: GSM 7 bit default alphabet, language unspecified."""
UCS2: Final = 72

CODES: Final = {"*100#": "Your balance is 12.34 GBP", "*#100#": "Your number is {number}"}
NOT_SUPPORTED: Final = {"text": "Unknown code", "status": 4}
DONE, ACTION = 0, 1


def read(modem: Modem, typed: str, dcs: int) -> str:
    """What the host typed; raises AtError."""
    try:
        if dcs == UCS2 or (modem.registers.cscs == "UCS2" and modem.persona.ussd != "packed"):
            return bytes.fromhex(typed).decode("utf-16-be")
        if modem.persona.ussd == "packed":
            octets = bytes.fromhex(typed)
            return alphabet.decode(alphabet.unpack(octets, len(octets) * 8 // 7)).rstrip("\r@")
    except (ValueError, alphabet.CodeError):
        raise cme(50) from None
    return typed


def _written(modem: Modem, text: str, dcs: int | None) -> tuple[str, int]:
    """The string of +CUSD and its <dcs>."""
    try:
        septets = alphabet.encode(text)
    except alphabet.CodeError:
        dcs = UCS2
    if dcs == UCS2:
        return text.encode("utf-16-be").hex().upper(), UCS2
    if modem.persona.ussd == "packed":
        padded = septets + b"\r" if len(septets) % 8 == 7 else septets  # 23.038 §6.1.2.3.1
        return alphabet.pack(padded).hex().upper(), dcs or GSM7
    if modem.registers.cscs == "UCS2":
        return text.encode("utf-16-be").hex().upper(), dcs or GSM7
    return text, dcs or GSM7


def ask(modem: Modem, code: str) -> None:
    """The host asks or replies; the answer comes later. Raises AtError."""
    if not modem.reachable:
        raise cme(30)
    answer: Any
    if modem.dialogue is not None:
        following = modem.dialogue
        answer = following.get(code, following.get("*", NOT_SUPPORTED))
    elif code in modem.settings.ussd:
        answer = modem.settings.ussd[code]
    elif code in CODES:
        answer = CODES[code].format(number=modem.sim.number)
    else:
        answer = NOT_SUPPORTED
    modem.dialogue = None
    if answer is not None:
        modem.after(modem.settings.ussd_delay, lambda: tell(modem, answer))


def tell(modem: Modem, answer: Any) -> None:
    """The network says something, asked or not."""
    words: dict[str, Any] = {"text": answer} if isinstance(answer, str) else dict(answer)
    status = int(words.get("status", ACTION if "next" in words else DONE))
    modem.dialogue = dict(words.get("next", {})) if status == ACTION else None
    text = str(words.get("text", ""))
    if text:
        string, dcs = _written(modem, text, words.get("dcs"))
        modem.urc(f'+CUSD: {status},"{string}",{dcs}')
    else:
        modem.urc(f"+CUSD: {status}")
    modem.network.changed()


def cancel(modem: Modem) -> None:
    """The host ends the session."""
    modem.dialogue = None
