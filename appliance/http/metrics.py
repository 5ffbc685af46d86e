"""The hub in numbers for Prometheus, in its text format.

Base units, ``_total`` for what only grows, and no number, IMEI, IMSI or text in a label: a modem is the last digits of
its IMEI, as many as tell the hub's modems apart, and four at least.

Counters count since the start of the process, from the event table: what happened is counted once, whoever looks how
often. Prometheus takes a restart for what it is.

Theory of operation: the hub's figures are gathered first, which needs the store; then they become families of a
registry of our own, which is asked once and thrown away. Nothing is counted while nobody asks, but the requests.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from appliance.types import ModemState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from prometheus_client.core import Metric

    from appliance.hub import Figures

__all__ = ["CONTENT_TYPE", "exposition", "short_names"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REGISTERED = frozenset({"home", "roaming", "sms_only_home", "sms_only_roaming", "home_no_csfb", "roaming_no_csfb"})

RUNGS = ("re-open", "radio", "reset", "lines", "usb", "supply", "person", "machine")
"""The ladder's rungs from 1."""


def short_names(imeis: Collection[str]) -> dict[str, str]:
    """IMEI → its last digits, at least four, as many as tell them all apart."""
    digits = 4
    while digits < 16 and len({imei[-digits:] for imei in imeis}) < len(set(imeis)):
        digits += 1
    return {imei: imei[-digits:] for imei in imeis}


def exposition(
    figures: Figures,
    modems: Mapping[str, Mapping[str, Any]],
    status: Mapping[str, Any],
    requests: Mapping[tuple[str, str, int], int],
    streams: int,
) -> bytes:
    """All metrics as text.

    Args:
        figures: the hub's numbers.
        modems: IMEI → its view.
        status: the JSON of ``GET /status``.
        requests: (method, route, status) → how often.
        streams: event streams that are open.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot([*_hub(figures, status), *_modems(modems), *_door(requests, streams)]))
    text: bytes = generate_latest(registry)
    return text


class _Snapshot(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def _hub(figures: Figures, status: Mapping[str, Any]) -> Iterator[Metric]:
    build = InfoMetricFamily("modemhub_build", "What runs.")
    build.add_metric([], {"version": status["version"]})
    yield build
    yield _gauge("modemhub_uptime_seconds", "Seconds since the hub started.", figures.uptime)
    yield _gauge("modemhub_ready", "Whether nothing is wrong.", float(status["status"] == "ok"))
    wrong = GaugeMetricFamily("modemhub_problems", "What is wrong now, by its code.", labels=["code"])
    for code, many in sorted(Counter(problem["code"] for problem in status["problems"]).items()):
        wrong.add_metric([code], many)
    yield wrong

    states = CounterMetricFamily("modemhub_messages", "Messages that have reached a state.", labels=["state"])
    counters = status["counters"]
    for state in ("submitted", "delivered", "undelivered", "failed", "expired", "cancelled", "in_doubt"):
        states.add_metric([state], counters[state])
    yield CounterMetricFamily("modemhub_messages_accepted", "Messages accepted.", value=counters["accepted"])
    yield states
    yield CounterMetricFamily("modemhub_messages_received", "Messages received.", value=counters["received"])
    yield CounterMetricFamily("modemhub_calls", "Incoming calls.", value=counters["calls"])
    taken = CounterMetricFamily(
        "modemhub_recoveries", "Steps taken against modems' troubles.", labels=["rung", "outcome"]
    )
    for (kind, detail), many in sorted(figures.events.items()):
        if kind == "recovery" and detail:
            rung, _, outcome = detail.partition(" ")
            taken.add_metric([_rung(rung), outcome], many)
    yield taken

    yield _gauge("modemhub_queue_segments", "Segments that wait to be sent.", sum(figures.queues.values()))
    yield _gauge("modemhub_store_bytes", "The store on its disk.", figures.room.taken)
    yield _gauge("modemhub_store_free_bytes", "What is left on the store's disk.", figures.room.free)
    yield _gauge("modemhub_store_full", "Whether the disk is full and new messages are refused.", float(figures.full))
    lag = GaugeMetricFamily("modemhub_door_lag_events", "Events that a door has yet to tell.", labels=["door"])
    for door, events in sorted(figures.lags.items()):
        lag.add_metric([door], events)
    yield lag
    if status["mqtt"] is not None:
        connected = float(status["mqtt"]["connected"])
        yield _gauge("modemhub_mqtt_connected", "Whether the broker is there.", connected)
    pending = GaugeMetricFamily("modemhub_webhook_pending_events", "Events to be told.", labels=["webhook"])
    for hook in status["webhooks"]:
        pending.add_metric([hook["name"]], hook["pending"])
    yield pending


def _modems(modems: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    names = short_names(modems)
    state = GaugeMetricFamily("modemhub_modem_state", "1 for the state that a modem is in.", labels=["modem", "state"])
    registered = GaugeMetricFamily("modemhub_modem_registered", "Whether the network has it.", labels=["modem"])
    signal = GaugeMetricFamily("modemhub_modem_signal_dbm", "Its signal; absent: not known.", labels=["modem"])
    queue = GaugeMetricFamily("modemhub_modem_queue_segments", "Segments that wait for its SIM.", labels=["modem"])
    used = GaugeMetricFamily("modemhub_modem_storage_used", "Messages in a storage.", labels=["modem", "storage"])
    total = GaugeMetricFamily("modemhub_modem_storage_total", "Room of a storage.", labels=["modem", "storage"])
    for imei, view in modems.items():
        name = names[imei]
        for each in ModemState:
            state.add_metric([name, each.value], float(view["state"] == each.value))
        registered.add_metric([name], float(view["registration"] in REGISTERED))
        if view["signal_dbm"] is not None:
            signal.add_metric([name], view["signal_dbm"])
        queue.add_metric([name], view["queue"])
        for storage, filled in view["storage"].items():
            used.add_metric([name, storage], filled["used"])
            total.add_metric([name, storage], filled["total"])
    yield from (state, registered, signal, queue, used, total)


def _door(requests: Mapping[tuple[str, str, int], int], streams: int) -> Iterator[Metric]:
    answered = CounterMetricFamily("modemhub_http_requests", "Requests answered.", labels=["method", "route", "status"])
    for (method, route, status), many in sorted(requests.items()):
        answered.add_metric([method, route, str(status)], many)
    yield answered
    yield _gauge("modemhub_event_streams", "Event streams that are open.", streams)


def _rung(number: str) -> str:
    """A rung's name, or its number where it has none."""
    index = int(number) - 1 if number.isdigit() else -1
    return RUNGS[index] if 0 <= index < len(RUNGS) else number


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)
