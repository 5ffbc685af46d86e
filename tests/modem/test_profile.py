"""Profiles: every file is whole, no two say the same modem, every wrong key is named, every quirk has its branch."""

from __future__ import annotations

import itertools
import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from appliance.at.answers import PIN_COUNTERS
from appliance.at.dialogue import Command
from appliance.errors import SettingsError
from appliance.modem.profile import (
    Profile,
    Quirk,
    at_interfaces,
    choose,
    for_usb,
    generic,
    parse,
    role_of,
    shipped,
)
from appliance.types import RetryClass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parents[2]
LEAST = 'name = "x"\n[match]\nmanufacturer = "x"\nmodel = "y"\n'

# ------------------------------------------------------------------------------------------------ all files


@pytest.mark.parametrize("profile", shipped(), ids=lambda profile: profile.name)
def test_every_file_is_whole(profile: Profile) -> None:
    """That it parses, that no key is unknown and that its expressions, ids and commands are ones, ``shipped`` says."""
    assert profile.evidence
    assert all(line.strip() for line in profile.evidence)
    assert (profile.match.rank == 0) == (profile.name == "generic")
    ports = profile.ports
    ids = [*(usb.id for usb in ports.usb), *ports.storage, *ports.router]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", usb_id) for usb_id in ids)
    assert ports.baud[0] == 115200
    assert profile.sim.tries in PIN_COUNTERS
    assert 3 <= profile.bringup.boot_time <= 60
    sms = profile.sms
    assert sms.cnmi
    assert sms.cnmi_direct
    assert len(set(sms.cnmi)) == len(sms.cnmi)
    assert all(setting[1] == 1 for setting in sms.cnmi), "a storage's indications are +CMTI"
    assert all(setting[1] == 2 for setting in sms.cnmi_direct), "without a storage it is +CMT"
    assert "SM" in sms.stores
    assert 40 < sms.submit_deadline <= 300
    assert all(number >= 512 for number in sms.cms), "below, the numbers are the standard's"


def test_the_names_are_those_of_the_files_and_sources_are_told() -> None:
    folder = files("appliance.modem").joinpath("profiles")
    readme = folder.joinpath("README.md").read_text(encoding="utf-8")
    keys = set(re.findall(r"[A-Z0-9]+", " ".join(re.findall(r"^\| ([A-Z0-9, ]+) \|", readme, re.MULTILINE))))
    for profile in shipped():
        assert folder.joinpath(f"{profile.name}.toml").is_file()
        for line in profile.evidence:
            for source in re.findall(r"\[([^\]]*)\]", line):
                for part in source.split("; "):
                    key = re.split(r"[: ]", part)[0]
                    assert key in keys, f"{profile.name}: {part!r} is no known source"


# ------------------------------------------------------------------------------------------------ which modem

