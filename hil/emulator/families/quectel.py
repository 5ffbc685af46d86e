"""Quectel: EC2x/EG2x, BG9x, the Cat 1 modules without a Qualcomm chip, and the x06/5G cards."""

from __future__ import annotations

from typing import Final

from hil.emulator.family import Persona
from hil.emulator.shape import ECM, QMI, Interface, Usb, vendor

_ROUTES: Final = {
    '+QURCCFG="URCPORT","USBAT"': "at",
    '+QURCCFG="URCPORT","USBMODEM"': "ppp",
    '+QURCCFG="URCPORT","UART1"': "uart",
    '+QURCCFG="URCPORT","UART2"': "uart",
    '+QURCCFG="URCPORT","ALL"': "all",
}
_ICCID: Final = {"+QCCID": "+QCCID: {iccid}", "+ICCID": "+ICCID: {iccid}", "+CCID": "+CCID: {iccid}"}
_READY: Final = ("+QUSIM: 1", "+QIND: SMS DONE", "+QIND: PB DONE")
_POWER_OFF: Final = ("+QPOWD", "+QPOWD=1", "+QPOWD=0")
_FULL: Final = '+QIND: "smsfull","{memory}"'
_TECHNOLOGY: Final = ('+QCFG="NWSCANMODE"', '+QCFG="IMS"', '+QCFG="SERVICEDOMAIN"')
_ACCEPTS: Final = ("+QINDCFG=", "+QCFG=", "+QSCLK=", "+QGPS", "+QSIMDET", "+QSIMSTAT")


def _usb(pid: str, product: str) -> Usb:
    """DM, NMEA, AT, modem, network; the first and the last are ff/ff/ff as in the EC25's descriptors."""
    interfaces = (Interface(0, "diag", QMI), *vendor("", "nmea", "at", "ppp"), Interface(4, "net", QMI))
    return Usb("2c7c", pid, "Quectel", product, interfaces)


FAMILIES: Final = (
    Persona(
        "quectel-ec2x",
        manufacturer="Quectel",
        model="EC25",
        revision="EC25EFAR06A08M4G",
        ati=("Quectel", "EC25", "Revision: EC25EFAR06A08M4G"),
        boot=("RDY", "+CFUN: 1", "+CPIN: {pin}"),
        ready=_READY,
        shutdown=("POWERED DOWN",),
        boot_seconds=21.0,  # measured on an EG25-G: power key to RDY; the SIM 1 s later
        pwrkey_on_ms=500,
        pwrkey_off_ms=650,
        reset_ms=150,
        usb=_usb("0125", "EC25-E"),
        cpms=("ME", "ME", "ME"),
        index_base=0,
        cnmi=(2, 1, 0, 0, 0),
        quirks=frozenset({"cdsi_lost", "read_empty_ok"}),  # T2: seen on A10M4G, A15 and R08A04
        counters="+QPINC",
        iccid=_ICCID,
        routes=_ROUTES,
        technology=_TECHNOLOGY,
        knows=frozenset({"+QURCCFG"}),
        says={"+QINISTAT": ("+QINISTAT: 7",)},
        accepts=_ACCEPTS,
        power_off=_POWER_OFF,
        storage_full=_FULL,
        chatter=("+QIND: PB DONE",),
    ),
    Persona(
        "quectel-bg9x",
        manufacturer="Quectel",
        model="BG96",
        revision="BG96MAR02A07M1G",
        ati=("Quectel", "BG96", "Revision: BG96MAR02A07M1G"),
        boot=("RDY", "+CFUN: 1", "+CPIN: {pin}"),
        ready=("APP RDY", "+QIND: SMS DONE", "+QIND: PB DONE"),
        shutdown=("POWERED DOWN",),
        boot_seconds=5.0,
        shutdown_seconds=2.0,
        pwrkey_on_ms=500,
        pwrkey_off_ms=650,
        reset_ms=150,  # Zephyr holds it 1000 ms; the module's own minimum is not documented
        usb=Usb("2c7c", "0296", "Quectel", "BG96", vendor("diag", "nmea", "at", "ppp")),
        cpms=("ME", "ME", "ME"),
        index_base=0,
        cnmi=(2, 1, 0, 0, 0),
        counters="+QPINC",
        iccid=_ICCID,
        technology=_TECHNOLOGY,
        says={"+QINISTAT": ("+QINISTAT: 7",)},
        accepts=_ACCEPTS,
        cms={314: 512, 313: 512, 322: 531},
        power_off=_POWER_OFF,
        storage_full=_FULL,
    ),
    Persona(
        "quectel-cat1",
        manufacturer="Quectel",
        model="EC200A",
        revision="EC200AEUHAR01A24M16",
        ati=("Quectel", "EC200A", "Revision: EC200AEUHAR01A24M16"),
        boot=("RDY", "+CFUN: 1", "+CPIN: {pin}"),  # not documented; as the EC25
        ready=("+QUSIM: 1", "+QIND: SMS DONE", "+QIND: PB DONE"),
        shutdown=("POWERED DOWN",),
        boot_seconds=15.0,
        shutdown_seconds=3.0,
        pwrkey_on_ms=2000,
        pwrkey_off_ms=3000,  # EG915U: 2 s off are ignored
        reset_ms=300,  # not documented; Zephyr holds it 500 ms
        # if3 is AT in the EC200T's log; the roles of the other two are not documented. The strings say nothing.
        usb=Usb(
            "2c7c", "6005", "Android", "Android",
            (Interface(0, "net", ECM), Interface(1, "data", ECM), *vendor("", "", "diag", "at", "at2")), "0000",
        ),
        storages={"SM": 15, "ME": 180, "SR": 0},
        mem1=("SM", "ME"),
        mem2=("SM", "ME"),
        mem3=("SM", "ME"),
        index_base=0,
        cnmi=(2, 1, 0, 0, 0),
        csms=1,
        quirks=frozenset({"no_alpha", "me_unreadable"}),  # the A24 firmware
        counters="+QPINC",
        iccid=_ICCID,
        routes=_ROUTES,
        technology=_TECHNOLOGY,
        knows=frozenset({"+QURCCFG"}),
        says={"+CSUB": ("SubEdition: V04",)},
        accepts=_ACCEPTS,
        power_off=_POWER_OFF,
    ),
    Persona(
        "quectel-x06",
        manufacturer="Quectel",
        model="EP06-A",
        revision="EP06ALAR02A07M4G",
        ati=("Quectel", "EP06-A", "Revision: EP06ALAR02A07M4G"),
        boot=("RDY", "+CFUN: 1", "+CPIN: {pin}"),
        ready=_READY,
        shutdown=("POWERED DOWN",),
        boot_seconds=15.0,  # power timings are not documented: those of its sisters
        pwrkey_on_ms=500,
        pwrkey_off_ms=650,
        reset_ms=150,
        usb=_usb("0306", "EP06-A"),
        cpms=("ME", "ME", "ME"),
        index_base=0,
        cnmi=(2, 1, 0, 0, 0),
        quirks=frozenset({"list_refused"}),
        counters="+QPINC",
        iccid=_ICCID,
        routes=_ROUTES,
        technology=_TECHNOLOGY,
        knows=frozenset({"+QURCCFG"}),
        accepts=_ACCEPTS,
        power_off=_POWER_OFF,
        storage_full=_FULL,
    ),
)  # fmt: skip
