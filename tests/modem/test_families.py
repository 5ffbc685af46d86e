"""What a profile says is done: each kind of key, for all families that we ship, on a modem that says it is one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from appliance.errors import SubmitInDoubt, SubmitRefused
from appliance.modem.profile import Quirk, generic, parse, shipped
from appliance.types import ModemState, RetryClass
from tests.modem.desk import ICCID, IMEI, PDU, Bench, Desk, bench, line, run
from tests.modem.test_life import Locked
from tests.modem.test_profile import IDENTITIES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.modem.profile import Profile

STORED = f"0,,30\r\n{PDU}"

COUNTERS: Final[Mapping[str, tuple[str, str]]] = {
    "+CPINR": ("AT+CPINR", "+CPINR: SIM PIN,{},3"),
    "+QPINC": ("AT+QPINC?", '+QPINC: "SC",{},10'),
    "+SPIC": ("AT+SPIC", "+SPIC: {},10,0,10"),
    "^CPIN": ("AT^CPIN?", "^CPIN: SIM PIN,3,10,{},10,3"),
    "+ZPINPUK": ("AT+ZPINPUK=?", "+ZPINPUK: {},10"),
    "+UPINCNT": ("AT+UPINCNT", "+UPINCNT: {},3,10,10"),
    "#PCT": ("AT#PCT", "#PCT: {}"),
    "+CPINC": ("AT+CPINC?", "+CPINC: {},3,10,10"),
    "^SPIC": ("AT^SPIC", "^SPIC: {}"),
}
"""How modems answer (modems.md §11), written down a second time."""


def of(profile: Profile, desk: Desk | None = None) -> Desk:
    """A modem that says that it is of this family, and knows the family's own commands."""
    desk = desk or Desk()
    manufacturer, _, model = IDENTITIES[profile.name][0].partition("/")
    own = (*profile.bringup.init, *profile.power.radio, *profile.sms.bearers)
    desk.plain |= {command.text: line("OK") for command in own}
    desk.plain |= {"AT+CGMI": line(manufacturer, "OK"), "AT+CGMM": line(model, "OK")}
    desk.stores = {name: {} for name in ("ME", "SM")}
    return desk


def given(it: Bench, *texts: str) -> list[str]:
    return [command for command in it.desk.commands if command in texts]


FAMILIES = pytest.mark.parametrize("profile", shipped(), ids=lambda profile: profile.name)


@FAMILIES
def test_it_is_known_by_what_it_says_and_set_up_as_its_family_wants(profile: Profile) -> None:
    async def scenario() -> None:
        async with bench(of(profile)) as it:
            assert it.modem.status.profile == profile.name
            init = [command.text for command in profile.bringup.init if not command.text.endswith("?")]
            assert given(it, *init) == init
            assert f"AT+CSMS={profile.sms.service}" in it.desk.commands
            cnmi = [command for command in it.desk.commands if command.startswith("AT+CNMI=")]
            assert cnmi == ["AT+CNMI=" + ",".join(map(str, profile.sms.cnmi[0]))]
            receiving = next(store for store in profile.sms.stores if store in {"ME", "SM"})
            assert next(c for c in it.desk.commands if c.startswith("AT+CPMS=") and c != "AT+CPMS=?") == (
                f'AT+CPMS="{receiving}","{receiving}","{receiving}"'
            )
            it.desk.tell("RDY") if "RDY" in profile.bringup.boot_urcs else it.desk.hang_up()
            await it.ready(2)
            assert given(it, *init) == init * 2

    run(scenario())


@FAMILIES
def test_a_command_of_its_set_up_that_it_refuses_costs_nothing(profile: Profile) -> None:
    async def scenario() -> None:
        desk = of(profile)
        desk.answers |= {command.text: line("ERROR") for command in profile.bringup.init if "CPMS" not in command.text}
        async with bench(desk) as it:
            assert it.ends == []

    run(scenario())