IDENTITIES: Final[Mapping[str, tuple[str, ...]]] = {
    "quectel-ec2x": (
        *("Quectel/EC25", "Quectel/EC21", "Quectel/EG25", "Quectel/EG25-G", "Quectel/EG91", "Quectel/EG95"),
        *("Quectel/EM05", "Quectel/EC20F"),
    ),
    "quectel-bg9x": ("Quectel/BG96", "Quectel/BG95-M3"),
    "quectel-cat1": (
        *("Quectel/EC200U", "Quectel/EC200T", "Quectel/EC200A", "Quectel/EC200S", "Quectel/EG912Y", "Quectel/EG915U"),
        *("Quectel/EG916Q", "Quectel/EG800K"),
    ),
    "quectel-x06": (
        *("Quectel/EP06", "Quectel/EM06", "Quectel/EG06", "Quectel/EG12", "Quectel/EM12", "Quectel/EM060K-GL"),
        *("Quectel/RM500Q-GL", "Quectel/RM520N-GL", "Quectel/EG18"),
    ),
    "simcom-sim7600": (
        *("SIMCOM INCORPORATED/SIMCOM_SIM7600G-H", "SIMCOM INCORPORATED/SIMCOM_SIM7500E"),
        *("SIMCOM INCORPORATED/SIMCOM_SIM7100E",),
    ),
    "simcom-a76xx": (
        *("SIMCOM INCORPORATED/A7670E-LNXY-UBL", "SIMCOM INCORPORATED/SIM7670G-MNGV", "SIMCOM INCORPORATED/A7600E-H"),
        *("SIMCOM INCORPORATED/A7608SA-H", "SIMCOM INCORPORATED/SIM7672G"),
    ),
    "simcom-sim7070": ("SIMCOM_Ltd/SIMCOM_SIM7070", "SIMCOM_Ltd/SIMCOM_SIM7080", "SIMCOM_Ltd/SIMCOM_SIM7090"),
    "simcom-sim7000": ("SIMCOM_Ltd/SIMCOM_SIM7000E", "SIMCOM_Ltd/SIMCOM_SIM7000G"),
    "simcom-2g": (
        *(
            "SIMCOM_Ltd/SIMCOM_SIM800H",
            "SIMCOM_Ltd/SIMCOM_SIM868",
            "SIMCOM_Ltd/SIMCOM_SIM900",
            "SIMCOM_Ltd/SIMCOM_SIM808",
        ),
    ),
    "simcom-5g": (
        *(
            "SIMCOM INCORPORATED/SIMCOM_SIM8200EA-M2",
            "SIMCOM INCORPORATED/SIM8262E-M2",
            "SIMCOM INCORPORATED/SIM8202G-M2",
        ),
    ),
    "huawei-hspa": (
        *(
            "huawei/E1752",
            "huawei/K3715",
            "huawei/E1750",
            "huawei/E173",
            "HUAWEI/E3131",
            "huawei/E3531",
            "huawei/MU609",
        ),
    ),
    "huawei-lte": ("huawei/E3372", "huawei/E3276", "huawei/E392", "huawei/E3372h-325", "huawei/K5160"),
    "zte-usb": (
        *("ZTE INCORPORATED/K3565-Z", "QUALCOMM INCORPORATED/M6280", "ZTE CORPORATION/MF190", "ZTE INCORPORATED/MF823"),
        *("ZTE INCORPORATED/MF626",),
    ),
    "ublox-3g": (
        *("u-blox/SARA-U201", "u-blox/LISA-U200", "u-blox/TOBY-L200", "u-blox/LARA-R211", "u-blox/SARA-G350"),
        *("u-blox/TOBY-R200", "u-blox/TOBY-L4106"),
    ),
    "ublox-lte": (
        *(
            "u-blox/SARA-R410M-02B",
            "u-blox/SARA-R510S",
            "u-blox/LARA-R6001",
            "u-blox/LARA-L6004",
            "u-blox/LEXI-R10401D",
        ),
    ),
    "telit-le910": ("Telit/LE910C1-EU", "Telit/ME910C1-E1", "Telit/HE910", "Telit/FN980", "Telit/LE910Q1"),
    "sierra-mc74xx": (
        *("Sierra Wireless, Incorporated/MC7455", "Sierra Wireless, Incorporated/EM7565"),
        *("Sierra Wireless, Incorporated/EM7455", "Sierra Wireless/HL7812", "Sierra Wireless/RC7611"),
    ),
    "cinterion": (
        *("Cinterion/PLS8-E", "Cinterion/EHS6", "Cinterion/MC75i", "Gemalto M2M/ELS61-E", "THALES/PLS63-W"),
        *("SIEMENS/TC35i", "Cinterion/PHS8-P"),
    ),
    "mtk-sticks": ("MTK1/MTK2", "D-Link/DWM-156", "D-Link/DWM-222"),
    "wavecom": ("WAVECOM MODEM/900E  1800", "WAVECOM MODEM/MULTIBAND  900E  1800"),
    "generic": ("Emulated/EMU-1", "/", "Nokia/Nokia 6310i", "QUALCOMM INCORPORATED/1", "Sierra Wireless/SL8084"),
}
"""``manufacturer/model`` as AT+CGMI and AT+CGMM answer, or as the maker names them where no session is published."""


