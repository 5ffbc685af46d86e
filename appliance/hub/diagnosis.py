"""What is wrong, in plain words, and what the hub does about it, or what a person should do.

PURE: what is known goes in, problems come out; the same for the console, ``GET /status`` and whoever else asks. The
words for a modem's state are a table, one row for each state; the other rules follow it, each with its own code. A
problem's code is stable; its words may become better.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from appliance.types import ModemState, Registration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from appliance.modem import ModemStatus

__all__ = ["Circumstances", "Problem", "problems"]

WEAK_DBM = -107
"""At and below it texts begin to fail: 3 on the scale of +CSQ (27.007 §8.5), of 31."""

LOW_ROOM = 64 * 1024 * 1024
"""Octets left on the store's disk: the database's log and its reserve take some 20 MB."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        code: stable and machine-readable, as ``sim_missing``.
        subject: what it is about: an IMEI, a place, a door's address; empty: the hub.
        text: what is wrong.
        doing: what the hub does about it, or what a person should do.
    """

    code: str
    subject: str
    text: str
    doing: str


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known.

    Attributes:
        modems: how each modem is, one for each place.
        remarks: what is plugged in and cannot be used, in words.
        detects: whether modems are looked for on USB.
        failing: tasks that wait to be started again: name → last error.
        unassigned: segments that wait for any SIM at all.
        full: the disk is full.
        free: octets left on the disk.
        quarantined: where a damaged store was moved at this start; None: it was sound.
        mqtt: how the MQTT door is (``connected``, ``url``, ``last_error``); None: there is none.
        webhooks: how each webhook is (``name``, ``pending``, ``last_error``).
    """

    modems: Sequence[ModemStatus] = ()
    remarks: Sequence[str] = ()
    detects: bool = True
    failing: Mapping[str, str] = field(default_factory=dict)
    unassigned: int = 0
    full: bool = False
    free: int | None = None
    quarantined: str | None = None
    mqtt: Mapping[str, Any] | None = None
    webhooks: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class _Words:
    code: str
    text: str
    doing: str


_STATES: Mapping[ModemState, _Words | None] = MappingProxyType(
    {
        ModemState.OPENING: _Words(
            "modem_starting", "is being opened", "Nothing is to be done: this takes up to half a minute."
        ),
        ModemState.BRINGING_UP: _Words(
            "modem_starting", "is being set up", "Nothing is to be done: this takes up to half a minute."
        ),
        ModemState.SIM_MISSING: _Words(
            "sim_missing",
            "has no SIM card, or cannot read it",
            "Put a SIM card in, the contacts towards the board. The hub looks again every 10 seconds.",
        ),
        ModemState.PIN_REQUIRED: _Words(
            "pin_required",
            "has a SIM card that wants its PIN",
            "Set the PIN under [sims] in the settings, or take it off the card in a telephone. The hub tries each PIN"
            " once only, so that the card is not lost.",
        ),
        ModemState.PUK_REQUIRED: _Words(
            "puk_required",
            "has a SIM card that wants its PUK",
            "Put the card into a telephone and enter the PUK of the card's letter. The hub never guesses it.",
        ),
        ModemState.SEARCHING: _Words(
            "no_network",
            "finds no network",
            "Check the antenna and the coverage here. The hub asks again every few seconds, and starts the modem's"
            " radio anew after some minutes.",
        ),
        ModemState.READY: None,
        ModemState.RECOVERING: _Words(
            "modem_recovering", "has stopped working", "The hub starts it again, step by step, and does not give up."
        ),
        ModemState.NEEDS_HANDS: _Words(
            "modem_needs_hands",
            "has stopped working, and nothing that the hub can do has helped",
            "Unplug it, wait ten seconds, plug it in again; check its cable and its power supply. The hub tries again"
            " by itself, first after a minute, then ever less often.",
        ),
        ModemState.GONE: _Words(
            "modem_gone",
            "is not there",
            "Plug it in again. The hub looks for it all the time, and goes on as soon as it is back.",
        ),
    }
)


def problems(known: Circumstances) -> list[Problem]:
    """All that is wrong, the worst first; nothing when all is well."""
    return [*_store(known), *_fleet(known), *_doors(known), *_tasks(known)]


def _store(known: Circumstances) -> Iterator[Problem]:
    if known.full:
        yield Problem(
            "store_full",
            "",
            "The disk is full: new texts to send are refused.",
            "What arrives is still kept, in a reserve. Make room on the disk; the hub notices within half a minute.",
        )
    elif known.free is not None and known.free < LOW_ROOM:
        yield Problem(
            "store_low",
            "",
            f"The disk is nearly full: {known.free // (1024 * 1024)} MB are left.",
            "Make room on the disk, or set store.retention_days lower. Nothing is refused yet.",
        )
    if known.quarantined is not None:
        yield Problem(
            "store_damaged",
            "",
            f"The store was damaged. It was moved to {known.quarantined}, and a fresh one was begun.",
            "Messages from before are in that directory only. Check the disk or the card. This is told until the hub"
            " starts again.",
        )


