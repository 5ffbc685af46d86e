"""``modemhub demo``: the real hub on emulated modems and a broker, to try everything without hardware.

It starts the rig (:mod:`hil.rig`) with two modems, prints where everything is and lines that can be pasted into
another terminal, sends one text by each door and lets one arrive, and from then on shows every message that flows, one
line for each change. Ctrl-C ends all of it. Nothing leaves this machine, and nothing stays on it: the demo lives in a
temporary directory.

Without Mosquitto on the machine an embedded broker (amqtt) serves it: MQTT 3.1.1, and what it holds is gone when it
ends.

::

    python -m hil.demo [--embedded]             until Ctrl-C
    python -m hil.demo --once [--embedded]      the tour alone, compared with the network's ledger; exit code 0 or 1
    python -m hil.demo deliver DIR "TEXT"       let a text arrive at the running demo
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.emulator.client import ControlClient
from hil.rig import Rig, mosquitto_path, rig
from hil.rig.broker import free_port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.rig import Heard

FRIEND = "+447700900123"
"""A number of Ofcom's range for drama: nobody has it."""

NEIGHBOUR = "+447700900456"

TOPIC_FRIEND = FRIEND.removeprefix("+")

ENDS = ("delivered", "undelivered", "failed", "expired", "cancelled", "in_doubt")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["deliver"]:
        return deliver(words[1:])
    parser = argparse.ArgumentParser(prog="modemhub demo", description="The hub on two emulated modems and a broker.")
    parser.add_argument("--once", action="store_true", help="send by each door, receive one, compare, end")
    parser.add_argument(
        "--embedded", action="store_true", help="the embedded broker, also where Mosquitto is installed"
    )
    options = parser.parse_args(words)
    with (
        tempfile.TemporaryDirectory(prefix="modemhub-demo-") as directory,
        contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError),
    ):
        return asyncio.run(demo(Path(directory), once=options.once, embedded=options.embedded))
    print("\nEverything is stopped.")
    return 0


async def demo(directory: Path, *, once: bool, embedded: bool) -> int:
    """Run everything until the tour is over (``once``) or until Ctrl-C or SIGTERM."""
    main_task = asyncio.current_task()
    assert main_task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main_task.cancel)
    kind = "embedded" if embedded or mosquitto_path() is None else "mosquitto"
    print(f"Starting two emulated modems, the {kind} broker and the hub ...", flush=True)
    delays = (
        ["--submit-delay", "0.1", "--report-delay", "0.1"] if once else ["--submit-delay", "1", "--report-delay", "1"]
    )
    running = rig(
        directory,
        modems=2,
        broker="embedded" if kind == "embedded" else "mosquitto",
        emulator=delays,
        settings={
            "contacts": {"anna": FRIEND, "ben": NEIGHBOUR, "family": ["anna", "ben"]},
            **({"mqtt": {"protocol": "3.1.1"}} if kind == "embedded" else {}),
        },
        mqtt_port=free_port(wish=0 if once else 1883),
        http_port=free_port(wish=0 if once else 8080),
    )
    async with running as whole:
        print(first_screen(whole, directory), flush=True)
        live = asyncio.create_task(show(whole, len(whole.observer.heard.items)), name="live lines")
        try:
            wrong = await tour(whole)
            if once:
                print("\n".join(wrong) if wrong else "\nAll as the network's ledger says.")
                return 1 if wrong else 0
            print("\nNow you. Ctrl-C ends the demo.\n", flush=True)
            await asyncio.Event().wait()
        finally:
            live.cancel()
    return 0