@pytest.mark.parametrize(
    ("identity", "name"), [(identity, name) for name, known in IDENTITIES.items() for identity in known]
)
def test_a_modem_gets_its_profile(identity: str, name: str) -> None:
    manufacturer, _, model = identity.partition("/")
    assert choose(shipped(), manufacturer, model).name == name


def test_every_profile_has_an_identity_above() -> None:
    assert {profile.name for profile in shipped()} == set(IDENTITIES)


def test_no_tie_for_any_manufacturer_with_any_model() -> None:
    profiles = shipped()
    known = [identity.partition("/") for known in IDENTITIES.values() for identity in known]
    known += [(persona.manufacturer, "/", persona.model) for persona in personas()]
    for manufacturer, model in itertools.product({who for who, _, _ in known}, {what for _, _, what in known}):
        choose(profiles, manufacturer, model)


class _Persona:
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.manufacturer, self.model = (
            found[1] if (found := re.search(rf'^\s+{key}="([^"]*)"', text, re.MULTILINE)) else ""
            for key in ("manufacturer", "model")
        )


def personas() -> Iterator[_Persona]:
    """The emulator's modems, read as text: tests import nothing of hil."""
    files = sorted((ROOT / "hil" / "emulator" / "families").glob("*.py"))
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    parts = re.split(r'\bPersona\(\s*"([^"]+)"', text)
    yield from map(_Persona, parts[1::2], parts[2::2])


def test_an_emulated_modem_of_a_family_gets_the_profile_of_that_name() -> None:
    found = list(personas())
    assert len(found) >= 20
    names = {profile.name for profile in shipped()}
    for persona in found:
        chosen = choose(shipped(), persona.manufacturer, persona.model).name
        assert persona.name not in names or chosen == persona.name


def test_a_tie_is_an_error_and_no_answer_is_generic() -> None:
    one = parse(LEAST, "one.toml")
    with pytest.raises(SettingsError, match="x, x; exactly one"):
        choose((one, one, generic()), "X", "Y")
    assert choose((one, generic()), "x", "y") is one
    assert choose((one, generic()), None, None) == generic()
    assert choose(shipped(), "Quectel\n", " EC25 ").name == "quectel-ec2x"


# ------------------------------------------------------------------------------------------------ ports


@pytest.mark.parametrize(
    ("usb_id", "interfaces", "at"),
    [
        ("2c7c:0125", {0: "ff/ff/ff", 1: "ff/00/00", 2: "ff/00/00", 3: "ff/00/00", 4: "ff/ff/ff"}, (2, 3)),
        ("2c7c:0125", {0: "ff/ff/ff", 2: "ff/00/00"}, (2,)),
        ("1e0e:9001", {2: "ff/ff/ff", 3: "ff/ff/ff"}, (2, 3)),
        ("1e0e:9011", {2: "ff/ff/ff", 4: "ff/ff/ff"}, (4,)),
        ("12d1:1506", {0: "ff/02/01", 1: "ff/02/02", 2: "ff/02/03"}, (1, 0)),
        ("12d1:1506", {0: "ff/02/01", 1: "ff/02/02", 3: "ff/02/03"}, (1, 0)),
        ("12d1:1506", {2: "ff/ff/ff", 3: "ff/ff/ff"}, (3,)),
        ("12d1:1506", {0: "FF/01/31", 1: "FF/01/32"}, (1, 0)),
        ("12d1:140c", {2: "ff/ff/ff", 3: "ff/ff/ff"}, (3,)),
        ("12d1:1406", {0: "ff/ff/ff", 1: "ff/ff/ff"}, ()),
        ("19d2:0117", {0: "ff/ff/ff", 1: "ff/ff/ff", 2: "ff/ff/ff"}, (2, 1)),
        ("2c7c:0901", {2: "ff/00/00", 3: "ff/00/00"}, ()),
        ("0403:6001", {0: "ff/ff/ff"}, ()),
        ("2c7c:0125", {}, ()),
    ],
)
def test_the_interfaces_that_speak_at(usb_id: str, interfaces: Mapping[int, str], at: tuple[int, ...]) -> None:
    assert at_interfaces(shipped(), usb_id, interfaces) == at