def _fleet(known: Circumstances) -> Iterator[Problem]:
    for status in known.modems:
        yield from _modem(status)
    for remark in known.remarks:
        place, _, words = remark.partition(": ")
        yield Problem(
            "device_unusable",
            place,
            f"What is plugged in at {place} cannot be used: {words}.",
            "The hub leaves it alone and looks again when it is plugged in anew.",
        )
    if not known.modems:
        yield Problem(
            "no_modem",
            "",
            "There is no modem.",
            "Plug one in: the hub finds it by itself. One on a serial port is named under [[modems]] in the settings."
            if known.detects
            else "Name its port under [[modems]] in the settings, or set detect.udev = true to have USB modems found.",
        )
    if known.unassigned and not any(status.state is ModemState.READY for status in known.modems):
        yield Problem(
            "waiting_for_sim",
            "",
            f"{_count(known.unassigned, 'part')} of texts cannot be sent yet: no SIM card was ever ready.",
            "They are kept, and sent as soon as a modem with a SIM card is ready.",
        )


def _modem(status: ModemStatus) -> Iterator[Problem]:
    subject = status.imei or status.place
    name = _name(status)
    words = _STATES[status.state]
    if status.state is ModemState.SEARCHING and status.registration is Registration.DENIED:
        yield Problem(
            "network_refuses",
            subject,
            f"{name} is refused by the network.",
            "Is the SIM card active and paid, and may it be used here? Its provider knows. The hub goes on asking.",
        )
    elif words is not None:
        because = f" ({status.last_error})" if status.last_error else ""
        now = f" Being done now: {status.recovery}." if status.recovery else ""
        yield Problem(words.code, subject, f"{name} {words.text}{because}.", words.doing + now)
    if status.full:
        yield Problem(
            "storage_full",
            subject,
            f"{name} has nearly no room left for arriving texts ({', '.join(status.full)}).",
            "The hub empties it every few minutes, but something in it can be neither read nor deleted. Delete old"
            " texts from the card in a telephone.",
        )
    if status.unreadable:
        yield Problem(
            "messages_unreadable",
            subject,
            f"{name} starts anew whenever these stored texts are read: {', '.join(status.unreadable)}.",
            "The hub leaves them where they are and reads all others. Those on the card can be read in a telephone.",
        )
    if status.state is ModemState.READY and status.signal_dbm is not None and status.signal_dbm <= WEAK_DBM:
        yield Problem(
            "weak_signal",
            subject,
            f"{name} has a very weak signal: {status.signal_dbm} dBm.",
            "Move the antenna towards a window, or use a longer one. Texts are still sent, and tried again when one"
            " fails.",
        )


def _doors(known: Circumstances) -> Iterator[Problem]:
    if known.mqtt is not None and not known.mqtt["connected"]:
        because = f": {known.mqtt['last_error']}" if known.mqtt["last_error"] else ""
        yield Problem(
            "mqtt_disconnected",
            str(known.mqtt["url"]),
            f"There is no connection to the MQTT broker{because}.",
            "The hub tries again all the time. What happens meanwhile is kept, and told when the broker is back.",
        )
    for hook in known.webhooks:
        if hook["last_error"] is not None and not hook["pending"]:  # the receiver wants no more, or too late
            yield Problem(
                "webhook_failing",
                str(hook["name"]),
                f"The webhook {hook['name']}: {hook['last_error']}.",
                "What it was not told is kept all the same: received texts stand in the inbox.",
            )
        elif hook["last_error"] is not None:
            yield Problem(
                "webhook_failing",
                str(hook["name"]),
                f"The webhook {hook['name']} cannot be told {_count(hook['pending'], 'event')}: {hook['last_error']}.",
                "The hub tries again for three days, ever less often; then it gives an event up.",
            )


def _tasks(known: Circumstances) -> Iterator[Problem]:
    for name, error in known.failing.items():
        if not name.startswith("modem "):  # that one's own words say more
            yield Problem(
                "task_failing",
                name,
                f"A part of the hub has failed: {name} ({error}).",
                "It is started again within seconds, by itself. If this stays, the hub's log tells more.",
            )


def _name(status: ModemStatus) -> str:
    """A modem for a person: what it is, and the end of its IMEI, or where it is."""
    what = " ".join(filter(None, (status.manufacturer, status.model)))
    if status.imei is None:
        return f"The modem at {status.place}"
    return f"{what or 'The modem'} …{status.imei[-4:]}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