@FAMILIES
def test_the_cards_number_is_asked_by_its_familys_command_first(profile: Profile) -> None:
    async def scenario() -> None:
        desk = of(profile)
        prefixes = {text: text.removeprefix("AT").removesuffix("?") for text in profile.sim.iccid}
        desk.answers |= {text: line(f"{prefix}: 8944100000000000026", "OK") for text, prefix in prefixes.items()}
        async with bench(desk) as it:
            asked = given(it, *profile.sim.iccid, "AT+CCID", "AT+ICCID")
            assert asked == list(profile.sim.iccid[:1] or ["AT+CCID"])
            assert it.modem.status.iccid == ("8944100000000000026" if profile.sim.iccid else ICCID)

    run(scenario())


@FAMILIES
@pytest.mark.parametrize(("left", "entered"), [(0, 0), (1, 0), (2, 0), (3, 1)])
def test_the_tries_are_counted_by_its_familys_counter(profile: Profile, left: int, entered: int) -> None:
    async def scenario() -> None:
        command, answer = COUNTERS[profile.sim.tries]
        desk = of(profile, Locked(answers={command: line(answer.format(left), "OK")}))
        async with bench(desk, pin="1234", wait=False) as it:
            if entered:
                await it.ready()
            else:
                await asyncio.sleep(300)
                assert it.modem.status.state is ModemState.PIN_REQUIRED
                assert it.host.entries == []  # not even the intent: the try is left for a person
                assert f"has {left} tries" in str(it.modem.status.last_error)
            assert command in it.desk.commands
            assert isinstance(desk, Locked)
            assert desk.entered == entered

    run(scenario())


@FAMILIES
def test_a_counter_that_is_not_known_here_is_no_obstacle_to_the_one_try(profile: Profile) -> None:
    async def scenario() -> None:
        desk = of(profile, Locked())
        async with bench(desk, pin="9999", wait=False) as it:
            await asyncio.sleep(300)
            assert isinstance(desk, Locked)
            assert desk.entered == 1
            assert it.host.entries.count("may try: True") == 1

    run(scenario())


@FAMILIES
def test_asked_to_restart_it_is_given_its_resets_in_order_until_one_is_taken(profile: Profile) -> None:
    async def scenario() -> None:
        resets = [command.text for command in profile.power.resets]
        if not resets:
            return  # that it says so is in test_ending
        desk = of(profile)
        desk.answers |= {text: line("ERROR") for text in resets[:-1]}
        desk.answers[resets[-1]] = line("OK")
        async with bench(desk) as it:
            await it.modem.restart()
            assert given(it, *resets) == resets
            await it.ready(2)
            desk.answers[resets[0]] = line("OK")
            await it.modem.restart()
            assert given(it, *resets) == [*resets, resets[0]]

    run(scenario())


@FAMILIES
def test_silent_it_is_given_all_its_resets_and_the_time_to_start(profile: Profile) -> None:
    class Starting(Desk):
        def _take(self, data: bytes) -> None:
            super()._take(data)
            if self.mute and any(command.text.encode() in data for command in profile.power.resets):
                asyncio.get_running_loop().call_later(profile.bringup.boot_time - 1, setattr, self, "mute", False)

    async def scenario() -> None:
        async with bench(of(profile, Starting())) as it:
            it.desk.mute = True
            resets = [command.text for command in profile.power.resets]
            if resets:
                await it.ready(2)
                assert it.host.taken[-1].name == "reset by command"
                assert it.host.taken[-1].outcome == "helped"
                assert given(it, *resets) == resets
            else:
                await it.host.until(lambda: it.modem.status.state is ModemState.NEEDS_HANDS)
                assert [step.name for step in it.host.taken] == ["re-opening the port"]

    run(scenario())


@FAMILIES
def test_without_a_network_its_radio_is_switched_by_its_own_commands(profile: Profile) -> None:
    async def scenario() -> None:
        off, on = (command.text for command in profile.power.radio)
        async with bench(of(profile)) as it:
            begin = len(it.desk.commands)
            it.desk.answers["AT+CREG?"] = line("+CREG: 0,2", "OK")
            await it.host.until(lambda: it.modem.status.recovery == "radio off and on")
            await asyncio.sleep(5)
            assert [command for command in it.desk.commands[begin:] if command in {off, on}][:2] == [off, on]

    run(scenario())


