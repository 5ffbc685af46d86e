"""What a modem family is, as data: identity, boot lines, storages, USB shape, timings, what it refuses, its quirks.

Sources: manuals and published sessions, as collected in the project's modem reference (its transcripts T1 to T12). A
family is one ``Persona`` in ``families/``; a deviation is one more name in ``QUIRKS`` with its branch in the modem.
What the reference calls unknown is the plain behaviour of 27.005 and 27.007, and the entry says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.emulator.shape import Usb

QUIRKS: Final[Mapping[str, str]] = {
    "delete_empty_ok": "AT+CMGD of an empty slot answers OK instead of +CMS ERROR: 321",
    "read_empty_ok": "AT+CMGR of an empty slot answers OK alone",
    "list_empty": "AT+CMGL lists nothing although the storage counts messages",
    "list_refused": "AT+CMGL answers +CMS ERROR: 303 in PDU mode, and AT+CMGL=? shows the words of text mode",
    "me_unreadable": "ME counts and deletes, but AT+CMGL lists nothing of it and AT+CMGR answers OK alone",
    "no_alpha": "+CMGL and +CMGR have no alpha field",
    "cds_comma": "+CDS: ,<len>",
    "sr_as_sm": "a stored report is announced as SM",
    "sr_unreadable": "a stored report cannot be read: +CMS ERROR: 321",
    "sr_cmgr_only": "reports are read by AT+CMGR only, without <stat>; AT+CMGL and AT+CMGD=…,1 to 4 fail on SR",
    "cdsi_lost": 'with <ds>=2 a report is announced as +CDSI: "SM",0 and stored nowhere',
    "cmti_no_index": "+CMTI: ,-1 for a message that is stored nowhere",
    "cnmi_mode1": "<mt>=3 or <ds>=1 only with <mode>=1, <mt>=2 only with mode 1 or 2, else an error",
    "cnmi_no_mode2": "<mode>=2 is refused though it is advertised",
    "cnmi_ds1_refused": "<ds>=1 is refused with +CMS ERROR: 303",
    "cpms_two": "AT+CPMS takes and shows two storages only",
    "cpms_three": "AT+CPMS takes three storages and nothing less",
    "auto_ack": "a routed message is acknowledged by the modem itself also with +CSMS=1; AT+CNMA: +CMS ERROR: 340",
    "no_ack_pdu": "AT+CNMA takes no acknowledgement PDU",
    "unknown_text": "an unknown command is answered COMMAND NOT SUPPORT without a final result",
    "stray_ok": "an OK comes after the prompt and the result is never told, though the message is sent",
    "missing_ok": "AT+CPIN? is not ended by OK",
    "bare_cms": "+CMS ERROR: without a number",
    "csmp_clears_csca": "AT+CSMP forgets the service centre address",
    "csca_busy_once": "the first AT+CSCA? answers +CME ERROR: 14",
    "cfun_busy_twice": "the first two AT+CFUN=1 answer +CME ERROR: 515",
    "sim_busy_after_pin": "for a moment after the PIN the SIM answers +CME ERROR: 14",
    "crcrlf": "lines end with CR CR LF",
    "no_prompt_space": "the prompt has no space",
    "autobaud": "after power on nothing is understood and nothing told until AT came twice; then all is told",
    "sms_late": "AT+CMGF, +CPMS and what sends or reads answer ERROR until the last boot line",
    "sms_never": "as sms_late, and the last boot lines never come",
    "charset_58": 'SMS commands answer +CME ERROR: 58 until AT+CSCS="IRA"',
}


@dataclass(frozen=True, slots=True)
class Persona:
    """One family."""

    name: str
    manufacturer: str = "Emulated"
    model: str = "EMU-1"
    revision: str = "EMU1.0"
    ati: tuple[str, ...] = ()
    """Lines of ATI; by default manufacturer, model, revision."""

    # ---- life
    boot: tuple[str, ...] = ("RDY", "+CFUN: 1", "+CPIN: {pin}", "SMS Ready")
    """Lines after power on. From the one with {pin} on they come when the SIM is up."""
    ready: tuple[str, ...] = ()
    """Lines after the SIM became ready."""
    shutdown: tuple[str, ...] = ("NORMAL POWER DOWN",)
    boot_seconds: float = 10.0
    """From power on to the first line or answer; only with boot_delay "real"."""
    sim_seconds: float = 1.0
    """From there until the SIM is up; the EG25-G took 1 s."""
    ready_seconds: float = 2.0
    """From there until the lines of ``ready``."""
    shutdown_seconds: float = 5.0
    pwrkey_on_ms: int = 1000
    pwrkey_off_ms: int = 1500
    reset_ms: int = 100
    reset: tuple[str, ...] = ()
    """Vendor commands that reset, besides AT+CFUN=1,1."""
    power_off: tuple[str, ...] = ()
    off_answer: tuple[str, ...] = ()
    """What a power-off command answers before its OK."""
    usb: Usb | None = None
    """None: the family has no USB that AT goes through, or none was documented."""

    # ---- short messages
    storages: Mapping[str, int] = field(default_factory=lambda: {"SM": 50, "ME": 255, "SR": 20})
    mem1: tuple[str, ...] = ("SM", "ME", "MT", "SR")
    mem2: tuple[str, ...] = ("SM", "ME", "MT")
    mem3: tuple[str, ...] = ("SM", "ME", "MT")
    cpms: tuple[str, str, str] = ("SM", "SM", "SM")
    index_base: int = 1
    csms: int = 0
    cnmi: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    cnmi_ranges: str = "(0-3),(0-3),(0,2),(0-2),(0,1)"
    """What AT+CNMI=? says."""
    cnmi_accepts: str = "(0-3),(0-3),(0-3),(0-2),(0,1)"
    """What AT+CNMI= takes; the rest is +CMS ERROR: 303."""
    cnmi_error: int | None = None
    """The +CMS ERROR of the quirk cnmi_mode1; None is a bare ERROR."""
    cgsms: int = 1
    storage_full: str = ""
    """The line that tells of a full storage, with {memory}."""
    cms: Mapping[int, int] = field(default_factory=dict)
    """The vendor's number in place of the one of 27.005."""

    # ---- SIM and the rest
    counters: str = "+CPINR"
    """The command that tells the PIN tries."""
    iccid: Mapping[str, str] = field(default_factory=lambda: {"+CCID": "+CCID: {iccid}"})
    """Commands that read the ICCID, as typed without AT, and their lines."""
    early_sim: int = 14
    """The +CME ERROR of SIM commands while the SIM is not up yet: 14 busy, 13 failure."""
    ussd: str = "text"
    """text: in the character set of +CSCS; packed: GSM 7 bit, packed, as hexadecimal octets."""
    routes: Mapping[str, str] = field(default_factory=dict)
    """Commands that choose the port of the URCs, as typed, and the role (or all)."""
    technology: tuple[str, ...] = ()
    """Beginnings of commands that choose the radio technology."""
    keeps: frozenset[str] = frozenset()
    """What survives a reset: cnmi, cpms, csca."""
    quirks: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    """Commands that it does not have."""
    knows: frozenset[str] = frozenset()
    """Vendor commands of the command table that it has."""
    says: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Vendor commands with a fixed answer, as typed without AT."""
    accepts: tuple[str, ...] = ()
    """Beginnings of vendor commands that are answered OK and do nothing."""
    chatter: tuple[str, ...] = ()
    """Lines that come unasked again and again: of the fault ``flood``, and of the setting ``chatter``."""
    hush: tuple[str, ...] = ()
    """Commands that end ``chatter``, as typed."""

    def has(self, name: str) -> bool:
        """Whether a vendor command of the command table is this family's."""
        return name in self.knows or name == self.counters or any(typed.rstrip("?") == name for typed in self.iccid)
