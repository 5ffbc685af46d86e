"""What Home Assistant Core's own schemas say of discovery payloads, without running Core.

Outside, :func:`check` starts this file in the Python that Core runs on (:mod:`hil.homeassistant.build`); there, it
reads ``[{"topic": …, "payload": …}]`` from stdin, retained messages as a broker would hold them, and prints the errors
as a JSON list of strings. It takes each payload the way that ``homeassistant.components.mqtt.discovery`` does: the
topic's pattern, the abbreviations, the schema of a device, the options that components share, ``~``, then for each
component the discovery schema of its platform. Beyond that it tells what Core takes without a word, or would only say
when the entity is added:

* a key that this Core does not know, which it drops: a mistyped one looks like that;
* a unique id used twice, a component without one;
* a ``via_device`` that no device of the payloads has: it would become a device without a name.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["check"]


def check(payloads: Sequence[dict[str, Any]], *, prefix: str = "homeassistant") -> list[str]:
    """The errors of these ``{"topic", "payload"}``, payloads as objects or as text; empty when Core takes them all.

    Raises:
        FileNotFoundError: that Core was not fetched.
    """
    from hil.homeassistant.build import tree  # noqa: PLC0415 - there is no package hil where this runs inside

    built = tree()
    if not built.there:
        raise FileNotFoundError("Home Assistant was not fetched: python -m hil.homeassistant.build")
    argv = [*built.python, "-P", str(Path(__file__).resolve()), prefix]
    done = subprocess.run(
        argv, input=json.dumps(payloads), env=built.environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(f"the check itself failed:\n{done.stderr}")
    errors: list[str] = json.loads(done.stdout)
    return errors


class _Said(logging.Handler):
    """What Core logs while it reads a payload."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


class _Judge:
    """Core's discovery, as far as it needs no running Core."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.mqtt = importlib.import_module("homeassistant.components.mqtt.discovery")
        self.invalid = importlib.import_module("probatio").Invalid
        self.unique_ids: Counter[tuple[str, str]] = Counter()
        self.identifiers: set[str] = set()
        self.vias: dict[str, str] = {}
        self.said = _Said()
        logging.getLogger("homeassistant").addHandler(self.said)

    def errors(self, payloads: list[dict[str, Any]]) -> Iterator[str]:
        for item in payloads:
            topic, payload = item["topic"], item["payload"]
            text = payload if isinstance(payload, str) else json.dumps(payload)
            for error in self.one(topic, text):
                yield f"{topic}: {error}"
        for (platform, unique_id), count in self.unique_ids.items():
            if count > 1:
                yield f"{platform}: unique_id {unique_id!r} is used {count} times"
        for via, topic in self.vias.items():
            if via not in self.identifiers:
                yield f"{topic}: via_device {via!r} is none of the devices"

    def one(self, topic: str, text: str) -> Iterator[str]:
        match = self.mqtt.TOPIC_MATCHER.fullmatch(topic.removeprefix(f"{self.prefix}/"))
        if not match or not topic.startswith(f"{self.prefix}/"):
            yield "not a discovery topic"
            return
        component, node_id, object_id = match.groups()
        if not text:
            return
        if component != "device":
            yield from self.component(component, self.mqtt.MQTTDiscoveryPayload(json.loads(text)), object_id)
            return
        self.said.texts.clear()
        payload = self.mqtt._parse_device_payload(None, text, topic, object_id, node_id)  # noqa: SLF001
        yield from (said.replace(text, "…") for said in self.said.texts)
        if not payload:
            return
        device = payload["device"]
        self.devices(topic, device)
        taken = self.mqtt.DEVICE_DISCOVERY_SCHEMA(payload)
        for part in ("device", "origin"):
            yield from (f"{part}: {key!r} is no key of this Core" for key in payload[part].keys() - taken[part].keys())
        yield from (f"{key!r} is no key of this Core" for key in payload.keys() - taken.keys())
        for name, config in payload["components"].items():
            platform = config.pop("platform")
            if config:  # a platform alone retracts the component
                whole = self.mqtt.MQTTDiscoveryPayload({**config, "device": device, "origin": payload["origin"]})
                self.mqtt._merge_common_device_options(whole, payload)  # noqa: SLF001
                yield from self.component(platform, whole, name)

    def devices(self, topic: str, device: dict[str, Any]) -> None:
        named = device.get("identifiers", [])
        self.identifiers.update([named] if isinstance(named, str) else named)
        if "via_device" in device:
            self.vias[device["via_device"]] = topic

    def component(self, platform: str, config: Any, name: str) -> Iterator[str]:
        self.mqtt._replace_all_abbreviations(config)  # noqa: SLF001
        if "~" in config:
            self.mqtt._replace_topic_base(config)  # noqa: SLF001
        if not config.get("unique_id"):
            yield f"{name}: a {platform} without a unique_id"
        self.unique_ids[platform, str(config.get("unique_id"))] += 1
        schema = importlib.import_module(f"homeassistant.components.mqtt.{platform}").DISCOVERY_SCHEMA
        self.said.texts.clear()
        try:
            taken = schema(dict(config))
        except self.invalid as error:
            yield f"{name}: {error}"
            return
        yield from (f"{name}: {text}" for text in self.said.texts)
        shared = set(self.mqtt.SHARED_OPTIONS)  # a platform drops those that it has no use for
        yield from (f"{name}: {key!r} is no key of {platform}" for key in config.keys() - taken.keys() - shared)


async def _main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        # Templates are compiled by the Core of this event loop; it is made here, and never started.
        importlib.import_module("homeassistant.core").HomeAssistant(directory)
        print(json.dumps([*_Judge(sys.argv[1]).errors(json.load(sys.stdin))]))


if __name__ == "__main__":
    asyncio.run(_main())
