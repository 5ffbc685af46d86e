"""Modem families as data: identity, boot lines, storages, what they refuse, and quirks named by behaviour.

Sources: manuals and published sessions, as collected in the project's modem reference (its transcripts T1 to T12). A
new family is one more entry; a new deviation is one more name in ``QUIRKS`` with its branch in the modem.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

QUIRKS: Final[Mapping[str, str]] = {
    "delete_empty_ok": "AT+CMGD of an empty slot answers OK instead of +CMS ERROR: 321",
    "read_empty_ok": "AT+CMGR of an empty slot answers OK alone",
    "list_empty": "AT+CMGL lists nothing although the storage counts messages",
    "list_refused": "AT+CMGL answers +CMS ERROR: 303",
    "no_alpha": "+CMGL and +CMGR have no alpha field",
    "cds_comma": "+CDS: ,<len>",
    "sr_as_sm": "a stored report is announced as SM",
    "sr_unreadable": "a stored report cannot be read: +CMS ERROR: 321",
    "cnmi_mode1": "<mt>=3 or <ds>=1 only with <mode>=1, <mt>=2 only with mode 1 or 2, else ERROR",
    "cnmi_no_mode2": "<mode>=2 is refused though it is advertised",
    "cnmi_ds1_refused": "<ds>=1 is refused with +CMS ERROR: 303",
    "cpms_two": "AT+CPMS takes and shows two storages only",
    "no_ack_pdu": "AT+CNMA takes no acknowledgement PDU",
    "unknown_text": "an unknown command is answered COMMAND NOT SUPPORT without a final result",
    "stray_ok": "an OK comes after the prompt and the result is never told, though the message is sent",
    "missing_ok": "AT+CPIN? is not ended by OK",
    "bare_cms": "+CMS ERROR: without a number",
    "csmp_clears_csca": "AT+CSMP forgets the service centre address",
    "csca_busy_once": "the first AT+CSCA? answers +CME ERROR: 14",
    "cfun_busy_twice": "the first two AT+CFUN=1 answer +CME ERROR: 515",
    "crcrlf": "lines end with CR CR LF",
    "no_prompt_space": "the prompt has no space",
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
    boot: tuple[str, ...] = ("RDY", "+CFUN: 1", "+CPIN: {pin}", "SMS Ready")
    ready: tuple[str, ...] = ()
    """Lines after the SIM became ready."""
    shutdown: tuple[str, ...] = ("NORMAL POWER DOWN",)
    storages: Mapping[str, int] = field(default_factory=lambda: {"SM": 50, "ME": 255, "SR": 20})
    mem1: tuple[str, ...] = ("SM", "ME", "MT", "SR")
    mem2: tuple[str, ...] = ("SM", "ME", "MT")
    mem3: tuple[str, ...] = ("SM", "ME", "MT")
    cpms: tuple[str, str, str] = ("SM", "SM", "SM")
    index_base: int = 1
    cnmi: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)
    cnmi_ranges: str = "(0-3),(0-3),(0,2),(0-2),(0,1)"
    keeps: frozenset[str] = frozenset()
    """What survives a reset: cnmi, cpms, csca."""
    quirks: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    """Commands that it does not have."""
    counters: str = "+CPINR"
    """The command that tells the PIN tries: +CPINR, +QPINC, +SPIC or ^CPIN."""
    says: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Vendor commands with a fixed answer, as typed without AT."""
    reset: tuple[str, ...] = ()
    """Vendor commands that reset, besides AT+CFUN=1,1."""
    power_off: tuple[str, ...] = ()
    storage_full: str = ""
    """The line that tells of a full storage, with {memory}."""
    chatter: tuple[str, ...] = ()
    """Lines of the fault ``flood``."""


