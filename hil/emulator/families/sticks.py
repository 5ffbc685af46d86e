"""USB sticks: Huawei HSPA and LTE, ZTE, and the MediaTek and D-Link fall-back class."""

from __future__ import annotations

from typing import Final

from hil.emulator.family import Persona
from hil.emulator.shape import STORAGE, Interface, Usb, vendor

_HUAWEI_ACCEPTS: Final = ("^U2DIAG=", "^SYSCFG", "^CVOICE=", "^DDSETEX=", "^SETPORT=", "^SYSINFO")
_HUAWEI_ROUTES: Final = {"^PORTSEL=0": "at", "^PORTSEL=1": "ppp"}
_HUAWEI_CHATTER: Final = ("^RSSI:12", "^MODE:5,4", '^HCSQ:"WCDMA",30,30,50')

FAMILIES: Final = (
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
        shutdown=(),
        usb=Usb("12d1", "1001", "HUAWEI Technology", "HUAWEI Mobile",
                (*vendor("ppp", "log", "at", kind=(0xFF, 0xFF, 0xFF)), Interface(3, "storage", STORAGE)), ""),
        storages={"SM": 20, "ME": 100, "SR": 10},
        index_base=0,
        quirks=frozenset({"unknown_text", "no_ack_pdu"}),
        counters="^CPIN",
        iccid={"^ICCID?": "^ICCID: {iccid}"},
        ussd="packed",
        routes=_HUAWEI_ROUTES,
        technology=("^SYSCFG=",),
        says={"^CURC=0": (), "^CURC=1": ()},
        accepts=_HUAWEI_ACCEPTS,
        reset=("^RESET",),
        storage_full='^SMMEMFULL:"{memory}"',
        chatter=_HUAWEI_CHATTER,
        hush=("^CURC=0",),
    ),
    Persona(
        "huawei-lte",
        manufacturer="huawei",
        model="E3372",
        revision="21.200.07.00.00",  # stick firmware is 21.xxx
        ati=("Manufacturer: huawei", "Model: E3372", "Revision: 21.200.07.00.00", "IMEI: {imei}",
             "+GCAP: +CGSM,+DS,+ES"),
        boot=("^SRVST:2",),
        ready=("^SIMST:1",),
        shutdown=(),
        boot_seconds=20.0,  # not documented
        # modem, network, diagnosis, PCUI by class ff/02/01, 16, 03, 02; AT on if3 as chan_dongle has it
        usb=Usb("12d1", "1506", "HUAWEI_MOBILE", "HUAWEI_MOBILE",
                (Interface(0, "ppp", (0xFF, 2, 1)), Interface(1, "net", (0xFF, 2, 0x16)),
                 Interface(2, "diag", (0xFF, 2, 3)), Interface(3, "at", (0xFF, 2, 2))), ""),
        storages={"SM": 20, "ME": 100, "SR": 0},
        mem1=("SM", "ME"),
        mem2=("SM", "ME"),
        mem3=("SM", "ME"),
        index_base=0,
        quirks=frozenset({"unknown_text", "no_ack_pdu", "cpms_three"}),
        counters="^CPIN",
        iccid={"^ICCID?": "^ICCID: {iccid}"},
        routes=_HUAWEI_ROUTES,
        technology=("^SYSCFGEX=",),
        says={"^CURC=0": (), "^CURC=1": (), "^SETPORT?": ("^SETPORT:FF;10,12,13,16,A1,A2",)},
        accepts=(*_HUAWEI_ACCEPTS, "^SYSCFGEX="),
        reset=("^RESET",),
        storage_full='^SMMEMFULL:"{memory}"',
        chatter=('^HCSQ:"LTE",40,39,71,14', "^RSSI:18"),
        hush=("^CURC=0",),
    ),
    Persona(
        "zte-usb",
        manufacturer="ZTE INCORPORATED",
        model="K3565-Z",
        revision="BD_P673A2V1.0.0B09",
        boot=("+ZUSIMR:2",),
        ready=('+ZPASR: "UMTS"',),
        shutdown=(),
        usb=Usb("19d2", "0031", "ZTE,Incorporated", "ZTE WCDMA Technologies MSM",
                (*vendor("diag", "at2", "", "at", kind=(0xFF, 0xFF, 0xFF)), Interface(2, "storage", STORAGE)),
                "1234567890ABCDEF"),
        storages={"SM": 25, "ME": 100, "SR": 10},
        quirks=frozenset({"cnmi_no_mode2", "cds_comma", "no_ack_pdu", "csmp_clears_csca", "csca_busy_once",
                          "sim_busy_after_pin"}),
        counters="+ZPINPUK",
        iccid={"+ZGETICCID": "+ZGETICCID: {iccid}"},  # not documented; from what such sticks are known to have
        technology=("+ZSNT=",),
        says={"+ZOPRT=5": (), "+ZCDRUN=8": (), "+ZPAS?": ('+BEARTYPE:"UMTS","CS_PS"',)},
        accepts=("+ZOPRT=", "+ZSNT="),
        chatter=("+ZUSIMR:2", '+ZPASR: "UMTS"'),
        hush=("+CPMS?",),
    ),
    Persona(
        "mtk-sticks",
        manufacturer="D-Link",  # identity strings are not documented
        model="DWM-156",
        revision="DWM-156_A7",
        boot=("+CPIN: {pin}",),  # not documented: plain
        shutdown=(),
        usb=Usb("2001", "7e35", "D-Link,Inc", "D-Link DWM-222", vendor("log", "at", "at2", "log"), ""),
        storages={"SM": 20, "ME": 0, "SR": 60},
        mem1=("SM", "SR"),
        mem2=("SM", "ME"),
        mem3=("SM",),
        cnmi_ranges="(0-2),(0-1),(0-3),(0,2),(0-1)",
        cnmi_accepts="(0-2),(0-1),(0-3),(0,2),(0-1)",
        quirks=frozenset({"sr_cmgr_only"}),
    ),
)  # fmt: skip