def first_screen(whole: Rig, directory: Path) -> str:
    """Where everything is, and what to paste into another terminal."""
    port, python = whole.broker.port, shlex.quote(sys.executable)
    command = json.dumps({"to": FRIEND, "text": "Hello by MQTT"})
    if shutil.which("mosquitto_pub"):
        publish = f"mosquitto_pub -p {port} -q 1 -t modemhub/send -m {shlex.quote(command)}"
        plain = f"mosquitto_pub -p {port} -q 1 -t modemhub/send/{TOPIC_FRIEND} -m 'Just a string'"
        subscribe = f"mosquitto_sub -p {port} -v -t 'modemhub/#'"
    else:
        script = f'import paho.mqtt.publish as p; p.single("modemhub/send", {json.dumps(command)}, 1, port={port})'
        publish = f"{python} -c {shlex.quote(script)}"
        script = f'import paho.mqtt.publish as p; p.single("modemhub/send/{TOPIC_FRIEND}", "A string", 1, port={port})'
        plain = f"{python} -c {shlex.quote(script)}"
        script = (
            "import paho.mqtt.subscribe as s; "
            f's.callback(lambda c, u, m: print(m.topic, m.payload.decode()), "modemhub/#", port={port})'
        )
        subscribe = f"{python} -c {shlex.quote(script)}"
    by_curl = (
        f"curl -sS -H 'Authorization: Bearer {whole.hub.token}' -H 'Content-Type: application/json' "
        f"-d {shlex.quote(json.dumps({'to': FRIEND, 'text': 'Hello by HTTP'}))} {whole.hub.address}/api/v1/messages"
    )
    modemhub = shlex.quote(str(Path(sys.executable).with_name("modemhub")))
    config = f"--config {shlex.quote(str(whole.hub.config))}"
    kept = "keeps its sessions on disk" if whole.broker.kind == "mosquitto" else "MQTT 3.1.1; NOT durable: forgets all"
    modems = "\n".join(f"    {modem.name:8} SIM {modem.number}  IMEI {modem.imei}" for modem in whole.modems.all)
    return f"""
modemhub demo: the real hub between emulated modems and a broker; nothing leaves this machine.

  console         {whole.hub.address}/
  token           {whole.hub.token}   (the console asks for it; programs bring it with each request)
  broker          {whole.broker.url}   ({whole.broker.kind}; {kept})
  modems
{modems}

  In another terminal:
    send by MQTT          {publish}
    ... only a string     {plain}
    send by HTTP          {by_curl}
    watch everything      {subscribe}
    let a text arrive     {python} -m hil.demo deliver {shlex.quote(str(directory))} 'Hello hub'
    read the inbox        {modemhub} inbox {config}
    text two people       {modemhub} send family 'Dinner is ready' {config}
    what the network got  tail -f {shlex.quote(str(directory / "m" / "ledger.jsonl"))}
"""


async def tour(whole: Rig) -> list[str]:
    """Send one text by each door and let one arrive; what differs from the network's ledger, in words."""
    texts = [
        (FRIEND, "Hello by MQTT"),
        (FRIEND, "A plain string is a text too"),
        (NEIGHBOUR, "Hello by HTTP: grüße, \N{GRINNING FACE}"),
    ]
    await whole.observer.publish("send", {"to": FRIEND, "text": texts[0][1]})
    await whole.observer.publish(f"send/{TOPIC_FRIEND}", texts[1][1])
    await whole.api.send(to=NEIGHBOUR, text=texts[2][1], sim=whole.modems.all[1].imsi)
    incoming = "Hello hub"
    await whole.modems.deliver(whole.modems.all[0], incoming)

    def complete(_: list[Heard]) -> bool:
        ended = [state for state in whole.observer.ended().values() if state in ENDS]
        return len(ended) >= len(texts) and bool(whole.observer.received())

    await whole.observer.heard.until(complete, "end of the tour")
    wrong = [f"{message}: {state}" for message, state in whole.observer.ended().items() if state != "delivered"]
    if Counter(whole.modems.texts()) != Counter(texts):
        wrong.append(f"the network got {whole.modems.texts()}")
    if [message["text"] for message in whole.observer.received()] != [incoming]:
        wrong.append(f"received: {whole.observer.received()}")
    if [item["text"] for item in (await whole.api.get("/api/v1/inbox"))["messages"]] != [incoming]:
        wrong.append("the inbox differs")
    return wrong


async def show(whole: Rig, start: int) -> None:
    """One line for each change from now on, as the broker tells it."""
    names = {modem.imei: modem.name for modem in whole.modems.all} | {m.imsi: m.name for m in whole.modems.all}
    async for heard in whole.observer.heard.each(start=start):
        line = live_line(heard, names)
        if line:
            print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)


def live_line(heard: Heard, names: dict[str, str]) -> str | None:
    """What is worth a line: a message's transition, a received text, a modem that comes or goes, a refusal."""
    match heard.topic.split("/")[1:]:
        case ["message", id]:
            message: dict[str, Any] = heard.json
            by = names.get(message.get("sim") or "", "")
            reason = (message.get("reason") or {}).get("text", "")
            return f"-> {message['to']:16} {message['state']:11} {by:7} {id} {reason}".rstrip()
        case ["received"]:
            message = heard.json
            by = names.get(message.get("modem") or "", "")
            return f"<- {message['from']:16} {'received':11} {by:7} {message.get('text') or message.get('data')!r}"
        case ["modem", imei, "availability"]:
            return f"   {names.get(imei, imei):16} {heard.payload.decode()}"
        case ["response"] if heard.json.get("status") == "error":
            return f"!! refused: {heard.json['error']}"
        case _:
            return None


def deliver(words: Sequence[str]) -> int:
    """Let a text arrive at the running demo."""
    parser = argparse.ArgumentParser(prog="python -m hil.demo deliver", description="Let a text arrive at the demo.")
    parser.add_argument("directory", type=Path, help="the demo's directory, as its first screen says")
    parser.add_argument("text")
    parser.add_argument("--from", dest="sender", default="+447700900999", metavar="NUMBER")
    options = parser.parse_args(words)
    with ControlClient(options.directory / "m" / "control") as network:
        number = network("status")["modems"][0]["number"]
        network("deliver", number=number, **{"from": options.sender}, text=options.text)
    print(f"The network delivers it to {number}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
