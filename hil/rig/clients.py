"""How clients of the house behave: what was not confirmed they ask for again, with the same id, until the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.rig.api import Api
from hil.rig.laws import ENDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from hil.rig import Rig

__all__ = ["settle"]

Command = dict[str, Any]


async def settle(
    whole: Rig, *, by_mqtt: Sequence[Command], by_http: Sequence[Command] = (), ends: AbstractSet[str] = ENDS
) -> dict[tuple[str, str], dict[str, Any]]:
    """Ask again for what was not answered, wait for every end; (recipient, text) → the message as HTTP tells it then.

    Every command has an ``id`` (the idempotency key) and, by MQTT, a ``transaction``; ``ends`` are the
    states that are waited for.
    """
    async with Api(whole.hub.address, whole.hub.token) as api:  # connections of a hub that was killed are dead
        ids = {(command["to"], command["text"]): (await api.send(**command))["id"] for command in by_http}

        def answers() -> dict[Any, dict[str, Any]]:
            return {heard.json.get("transaction"): heard.json for heard in whole.observer.on("response")}

        answered = answers()
        for command in by_mqtt:
            if command["transaction"] not in answered:
                whole.observer.publish("send", command)
        transactions = {command["transaction"] for command in by_mqtt}
        await whole.observer.heard.until(lambda _: transactions <= answers().keys(), "an answer to every command")
        answered = answers()
        for command in by_mqtt:
            answer = answered[command["transaction"]]
            if answer["status"] != "ok":
                raise AssertionError(f"{command} was answered {answer}")
            ids[command["to"], command["text"]] = answer["id"]
        return {key: await _ended(whole, api, message_id, ends) for key, message_id in ids.items()}


async def _ended(whole: Rig, api: Api, message_id: str, ends: AbstractSet[str]) -> dict[str, Any]:
    path = f"/api/v1/messages/{message_id}"
    message: dict[str, Any] = await api.get(path)
    if message["state"] not in ends:
        await whole.observer.until_state(message_id, *ends)
        message = await api.get(path)
    return message
