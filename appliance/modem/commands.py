"""The AT commands that are used, each with the answer that it owns and the seconds that it may take.

The times are the longest that manuals and drivers allow, rounded up; a command that takes longer has hung. Nothing
that was read from a modem goes into a command: storages are constants of ``appliance.at.answers``, the rest is ``int``,
or is checked here (a PIN comes from the settings).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from appliance.at.answers import PIN_COUNTERS, STORES
from appliance.at.dialogue import Bare, Command

__all__ = ["Timed"]


@dataclass(frozen=True, slots=True)
class Timed:
    """A command and the seconds for its final result."""

    command: Command
    timeout: float


QUICK: Final = 5.0
"""Seconds for what a modem answers by itself; on time it takes 20 ms, 300 ms in a busy boot."""

SIM: Final = 10.0
"""Seconds for what asks the SIM."""

STORAGE: Final = 25.0
"""Seconds for one access to a storage (Quectel's manuals tell 300 ms; SIMCom's 25 s for CMGD)."""

LISTING: Final = 60.0
"""Seconds for a whole storage: 255 messages of 350 digits take 8 s at 115200 baud, some firmwares sort for longer."""


def quick(text: str, *owns: str) -> Timed:
    """A command that the modem answers by itself."""
    return Timed(Command(text, owns), QUICK)


ECHO_OFF: Final = quick("ATE0")
VERBOSE: Final = quick("ATV1")
NUMERIC_ERRORS: Final = quick("AT+CMEE=1")
MANUFACTURER: Final = Timed(Command("AT+CGMI", ("+CGMI:",), Bare.TEXT), QUICK)
MODEL: Final = Timed(Command("AT+CGMM", ("+CGMM:",), Bare.TEXT), QUICK)
REVISION: Final = Timed(Command("AT+CGMR", ("+CGMR:",), Bare.TEXT), QUICK)
SERIAL: Final = Timed(Command("AT+CGSN", ("+CGSN:",), Bare.DIGITS), QUICK)

PIN_STATE: Final = Timed(Command("AT+CPIN?", ("+CPIN:",), final_may_be_missing=True), QUICK)
"""Wavecom answers its line and no OK; where the OK comes, this costs nothing."""
ICCID: Final = (
    Timed(Command("AT+CCID", ("+CCID:", "+ICCID:", "CCID:"), Bare.DIGITS), SIM),
    Timed(Command("AT+ICCID", ("+ICCID:", "+CCID:", "ICCID:"), Bare.DIGITS), SIM),
)
"""Two spellings; families have more (profile)."""
ICCID_FILE: Final = Timed(Command("AT+CRSM=176,12258,0,0,10", ("+CRSM:",)), SIM)
"""READ BINARY of EF_ICCID, for modems that know neither spelling (27.007 §8.18)."""
IMSI: Final = Timed(Command("AT+CIMI", ("+CIMI:",), Bare.DIGITS), SIM)
OWN_NUMBER: Final = Timed(Command("AT+CNUM", ("+CNUM:",)), SIM)

PDU_MODE: Final = quick("AT+CMGF=0")
CALLER_ID: Final = quick("AT+CLIP=1")
SERVICE: Final = quick("AT+CSMS?", "+CSMS:")
STORES_KNOWN: Final = Timed(Command("AT+CPMS=?", ("+CPMS:",)), STORAGE)
STORES_USED: Final = Timed(Command("AT+CPMS?", ("+CPMS:",)), STORAGE)
LIST_ALL: Final = Timed(Command("AT+CMGL=4", ("+CMGL:",), body=True), LISTING)
INDICATIONS: Final = quick("AT+CNMI?", "+CNMI:")
ACKNOWLEDGE: Final = quick("AT+CNMA")

DOMAINS: Final = ("CREG", "CEREG", "CGREG")
"""Where a modem registers: circuit, LTE, packet; the first that can send short messages is enough."""
OPERATOR: Final = Timed(Command("AT+COPS?", ("+COPS:",)), 30.0)
CLOCK: Final = quick("AT+CCLK?", "+CCLK:")
NETWORK_TIME: Final = quick("AT+CTZU=1")
"""Let the network set the modem's clock (27.007 §8.41)."""
SIGNAL: Final = quick("AT+CSQ", "+CSQ:")
SIGNAL_EXTENDED: Final = quick("AT+CESQ", "+CESQ:")

