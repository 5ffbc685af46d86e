"""The shipped Node-RED flow, imported as it is into a real Node-RED: it sends, it receives, it tells what became of it.

Only what a user sets is set here too (the broker's port), and the debug nodes also write to the log, where a test can
read them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from hil.nodered import FLOW, NodeRed, missing
from hil.rig import Rig, rig
from hil.rig.bundled import Bundled, rig_on

if TYPE_CHECKING:
    from pathlib import Path

    from hil.rig.hub import Settings

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.timeout(120),
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
]

NUMBER = "+447700900123"
"""The one that the flow has."""


UNASSIGNED = 1
"""+CMS ERROR of a number that nobody has: it is not tried again."""


def flow(port: int, **broker: Any) -> list[dict[str, Any]]:
    """The shipped nodes, for a broker on this port."""
    nodes: list[dict[str, Any]] = json.loads(FLOW.read_text(encoding="utf-8"))
    for node in nodes:
        match node["type"]:
            case "mqtt-broker":
                node |= {"broker": "127.0.0.1", "port": str(port), **broker}
            case "debug":
                node["console"] = True
    return nodes


def button(name: str) -> str:
    """The id of the inject node of this name."""
    nodes = json.loads(FLOW.read_text(encoding="utf-8"))
    (found,) = (node["id"] for node in nodes if node["type"] == "inject" and node["name"] == name)
    return str(found)


def complaints(red: NodeRed) -> list[str]:
    """Warnings and errors of its flow; two of Node-RED's own about its settings are none."""
    known = ("Projects disabled", "unencrypted credentials")
    lines = (line for line in red.child.lines.items if "[warn]" in line or "[error]" in line or "missing types" in line)
    return [line for line in lines if not any(word in line for word in known)]


async def debugged(red: NodeRed, node: str, *words: str, start: int = 0) -> None:
    """Wait until a debug node has shown something with all these words; it is several lines of the log."""

    def shown(lines: list[str]) -> bool:
        whole = "\n".join(lines[start:]).split(" - [")
        return any(f"[debug:{node}]" in each and all(word in each for word in words) for each in whole)

    await red.child.lines.until(shown, f"{words} of the debug node {node}")


async def sends(red: NodeRed) -> None:
    """One text; from then on its subscriptions surely stand: they are before it on the same connection."""
    await red.press(button("a text"))
    await debugged(red, "state", "state: 'delivered'", f"to: '{NUMBER}'")


async def sends_and_receives(whole: Rig, red: NodeRed) -> None:
    await sends(red)
    assert whole.modems.texts() == [(NUMBER, "Hello from Node-RED")]
    await red.press(button("a plain string"))
    await whole.observer.heard.until(
        lambda _: list(whole.observer.ended().values()) == ["delivered"] * 2, "both delivered"
    )
    assert whole.modems.texts()[1:] == [(NUMBER, "Hello from a string")]
    await whole.modems.deliver(whole.modems.all[0], "Grüße an Node-RED", sender=NUMBER)
    await debugged(red, "received", "text: 'Grüße an Node-RED'", f"from: '{NUMBER}'")


async def test_the_shipped_flow_sends_and_receives(place: Path) -> None:
    async with rig(place) as whole, NodeRed(place / "red", flow(whole.broker.port)) as red:
        await sends_and_receives(whole, red)
        assert complaints(red) == []


async def test_what_comes_while_node_red_is_away_is_told_when_it_is_back(place: Path) -> None:
    async with rig(place) as whole, NodeRed(place / "red", flow(whole.broker.port)) as red:
        await sends(red)
        await red.stop()
        await whole.modems.deliver(whole.modems.all[0], "while you were away", sender=NUMBER)
        await whole.observer.until_heard("received")
        await red.start()
        await debugged(red, "received", "text: 'while you were away'")


async def test_what_is_refused_or_fails_is_shown(place: Path) -> None:
    async with rig(place) as whole, NodeRed(place / "red", flow(whole.broker.port)) as red:
        await sends(red)
        await whole.observer.publish("send", {"to": "+49301234567", "text": "abroad"})
        await debugged(red, "refused", "destination_not_allowed")
        await whole.modems.do("set", imsi=whole.modems.all[0].imsi, submit_errors=[UNASSIGNED])
        await red.press(button("a text"))
        await red.child.line(lambda line: f"The text to {NUMBER} is failed" in line, "warning")


async def test_the_flow_on_the_bundled_broker(place: Path) -> None:
    """With the name and password of an account that may send and read the inbox, and no more."""
    bundled = Bundled(place / "bundled")
    bundled.directory.mkdir()
    await bundled.init()
    await bundled.must("account", "node-red", "send", "inbox")
    await bundled.must("account", "observer", "homeassistant")
    nodes = flow(bundled.local)
    (broker,) = (node["id"] for node in nodes if node["type"] == "mqtt-broker")
    name, password = bundled.login("modemhub")
    settings: Settings = {"mqtt": {"username": name, "password": password}}
    user = dict(zip(("user", "password"), bundled.login("node-red"), strict=True))
    async with (
        bundled,
        rig_on(bundled, place, mqtt=f"mqtt://127.0.0.1:{bundled.local}", settings=settings) as whole,
        NodeRed(place / "red", nodes, credentials={broker: user}) as red,
    ):
        await sends_and_receives(whole, red)
        assert complaints(red) == []