def test_an_id_says_the_mode_and_who_may_have_it() -> None:
    profiles = shipped()
    assert role_of(profiles, "2c7c:0125") == "modem"
    assert role_of(profiles, "12d1:1003") == "modem"
    assert role_of(profiles, "12d1:1446") == "storage"
    assert role_of(profiles, "12d1:14dc") == "router"
    assert role_of(profiles, "0403:6001") is None
    assert [profile.name for profile in for_usb(profiles, "12d1:1506")] == ["huawei-hspa", "huawei-lte"]
    assert for_usb(profiles, "12d1:1446") == ()


def test_no_id_has_two_modes() -> None:
    """An id with AT ports in one family and without in another would be claimed, and its sticks never be switched."""
    profiles = shipped()
    modems = {usb.id for profile in profiles for usb in profile.ports.usb}
    storage = {usb_id for profile in profiles for usb_id in profile.ports.storage}
    router = {usb_id for profile in profiles for usb_id in profile.ports.router}
    assert not modems & storage
    assert not modems & router
    assert not storage & router


# ------------------------------------------------------------------------------------------------ values


def named(name: str) -> Profile:
    return next(profile for profile in shipped() if profile.name == name)


def test_what_is_known_not_to_work_is_not_tried() -> None:
    assert all(setting[3:4] != (2,) for setting in named("quectel-ec2x").sms.cnmi), "reports of ds=2 cannot be read"
    assert (2, 1, 0, 1, 0) not in named("simcom-sim7070").sms.cnmi
    for name in ("simcom-sim7600", "simcom-a76xx", "simcom-sim7000", "simcom-sim7070"):
        sms = named(name).sms
        for setting in (*sms.cnmi, *sms.cnmi_direct):
            assert setting[3:4] != (1,) or setting[0] == 1, f"{name}: ds=1 needs mode=1"
    assert named("quectel-cat1").sms.stores[:2] == ("SM", "ME")
    assert named("zte-usb").power.resets == ()
    assert not any(line.startswith("^BOOT") for line in named("huawei-hspa").bringup.boot_urcs)


def test_a_deadline_is_longer_than_what_the_manual_allows() -> None:
    manuals = {"quectel-ec2x": 120, "quectel-bg9x": 120, "simcom-sim7070": 60, "simcom-sim7000": 60, "simcom-a76xx": 40}
    for profile in shipped():
        deadline = profile.sms.submit_deadline
        assert deadline >= manuals[profile.name] + 30 if profile.name in manuals else deadline == 300


def test_what_is_left_away_is_as_in_the_generic_profile() -> None:
    profile = parse(LEAST, "x.toml")
    whole = generic()
    assert profile.match.rank == 1
    assert (profile.ports, profile.bringup, profile.sim) == (whole.ports, whole.bringup, whole.sim)
    assert (profile.sms, profile.ussd, profile.power) == (whole.sms, whole.ussd, whole.power)
    assert profile.quirks == frozenset()
    other = parse(LEAST + "[sms]\nservice = 1\n", "x.toml").sms
    assert (other.service, other.cnmi) == (1, whole.sms.cnmi)