@FAMILIES
def test_the_prompt_and_the_result_have_its_time(profile: Profile) -> None:
    async def scenario() -> None:
        async with bench(of(profile, Desk(prompt=None))) as it:
            begin = it.now
            with pytest.raises(SubmitRefused) as refused:
                await it.submit()
            assert refused.value.reason.code == "no_prompt"
            assert it.now - begin == pytest.approx(profile.sms.prompt_timeout)
        async with bench(of(profile, Desk(results=[None]))) as it:
            begin = it.now
            with pytest.raises(SubmitInDoubt):
                await it.submit()
            assert it.now - begin == pytest.approx(profile.sms.submit_deadline)

    run(scenario())


CODES = [(profile, number) for profile in shipped() for number in profile.sms.cms]


@pytest.mark.parametrize(("profile", "number"), CODES, ids=lambda value: getattr(value, "name", value))
def test_its_makers_errors_mean_what_its_profile_says(profile: Profile, number: int) -> None:
    async def scenario() -> None:
        async with bench(of(profile, Desk(results=[line(f"+CMS ERROR: {number}")]))) as it:
            retry, words = profile.sms.cms[number]
            with pytest.raises(SubmitInDoubt if retry is RetryClass.IN_DOUBT else SubmitRefused) as caught:
                await it.submit()
            assert caught.value.reason.retry is retry  # type: ignore[attr-defined]
            assert words in caught.value.reason.text  # type: ignore[attr-defined]

    run(scenario())


@FAMILIES
def test_its_lines_that_tell_of_a_start_have_it_set_up_anew(profile: Profile) -> None:
    async def scenario() -> None:
        async with bench(of(profile)) as it:
            for number, urc in enumerate(profile.bringup.boot_urcs, start=2):
                it.desk.tell(urc)
                await it.ready(number)
            assert it.ends == []

    run(scenario())


@FAMILIES
def test_its_lines_that_tell_of_a_storage_have_that_swept(profile: Profile) -> None:
    async def scenario() -> None:
        async with bench(of(profile)) as it:
            for urc in profile.bringup.ready_urcs:
                await asyncio.sleep(20)
                it.desk.stores["SM"][5] = STORED
                begin = it.now
                it.desk.tell(urc)
                await it.host.until(lambda: not it.desk.stores["SM"])
                assert it.now - begin < 1

    run(scenario())


@FAMILIES
def test_its_lines_without_a_prefix_are_nobodys_answer(profile: Profile) -> None:
    async def scenario() -> None:
        desk = of(profile)
        urcs = (*profile.bringup.plain_urcs, *profile.power.off_urcs)
        said = {text: desk.plain[text] for text in ("AT+CGMI", "AT+CGMM")}
        desk.answers |= {text: line(*urcs) + reply for text, reply in said.items()}
        async with bench(desk) as it:
            assert it.modem.status.profile == profile.name
            assert it.modem.status.model == IDENTITIES[profile.name][0].partition("/")[2]

    run(scenario())


@FAMILIES
def test_a_direct_delivery_is_acknowledged_unless_its_family_wants_none(profile: Profile) -> None:
    async def scenario() -> None:
        desk = of(profile)
        desk.answers["AT+CPMS=?"] = line("+CPMS: (),(),()", "OK")
        desk.stores = {}
        async with bench(desk) as it:
            cnmi = [command for command in it.desk.commands if command.startswith("AT+CNMI=")]
            assert cnmi == ["AT+CNMI=" + ",".join(map(str, profile.sms.cnmi_direct[0]))]
            it.desk.tell(f"+CMT: ,30\r\n{PDU}")
            await it.host.until(lambda: it.host.pdus)
            await asyncio.sleep(1)
            assert ("AT+CNMA" in it.desk.commands) is (Quirk.NEVER_CNMA not in profile.quirks)

    run(scenario())


