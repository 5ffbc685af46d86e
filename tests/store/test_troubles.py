"""What is remembered of modems' troubles: by the modem, wherever it is, else by the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.store import events, troubles
from appliance.types import Imei
from tests.store.bench import Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE, OTHER = Imei("356938035643015"), Imei("356938035643023")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "hub.db")
    yield store
    store.close()


def remember(store: Store, place: str, imei: Imei | None, cure: str) -> None:
    store.machine.forward(10)
    store.write(troubles.remember, place=place, imei=imei, memory={"cure": cure}, told=None)


def known(store: Store, place: str, imei: Imei | None) -> str | None:
    memory = store.read(troubles.remembered, place=place, imei=imei)
    return None if memory is None else str(memory["cure"])


def test_a_modem_is_known_again_in_another_place_and_a_silent_one_by_its_place(store: Store) -> None:
    assert known(store, "usb 1-1", ONE) is None
    remember(store, "usb 1-1", ONE, "a")
    remember(store, "usb 1-2", OTHER, "b")
    assert (known(store, "usb 1-9", ONE), known(store, "usb 1-9", None)) == ("a", None)
    assert known(store, "usb 1-2", None) == "b"
    remember(store, "usb 1-2", ONE, "c")  # it moved
    assert known(store, "usb 1-1", ONE) == "c"
    remember(store, "usb 1-2", None, "d")  # silent, and still taken for the one that was there
    assert known(store, "usb 1-2", ONE) == "d"


def test_what_was_done_is_an_event_in_the_same_transaction(store: Store) -> None:
    told = {"rung": 5, "name": "USB", "outcome": "helped"}
    store.write(troubles.remember, place="usb 1-1", imei=ONE, memory={}, told=told)
    (event,) = store.read(events.after, 0, kinds=["recovery"])
    assert (event.subject, event.body) == (ONE, told)
