"""The clients of a device in its house: by HTTPS, and by the broker that runs on it. They do not ask whose it is.

``SETTINGS`` make a device claimed from its first start, with a token and an account of the broker for these clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from hil.card.machine import SSH_KEY, anyone
from hil.rig import Api
from hil.rig.mqtt import Client
from hil.rig.waiting import PATIENCE, asked

if TYPE_CHECKING:
    from hil.card.machine import CardMachine

__all__ = ["SETTINGS", "Sender", "api", "modem_in", "modem_ready"]

TOKEN: Final = "mh-house-0123456789-abcdefghij"
ACCOUNT: Final = "house"
PASSWORD: Final = "broker-password-of-the-house-42"
SETTINGS: Final = f"""\
[system]
ssh_keys = "{SSH_KEY}"

[tokens.house]
token = "{TOKEN}"
scopes = ["admin"]

[broker.accounts.{ACCOUNT}]
password = "{PASSWORD}"
roles = ["send", "status"]

[policy]
allowed_destinations = ["home"]
sim_daily_cap = 1000000
"""


def modem_in(device: CardMachine, persona: str = "quectel-ec2x") -> dict[str, Any]:
    """An emulator's configuration: one modem, in the first USB socket."""
    return {"modems": [{"persona": persona, "usbredir": str(device.sockets[0])}]}


def api(device: CardMachine) -> Api:
    """Its HTTP door."""
    return Api(f"https://127.0.0.1:{device.ports[8080]}", TOKEN, verify=False)


async def modem_ready(door: Api, *, within: float) -> None:
    """Wait until its only modem is ready.

    Raises:
        Overdue: it is not in time.
    """

    def ready(told: Any) -> bool:
        return [modem["state"] for modem in told["modems"]] == ["ready"]

    await asked(lambda: door.get("/api/v1/modems"), ready, "ready modem", within=within, unanswered=(OSError,))


class Sender(Client):
    """A client of the device's broker that has texts sent, and hears the answers."""

    def __init__(self, device: CardMachine) -> None:
        super().__init__(device.ports[8883], "house", login=(ACCOUNT, PASSWORD), ca=anyone())

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self.subscribe("modemhub/response", "modemhub/health")
        return self

    async def ask(self, command: dict[str, Any], *, within: float = PATIENCE) -> dict[str, Any]:
        """The hub's answer; the command's ``id`` is its transaction too.

        Raises:
            Refused: the broker has gone.
            Overdue: no answer came.
        """
        before = len(self.heard.items)
        await self.publish("modemhub/send", {**command, "transaction": command["id"]})

        def answer(_: object) -> dict[str, Any] | None:
            told = (each.json for each in self.heard.items[before:] if each.topic == "modemhub/response")
            return next((each for each in told if each.get("transaction") == command["id"]), None)

        return await self.heard.until(answer, f"answer to {command['id']}", within=within)
