"""What a test may switch on one modem and its SIM while it runs: plain values, one table, checked by type.

``Settings`` holds the behaviour (delays, errors to come, what the network answers), not the state of the modem.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any, Final

STAT_HOME: Final = 1
ACCESS: Final = {"gsm": 0, "umts": 2, "hspa": 6, "lte": 7, "cat-m": 8, "nb-iot": 9, "nr": 11}
"""Access technologies by name (27.007 +COPS <AcT>)."""


class SettingError(ValueError):
    """A key that does not exist or a value that it cannot take."""


@dataclass(slots=True)
class Settings:
    """One modem's switches; every field is a key of the control verb ``set``."""

    submit_delay: float = 0.0
    """Seconds from the end of the PDU to the result; the network has the message at once."""
    report_delay: float = 0.05
    report: str = "auto"
    """auto, none, or hold (until release_reports)."""
    report_status: Any = 0
    """TP-ST; a list is used up from its head; an item may be a list (several reports); {number: value}, "*" for the
    rest."""
    report_before_result: bool = False
    report_twice: bool = False
    submit_errors: list[Any] = field(default_factory=list)
    """For the next submits: a +CMS number, "ERROR", "silent-sent", "silent-lost", {"code": n, "sent": true}, null."""
    urc: bool = True
    """False: messages are stored and routed without a word (+CMTI, +CDSI, +CMT, +CDS are swallowed)."""
    urc_during_submit: str = "interleave"
    """interleave (between PDU and result), hold (until the result), prompt (also inside the prompt)."""
    registration: int = STAT_HOME
    creg: int | None = None
    cgreg: int | None = None
    cereg: int | None = None
    """Override ``registration`` for one of the three; null follows it."""
    registration_delay: float = 0.0
    csq: int = 20
    ber: int = 99
    operator: str = "Emu Mobile"
    plmn: str = "23410"
    technology: str = "lte"
    line_rate: int = 0
    """Bits per second of what the modem sends; 0 is as fast as the pty."""
    chunk: int = 0
    """Octets per write of what the modem sends; 0 is all at once."""
    use_host_mr: bool = False
    """True: TP-MR of the host's TPDU is kept; False: the modem counts itself."""
    reject_duplicates: bool = False
    cnma_timeout: float = 15.0
    redeliver_delay: float = 2.0
    """Seconds after which the network tries again what the modem refused for another reason than memory."""
    scan_delay: float = 0.0
    """Seconds of AT+COPS=?; a character aborts it."""
    boot_delay: float | str = 0.05
    """Seconds from power on to the first answer; "real": what the family takes."""
    sim_delay: float | None = None
    """Seconds from there to the SIM, and again to the last boot lines; null: none, or the family's with "real"."""
    sim_busy: float = 0.3
    """Seconds that the quirk sim_busy_after_pin lasts."""
    shutdown_delay: float | str = 0.0
    """Seconds from a power-off command or key to the end; "real": what the family takes."""
    reboot_drops_port: bool = False
    """True: a reset is a USB disconnect: the pty hangs up and a new one comes after the boot delay."""
    reboot_as: str = ""
    """USB: "vid:pid" under which it returns from the next start on; one of ``shape.OTHER_MODES`` has no tty."""
    chatter: float = 0.0
    """Seconds between two lines of the family's chatter; 0 is silence. The family's command hushes it."""
    clock: str = ""
    """What +CCLK tells instead of the time: "80/01/06,00:00:00+00"."""
    ussd: dict[str, Any] = field(default_factory=dict)
    """The network's answers: {code: {"text", "status", "dcs", "next": {reply: …}} or text or null}; see ``ussd``."""
    ussd_delay: float = 0.0
    forward: bool = True
    """Deliver a message to another emulated SIM when the destination is its number."""
    quirks: list[str] = field(default_factory=list)
    """Added to those of the persona."""

    def set(self, key: str, value: Any) -> None:
        """Change one switch; raises SettingError."""
        kind = _KINDS.get(key)
        if kind is None:
            raise SettingError(f"no such key: {key}")
        if not kind(value):
            raise SettingError(f"{key} cannot be {value!r}")
        setattr(self, key, value)

    def report_plan(self, number: str) -> list[int]:
        """The TP-ST values of the reports for the next message to this number; uses up a list."""
        return _plan(self, self.report_status, number)


def _plan(owner: Settings, value: Any, number: str) -> list[int]:
    if isinstance(value, dict):
        key = number if number in value else "*"
        inner = value.get(key, 0)
        if isinstance(inner, list):
            return _take(inner)
        return [int(inner)]
    if isinstance(value, list):
        plan = _take(value)
        if not value:
            owner.report_status = 0
        return plan
    return [int(value)]


def _take(values: list[Any]) -> list[int]:
    if not values:
        return [0]
    head = values.pop(0)
    return [int(one) for one in head] if isinstance(head, list) else [int(head)]


def _number(low: float, high: float = 1e9) -> Any:
    return lambda v: isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high


def _number_or_real(value: Any) -> bool:
    return value == "real" or bool(_number(0)(value))


def _whole(low: int, high: int) -> Any:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def _stat_or_none(value: Any) -> bool:
    return value is None or (isinstance(value, int) and 0 <= value <= 11)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _word(*words: str) -> Any:
    return lambda v: v in words if words else isinstance(v, str)


_KINDS: Final = {
    **dict.fromkeys(("submit_delay", "report_delay", "registration_delay", "cnma_timeout"), _number(0)),
    **dict.fromkeys(("redeliver_delay", "scan_delay", "chatter", "ussd_delay", "sim_busy"), _number(0)),
    **dict.fromkeys(("boot_delay", "shutdown_delay"), _number_or_real),
    "sim_delay": lambda v: v is None or (isinstance(v, int | float) and not isinstance(v, bool) and v >= 0),
    "reboot_as": lambda v: isinstance(v, str) and (not v or re.fullmatch("[0-9a-f]{4}:[0-9a-f]{4}", v) is not None),
    "clock": _word(),
    "ussd": lambda v: isinstance(v, dict),
    **dict.fromkeys(("report_before_result", "report_twice", "urc", "use_host_mr", "reject_duplicates"), _flag),
    **dict.fromkeys(("reboot_drops_port", "forward"), _flag),
    **dict.fromkeys(("creg", "cgreg", "cereg"), _stat_or_none),
    "report": _word("auto", "none", "hold"),
    "report_status": lambda v: isinstance(v, int | list | dict),
    "submit_errors": lambda v: isinstance(v, list),
    "urc_during_submit": _word("interleave", "hold", "prompt"),
    "registration": _whole(0, 11),
    "csq": lambda v: v == 99 or (isinstance(v, int) and 0 <= v <= 31),
    "ber": lambda v: v == 99 or (isinstance(v, int) and 0 <= v <= 7),
    "operator": _word(),
    "plmn": lambda v: isinstance(v, str) and v.isdigit() and len(v) in (5, 6),
    "technology": _word(*ACCESS),
    "line_rate": _whole(0, 10_000_000),
    "chunk": _whole(0, 65536),
    "quirks": lambda v: isinstance(v, list) and all(isinstance(q, str) for q in v),
}
KEYS: Final = frozenset(f.name for f in fields(Settings))
assert frozenset(_KINDS) == KEYS