_ALL = (
    Persona("generic", reset=("+CRESET",), power_off=("+CPOF", "+CPOWD=1", "+QPOWD=1")),
    Persona(
        "quectel-ec2x",
        manufacturer="Quectel",
        model="EC25",
        revision="EC25EFAR06A08M4G",
        ati=("Quectel", "EC25", "Revision: EC25EFAR06A08M4G"),
        boot=("RDY", "+CFUN: 1", "+CPIN: {pin}"),
        ready=("+QUSIM: 1", "+QIND: SMS DONE", "+QIND: PB DONE"),
        shutdown=("POWERED DOWN",),
        storages={"SM": 50, "ME": 255, "SR": 20},
        cpms=("ME", "ME", "ME"),
        index_base=0,
        cnmi=(2, 1, 0, 0, 0),
        counters="+QPINC",
        says={'+QURCCFG="URCPORT","USBAT"': (), "+QINISTAT": ("+QINISTAT: 7",), '+QINDCFG="ALL"': ()},
        power_off=("+QPOWD", "+QPOWD=1", "+QPOWD=0"),
        storage_full='+QIND: "smsfull","{memory}"',
        chatter=("+QIND: PB DONE",),
    ),
    Persona(
        "simcom-sim7600",
        manufacturer="SIMCOM INCORPORATED",
        model="SIMCOM_SIM7600G-H",
        revision="LE20B03SIM7600G22",
        boot=("RDY", "+CPIN: {pin}"),
        ready=("SMS DONE", "PB DONE"),
        storages={"SM": 50, "ME": 23, "SR": 23},
        cnmi=(2, 1, 0, 0, 0),
        quirks=frozenset({"cnmi_mode1"}),
        keeps=frozenset({"cnmi", "cpms"}),
        counters="+SPIC",
        reset=("+CRESET",),
        power_off=("+CPOF",),
        chatter=("+CNSMOD: 8",),
    ),
    Persona(
        "simcom-a76xx",
        manufacturer="SIMCOM INCORPORATED",
        model="A7670E-LNXY-UBL",
        revision="A7670M7_B02V06_191231",
        boot=("*ATREADY: 1", "+CPIN: {pin}"),
        ready=("SMS DONE", "PB DONE"),
        storages={"SM": 50, "ME": 180, "SR": 0},
        mem1=("SM", "ME"),
        mem2=("SM", "ME"),
        mem3=("SM", "ME"),
        cnmi=(2, 1, 0, 0, 0),
        quirks=frozenset({"cnmi_mode1"}),
        keeps=frozenset({"cnmi", "cpms"}),
        counters="+SPIC",
        reset=("+CRESET",),
        power_off=("+CPOF",),
    ),
    Persona(
        "simcom-2g",
        manufacturer="SIMCOM_Ltd",
        model="SIMCOM_SIM800H",
        revision="Revision:1308B04SIM800H",
        ati=("SIM800 R13.08",),
        boot=("RDY", "+CFUN: 1", "+CPIN: {pin}"),
        ready=("Call Ready", "SMS Ready"),
        storages={"SM": 30, "ME": 10, "SR": 0},
        counters="+SPIC",
        power_off=("+CPOWD=1", "+CPOWD=0"),
        storage_full='+CIEV: "SMSFULL","{memory}"',
    ),
    Persona(
        "huawei-hspa",
        manufacturer="huawei",
        model="E1752",
        revision="11.126.13.00.00",
        ati=(
            "Manufacturer: huawei",
            "Model: E1752",
            "Revision: 11.126.13.00.00",
            "IMEI: {imei}",
            "+GCAP: +CGSM,+DS,+ES",
        ),
        boot=("^SRVST:1",),
        ready=("^SIMST:1",),
        storages={"SM": 20, "ME": 100, "SR": 10},
        index_base=0,
        quirks=frozenset({"unknown_text", "no_ack_pdu"}),
        counters="^CPIN",
        says={"^CURC=0": (), "^CURC=1": (), "^U2DIAG=0": (), "^PORTSEL=1": (), "^PORTSEL=0": ()},
        reset=("^RESET",),
        storage_full='^SMMEMFULL:"{memory}"',
        chatter=("^RSSI:12", "^MODE:5,4", '^HCSQ:"WCDMA",30,30,50'),
    ),
    Persona(
        "zte-usb",
        manufacturer="ZTE INCORPORATED",
        model="K3565-Z",
        revision="BD_P673A2V1.0.0B09",
        boot=("+ZUSIMR:2",),
        ready=('+ZPASR: "UMTS"',),
        storages={"SM": 25, "ME": 100, "SR": 10},
        quirks=frozenset({"cnmi_no_mode2", "cds_comma", "no_ack_pdu", "csmp_clears_csca", "csca_busy_once"}),
        says={"+ZOPRT=5": (), "+ZCDRUN=8": (), "+ZPAS?": ('+BEARTYPE:"UMTS","CS_PS"',)},
        chatter=("+ZUSIMR:2", '+ZPASR: "UMTS"'),
    ),
    Persona(
        "wavecom",
        manufacturer="WAVECOM MODEM",
        model="900E  1800",
        revision="ERROR",
        boot=(),
        storages={"SM": 50, "ME": 0, "SR": 10},
        mem1=("SM", "SR"),
        mem2=("SM",),
        mem3=("SM",),
        quirks=frozenset({"missing_ok", "cpms_two", "cfun_busy_twice"}),
    ),
)
PERSONAS: Final[Mapping[str, Persona]] = {persona.name: persona for persona in _ALL}
assert all(persona.quirks <= QUIRKS.keys() for persona in _ALL)