def test_the_keys_of_a_family() -> None:
    profile = parse(
        LEAST
        + """
        [ports]
        usb = [{ id = "2c7c:0125", at = [2, 3], model = "EC25" }, { id = "2c7c:0901" }]
        at_class = ["ff/01/02"]
        storage = ["12d1:1446"]
        router = ["12d1:14dc"]
        baud = [9600]
        [bringup]
        boot_time = 30
        [sim]
        tries = "#PCT"
        iccid = ["AT#CCID"]
        [sms]
        bearers = ["AT+CGSMS=3"]
        [ussd]
        packed = true
        dcs = 0
        [power]
        resets = []
        radio = ["AT+A", "AT+B"]
        off = "AT+C"
        off_urcs = ["BYE"]
        """,
        "x.toml",
    )
    assert [(usb.id, usb.at, usb.model) for usb in profile.ports.usb] == [
        ("2c7c:0125", (2, 3), "EC25"),
        ("2c7c:0901", (), ""),
    ]
    assert (profile.ports.at_class, profile.ports.storage, profile.ports.router, profile.ports.baud) == (
        ("ff/01/02",),
        ("12d1:1446",),
        ("12d1:14dc",),
        (9600,),
    )
    assert (profile.bringup.boot_time, profile.sim.tries, profile.sim.iccid) == (30, "#PCT", ("AT#CCID",))
    assert profile.sms.bearers == (Command("AT+CGSMS=3"),)
    assert (profile.ussd.packed, profile.ussd.dcs) == (True, 0)
    power = profile.power
    assert (power.resets, power.radio, power.off, power.off_urcs) == (
        (),
        (Command("AT+A"), Command("AT+B")),
        Command("AT+C"),
        ("BYE",),
    )


def test_the_generic_profile_waits_long_enough_for_the_network() -> None:
    sms = generic().sms
    assert (sms.prompt_timeout, sms.submit_deadline, sms.service) == (10, 300, 0)
    assert sms.cnmi[0] == (2, 1, 0, 1, 0)
    assert generic().quirks == frozenset()