RADIO: Final = 30.0
"""Seconds for what detaches from the network or chooses its technology: AT+CFUN=0 takes 15 s by the manuals."""

HANG_UP: Final = (quick("AT+CHUP"), quick("ATH"))
"""Two spellings; the first that is known ends the call."""

USSD_CANCEL: Final = Timed(Command("AT+CUSD=2"), SIM)


def set_service(service: int) -> Timed:
    """AT+CSMS=<service>: 0 without, 1 with acknowledgement by +CNMA."""
    return quick(f"AT+CSMS={service:d}", "+CSMS:")


def pin_tries(counter: str) -> Timed:
    """Ask how many tries are left for the PIN; ``counter`` is a key of ``PIN_COUNTERS``."""
    return quick(PIN_COUNTERS[counter], f"{counter}:")


def iccid(spellings: tuple[str, ...]) -> tuple[Timed, ...]:
    """A family's own commands for the card's number."""
    return tuple(
        Timed(Command(text, (f"{re.sub('^AT|[?]$', '', text)}:", "+ICCID:", "+CCID:", "ICCID:"), Bare.DIGITS), SIM)
        for text in spellings
    )


def ussd(text: str, dcs: int) -> Timed:
    """AT+CUSD with a request.

    Raises:
        ValueError: not printable ASCII, or with a quotation mark.
    """
    if '"' in text:
        raise ValueError("a USSD request has no quotation marks")
    return Timed(Command(f'AT+CUSD=1,"{text}",{dcs:d}', secret=True), SIM)


def no_reports(domain: str) -> Timed:
    """No URCs of a domain whose state is polled: the same prefix must not come unasked."""
    return quick(f"AT+{DOMAINS[DOMAINS.index(domain)]}=0")


def poll_domain(domain: str) -> Timed:
    """Ask for the registration in one domain."""
    name = DOMAINS[DOMAINS.index(domain)]
    return quick(f"AT+{name}?", f"+{name}:")


def select(*stores: str) -> Timed:
    """AT+CPMS with one to three storages, each one of ``STORES``."""
    names = ",".join(f'"{STORES[STORES.index(store)]}"' for store in stores)
    return Timed(Command(f"AT+CPMS={names}", ("+CPMS:",)), STORAGE)


def read(index: int) -> Timed:
    """Read one message of the selected storage."""
    return Timed(Command(f"AT+CMGR={index:d}", ("+CMGR:",), body=True), STORAGE)


def delete(index: int) -> Timed:
    """Delete one message of the selected storage."""
    return Timed(Command(f"AT+CMGD={index:d}"), STORAGE)


def indicate(setting: tuple[int, ...]) -> Timed:
    """AT+CNMI with one to five numbers."""
    return quick("AT+CNMI=" + ",".join(f"{number:d}" for number in setting))


def enter_pin(pin: str) -> Timed:
    """AT+CPIN; not told by its label.

    Raises:
        ValueError: not 4 to 8 digits.
    """
    if re.fullmatch(r"[0-9]{4,8}", pin) is None:
        raise ValueError("a PIN is 4 to 8 digits")
    return Timed(Command(f'AT+CPIN="{pin}"', ("+CPIN:",), secret=True), 30.0)


def submit(length: int) -> Command:
    """AT+CMGS for a TPDU of so many octets."""
    return Command(f"AT+CMGS={length:d}", ("+CMGS:",), prompt=True)
