"""What is told about a port, for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import PortGone
from appliance.modem.examine import examine
from tests.modem.desk import IMEI, Desk, line, run

if TYPE_CHECKING:
    from appliance.modem.port import Port


@pytest.mark.parametrize(
    ("desk", "fine", "told"),
    [
        (Desk(), True, f"ACME M1, IMEI {IMEI}; SIM ready; registered (home); signal -73 dBm"),
        (Desk(mute=True), False, "nothing answers AT"),
        (Desk(answers={"AT+CPIN?": line("+CPIN: SIM PIN", "OK")}), False, "SIM: SIM PIN"),
        (Desk(answers={"AT+CPIN?": line("+CME ERROR: 10")}), False, "SIM: no SIM"),
        (Desk(answers={"AT+CREG?": line("+CREG: 0,3", "OK")}), False, "not registered (denied, not registered)"),
        (Desk(answers={"AT+CSQ": None}), False, "no answer to AT+CSQ"),
    ],
)
def test_what_is_at_a_port_is_told_in_words(desk: Desk, fine: bool, told: str) -> None:
    async def scenario() -> None:
        async def opened(_: str) -> Port:
            return await desk.open()

        finding = await examine("desk", opened=opened)
        assert (finding.port, finding.fine) == ("desk", fine)
        assert told in finding.words
        assert desk.wire is not None
        assert desk.wire.gone.done()
        changed = ("AT+CPIN=", "AT+CMGL", "AT+CMGR", "AT+CMGD", "AT+CMGS", "AT+CFUN")
        assert not [command for command in desk.commands if command.startswith(changed)]

    run(scenario())


def test_a_port_that_is_taken_is_told() -> None:
    async def scenario() -> None:
        async def opened(name: str) -> Port:
            raise PortGone(f"{name}: busy")

        finding = await examine("desk", opened=opened)
        assert not finding.fine
        assert "busy" in finding.words

    run(scenario())