# ------------------------------------------------------------------------------------------------ which one


@FAMILIES
def test_the_one_that_the_settings_name_is_not_changed(profile: Profile) -> None:
    async def scenario() -> None:
        others = [each for each in shipped() if each.name not in {profile.name, "generic"}]
        async with bench(of(others[0]), profile=profile) as it:
            assert it.modem.status.profile == profile.name
            assert it.modem.status.model == IDENTITIES[others[0].name][0].partition("/")[2]

    run(scenario())


@pytest.mark.parametrize(
    "said",
    [
        {"AT+CGMI": line("OK"), "AT+CGMM": line("OK")},
        {"AT+CGMI": line("ERROR"), "AT+CGMM": line("ERROR")},
        {"AT+CGMI": None, "AT+CGMM": None},
        {"AT+CGMI": line("\N{SNOWMAN}" * 100, "OK"), "AT+CGMM": line("(.*", "OK")},
        {"AT+CGMI": line("Quectel", "OK"), "AT+CGMM": line("ERROR")},
    ],
)
def test_what_says_nothing_of_use_is_any_modem(said: dict[str, bytes | None]) -> None:
    async def scenario() -> None:
        async with bench(Desk(answers={**said})) as it:
            assert it.modem.status.profile == "generic"

    run(scenario())


def test_where_two_fit_it_is_any_modem_and_that_is_told() -> None:
    async def scenario() -> None:
        text = '[match]\nmanufacturer = "ACME"\nmodel = "{}.*"\n[bringup]\ninit = ["AT+ONE"]\n'
        one, two = (parse(f'name = "{name}"\n' + text.format("M"), name) for name in ("one", "two"))
        async with bench(profiles=[generic(), one, two]) as it:
            assert it.modem.status.profile == "generic"
            assert "AT+ONE" not in it.desk.commands
            told = [status.last_error for status in it.host.statuses if status.last_error]
            assert any("one, two; exactly one has to match" in error for error in told)

    run(scenario())


def test_another_modem_in_its_place_is_of_its_own_family() -> None:
    async def scenario() -> None:
        known = {profile.name: profile for profile in shipped()}
        text = '[match]\nmanufacturer = "ACME"\nmodel = "{}.*"\n'
        tie = [parse(f'name = "{name}"\n' + text.format("M"), name) for name in ("one", "two")]
        async with bench(of(known["quectel-ec2x"]), profiles=[*shipped(), *tie]) as it:
            for imei, names in {
                "356938035643015": ("huawei-hspa", *IDENTITIES["huawei-hspa"][0].split("/")),
                "356938035643023": ("generic", "ACME", "M1"),  # two fit
                IMEI: ("quectel-ec2x", "Quectel", "EC25"),
            }.items():
                it.desk.plain |= {
                    "AT+CGSN": line(imei, "OK"),
                    "AT+CGMI": line(names[1], "OK"),
                    "AT+CGMM": line(names[2], "OK"),
                }
                it.desk.hang_up()
                await it.host.until(lambda imei=imei: it.modem.status.imei == imei)  # type: ignore[misc]
                await it.host.until(lambda: it.modem.status.state is ModemState.READY)
                assert it.modem.status.profile == names[0]

    run(scenario())


@pytest.mark.parametrize("vanishes", [False, True])
@FAMILIES
def test_a_start_takes_as_long_as_its_family_does(profile: Profile, vanishes: bool) -> None:
    async def scenario() -> None:
        slow = replace(profile, power=replace(profile.power, resets=generic().power.resets))
        desk = Desk(vanishes=vanishes, boots=profile.bringup.boot_time - 1)
        async with bench(desk, profile=slow) as it:
            await it.modem.restart()
            if vanishes:
                it.desk.unplug()
                asyncio.get_running_loop().call_later(profile.bringup.boot_time - 1, it.desk.plug)
            await it.ready(2)
            assert len(it.ends) <= vanishes
            assert it.host.taken == []

    run(scenario())