def test_vendor_numbers() -> None:
    profile = parse(LEAST + '[sms.cms]\n513 = ["retry_later", "too long in the air"]\n', "x.toml")
    assert profile.sms.cms[513] == (RetryClass.RETRY_LATER, "too long in the air")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("colour = 1\n" + LEAST, "x.toml: colour: is not known"),
        (LEAST + "[sms]\ncnmii = []\n", "x.toml: sms.cnmii: is not known"),
        (LEAST + "[sms]\ncnmi = [[2, 9]]\n", "x.toml: sms.cnmi:"),
        (LEAST + "[sms]\ncnmi = [[true]]\n", "x.toml: sms.cnmi:"),
        (LEAST + '[sms]\nstores = ["XX"]\n', "x.toml: sms.stores: 'XX'"),
        (LEAST + "[sms]\nsubmit_deadline = 1\n", "x.toml: sms.submit_deadline:"),
        (LEAST + '[sms]\nservice = "1"\n', "x.toml: sms.service:"),
        (LEAST + '[sms.cms]\n513 = "later"\n', "x.toml: sms.cms:"),
        (LEAST + '[sms.cms]\nx = ["retry_later", "y"]\n', "x.toml: sms.cms:"),
        (LEAST + '[bringup]\ninit = ["AT\\rAT"]\n', "x.toml: bringup.init:"),
        (LEAST + '[bringup]\nboot_urcs = [""]\n', "x.toml: bringup.boot_urcs:"),
        (LEAST + "[ports]\nat = 2\n", "x.toml: ports.at: is not known"),
        (LEAST + "[power]\npin = 4\n", "x.toml: power.pin: is not known"),
        (LEAST + '[power]\nradio = ["AT"]\n', "x.toml: power.radio: must be two"),
        (LEAST + '[power]\noff = "AT\\r"\n', "x.toml: power.off:"),
        (LEAST + "[power]\nresets = 1\n", "x.toml: power.resets:"),
        (LEAST + '[ports]\nusb = [{ id = "2C7C:0125" }]\n', "x.toml: ports.usb[0].id:"),
        (LEAST + '[ports]\nusb = [{ id = "2c7c:0125", tty = 1 }]\n', "x.toml: ports.usb[0].tty: is not known"),
        (LEAST + '[ports]\nusb = [{ id = "2c7c:0125", at = [true] }]\n', "x.toml: ports.usb[0].at:"),
        (LEAST + '[ports]\nusb = [{ id = "2c7c:0125", at = [99] }]\n', "x.toml: ports.usb[0].at:"),
        (LEAST + '[ports]\nusb = ["2c7c:0125"]\n', "x.toml: ports.usb: must be a list of tables"),
        (LEAST + '[ports]\nusb = [{ id = "2c7c:0125" }]\nstorage = ["2c7c:0125"]\n', "is there twice"),
        (LEAST + '[ports]\nrouter = ["x"]\n', "x.toml: ports.router:"),
        (LEAST + '[ports]\nat_class = ["255/1/2"]\n', "x.toml: ports.at_class:"),
        (LEAST + '[ports]\nbaud = ["9600"]\n', "x.toml: ports.baud:"),
        (LEAST + "[ports]\nbaud = []\n", "x.toml: ports.baud: is empty"),
        (LEAST + '[sim]\ntries = "+XYZ"\n', "x.toml: sim.tries: '+XYZ'"),
        (LEAST + '[sim]\niccid = [""]\n', "x.toml: sim.iccid:"),
        (LEAST + "[ussd]\npacked = 1\n", "x.toml: ussd.packed: must be true or false"),
        (LEAST + "[ussd]\ndcs = 256\n", "x.toml: ussd.dcs:"),
        (LEAST + "[bringup]\nboot_time = 0\n", "x.toml: bringup.boot_time:"),
        ('name = "x"\n[match]\nmanufacturer = "("\nmodel = "y"\n', "x.toml: match.manufacturer:"),
        (LEAST + "rank = true\n", "x.toml: match.rank:"),
        ('quirks = ["odd"]\n' + LEAST, "x.toml: quirks: 'odd'"),
        ("[match]\n", "x.toml: name: is missing"),
        ("= 1", "x.toml:"),
        ("sms = 1\n" + LEAST, "x.toml: sms: must be a table"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(text: str, named: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(text, "x.toml")
    assert named in str(caught.value)


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse("a = 1\nb = 2\n" + LEAST, "x.toml")
    assert len(str(caught.value).splitlines()) == 2


# ------------------------------------------------------------------------------------------------ quirks

QUIRK_TESTS: Final = {Quirk.NEVER_CNMA: "test_a_modem_that_wants_no_acknowledgement_gets_none"}
"""The test that fails without the branch."""

QUIRK_PERSONAS: Final = {Quirk.NEVER_CNMA: "auto_ack"}
"""What the emulated families that behave so are said to do."""


@pytest.mark.parametrize("quirk", Quirk)
def test_a_quirk_has_a_profile_a_persona_one_branch_in_the_driver_and_a_test(quirk: Quirk) -> None:
    assert any(quirk in profile.quirks for profile in shipped())
    source = "".join(
        file.read_text(encoding="utf-8")
        for file in files("appliance.modem").iterdir()
        if file.name.endswith(".py") and file.name != "profile.py"
    )
    assert source.count(f"Quirk.{quirk.name}") == 1
    tests = "".join(file.read_text(encoding="utf-8") for file in Path(__file__).parent.glob("test_*.py"))
    families = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "hil" / "emulator" / "families").glob("*.py")
    )
    assert re.search(rf'quirks=frozenset\(\{{[^}}]*"{QUIRK_PERSONAS[quirk]}"', families)
    assert re.search(rf"^(async )?def {QUIRK_TESTS[quirk]}\(", tests, re.MULTILINE)
